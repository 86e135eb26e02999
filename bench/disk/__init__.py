"""Posting lists on disk, below the server: recall, pages, memory, and latency warm and cold beside what the disk takes.

The index is built of the vectors that `bench tenants` keeps, a block at a time, and searched for one tenant who owns
all of them (`single`) and for tenants who own a part each (`exclusive-100`). Peers and the server are not in it.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.record import ROOT
from bench.tenants.store import default_folder

WORKLOADS = ("single-1m", "exclusive-100")

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Read by the libraries when they are loaded, so a process is started with them."""


def main(arguments: Sequence[str]) -> int:
    """Measure each workload in a process of its own; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    if len(given.only) == 1 and all(os.environ.get(name) == value for name, value in _THREADS.items()):
        from bench.disk.lists import measure  # loads numba

        figures = measure(given.cache, given.only[0], given.seed, given.quick)
        return report.publish("disk", arguments, given.results, figures)
    codes = []
    for name in given.only:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", "bench", "disk", *_without_names(arguments), "--only", name]
        codes.append(subprocess.run(command, cwd=ROOT, env=os.environ | _THREADS, check=False).returncode)
    return max(codes)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("disk", __doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=WORKLOADS, help="workloads (default: all)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, on generated vectors")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of what is generated and built")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the index is written (default: beside the cache)"
    )
    return parser


def _without_names(arguments: Sequence[str]) -> list[str]:
    """The arguments less `--only` and its names."""
    kept: list[str] = []
    is_name = False
    for argument in arguments:
        is_name = argument == "--only" or (is_name and argument in WORKLOADS)
        if not is_name:
            kept.append(argument)
    return kept
