"""Races against peers, each installed into an environment of its own by the command: indexes, databases, servers.

`python -m bench race <workload>`. Every contender gets the same vectors, k 10, the same queries after a warm-up, and
runs in a process of its own; settings, releases and parameters are in the row. Environments and data sets are kept in
`--cache`.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import report
from bench.tenants.store import default_folder

WORKLOADS = {
    "http": "bench.race.servers",
    "unfiltered": "bench.race.unfiltered",
    "databases": "bench.race.databases",
    "tenants": "bench.race.tenants",
    "disk": "bench.race.disk",
    "cache": "bench.race.cache",
}
"""Races by name: modules whose `run(given, arguments)` returns the exit code."""


def main(arguments: Sequence[str]) -> int:
    """Run one race; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an end like Ctrl-C: all is cleared away
    given.cache = given.cache.resolve()  # peers' programs run in other folders
    run: Callable[[argparse.Namespace, Sequence[str]], int] = importlib.import_module(WORKLOADS[given.workload]).run
    return run(given, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("race", __doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument(
        "--data", nargs="+", metavar="NAME", help="data sets, workloads or parts (default: those of the bars)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sets, generated, for a look at the whole")
    parser.add_argument("--repetitions", type=int, default=3, help="timed passes of each setting")
    parser.add_argument("--threads", type=int, default=2, help="of peers' builds; searches have one")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of environments, data, indexes")
    return parser
