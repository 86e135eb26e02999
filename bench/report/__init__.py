"""The curves and tables of docs/benchmarks.md, drawn from the last rows of bench/results; and how a run prints its own.

`python -m bench report` measures nothing. It writes `docs/figures/*.svg` and what stands between two marks in
`docs/benchmarks.md`: the same rows give the same bytes, and a test holds what is committed against them. With `--check`
nothing is written, and the exit code is 1 where something differs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.record import RESULTS, ROOT
from bench.report.figures import Figure, median, parser, publish, table

__all__ = ["Figure", "main", "median", "parser", "publish", "table"]


def main(arguments: Sequence[str]) -> int:
    """Write the document's part and its drawings, or with `--check` say what differs; 1 where something does."""
    from bench.report import page  # every benchmark imports this package for its tables, and draws nothing

    made = argparse.ArgumentParser(prog="python -m bench report", description=__doc__)
    made.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows (default: bench/results)")
    made.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of benchmarks.md (default: docs)")
    made.add_argument("--check", action="store_true", help="write nothing, say what would change")
    given = made.parse_args(arguments)
    changed = page.differences(given.results, given.docs)
    if given.check:
        for name in changed:
            print(f"differs from the results: {name}", file=sys.stderr)
        return int(bool(changed))
    page.write(given.results, given.docs)
    print(f"written: {', '.join(changed) if changed else 'nothing, all is as the results give it'}")
    return 0
