"""Cost by size: measured at several sizes, fitted, and a model of what one node carries up to 10^9 vectors.

`python -m bench scaling` measures: parts of `--only`, each at the sizes of `--sizes`, which are points (of `tenants`
and `directories`: tenants). `python -m bench scaling model --vectors 1e8 --tenants 1e3 --dimension 384 --qps 1000` says
what such a collection takes, from the rows in `--results`; `python -m bench scaling tables` prints the tables of
docs/scaling.md.
"""

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import parts, report
from bench.tenants.store import default_folder

PARTS = {
    "memory": "bench.scaling.memory",
    "disk": "bench.scaling.disk",
    "writes": "bench.scaling.writes",
    "directories": "bench.scaling.directories",
    "collection": "bench.scaling.collection",
    "tenants": "bench.scaling.tenants",
}
"""What is measured, by module: an index in memory, on disk, writes to one, directories of tenants; and of a server."""

TOLD = {"model": "bench.scaling.told", "tables": "bench.scaling.tables"}
"""What measures nothing, by module: it reads rows that are there."""


def main(arguments: Sequence[str]) -> int:
    """Measure, or tell what was measured; 1 where something fails."""
    if arguments and arguments[0] in TOLD:
        tell: Callable[[Sequence[str]], int] = importlib.import_module(TOLD[arguments[0]]).main
        return tell(arguments[1:])
    return parts.run("scaling", PARTS, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("scaling", __doc__)
    parts.add_only(parser, PARTS)
    parser.add_argument("--sizes", type=int, nargs="+", help="of one part: sizes to measure (default: the part's own)")
    parser.add_argument("--quick", action="store_true", help="small sizes, generated")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of what is generated and built")
    return parser
