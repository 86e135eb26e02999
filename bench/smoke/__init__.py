"""A look at whether anything got slower: some figures in a minute, as ratios to fixed yardsticks, beside the last row.

`make bench-smoke`, or `python -m bench smoke`. A figure is how many times the CPU of a yardstick a call takes, each
timed right after the other in the same process, so that the host's speed cancels; where the system lets a process count
its instructions, it is those. A change beyond twice the spread of the recorded runs, and beyond 5 %, is marked as worth
a look. That is a hint: no figure makes the command fail, and it says nothing across machines. `--record` measures five
times, in processes of their own, and writes the row that later runs are compared with.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from bench import report
from bench.record import ROOT, machine, record, versions
from bench.report.rows import rows_of
from bench.smoke.compare import Now, combined, text

__all__ = ["N_RECORDED", "main"]

N_RECORDED = 5
_FIXED = {
    "PYTHONHASHSEED": "0",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
"""Of the measuring process: what else would make two runs differ."""


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table beside the last row, record if asked; 0 whatever the figures say."""
    parser = report.parser("smoke", __doc__)
    parser.add_argument(
        "--record", action="store_true", help=f"write the row, from {N_RECORDED} runs unless --runs says"
    )
    parser.add_argument("--runs", type=int, help="how often everything is measured (default: once)")
    given = parser.parse_args(arguments)
    n_runs = given.runs or (N_RECORDED if given.record else 1)
    now = combined([_measured(given.seed) for _ in range(n_runs)])
    rows = rows_of(given.results, "smoke")
    print(text(now, rows[-1] if rows else None, {"machine": machine(), "versions": versions()}))
    if given.record:
        command = shlex.join(["python", "-m", "bench", "smoke", *arguments])
        record("smoke", {name: figure.as_row() for name, figure in now.items()}, command, given.results)
    return 0


def _measured(seed: int) -> dict[str, Now]:
    """The figures of one process. Raises CalledProcessError where it fails: that is no matter of timing."""
    command = [sys.executable, "-m", "bench.smoke.watch", str(seed)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | _FIXED, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    return {name: Now(one["unit"], (one["value"],)) for name, one in found.items()}
