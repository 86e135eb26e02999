"""The shared index beside its searches: writes, searches while a layout is made, growth, filters, memory, start.

Parts run each in a process of its own, with BLAS at one thread, and write a row each; vectors and tenants are those of
`bench tenants`, kept in `--cache`. What a part measures is told in its module.
"""

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.record import ROOT
from bench.tenants.store import default_folder

PARTS = ("writes", "pauses", "growth", "growth-1m", "filters", "memory", "memory-1m")

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Read by the libraries when they are loaded, so a process is started with them."""


def main(arguments: Sequence[str]) -> int:
    """Run the parts asked for; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    if len(given.part) == 1 and all(os.environ.get(name) == value for name, value in _THREADS.items()):
        module, _, size = given.part[0].partition("-")
        how = (given.cache, given.seed, given.quick, *([size] if size else []))
        figures = importlib.import_module(f"bench.index.{module}").measure(*how)
        return report.publish("index", arguments, given.results, figures)
    command = [sys.executable, "-m", "bench", "index", *_without_parts(arguments)]
    codes = []
    for part in given.part:
        print(f"\n== {part}", flush=True)
        run = subprocess.run([*command, "--part", part], cwd=ROOT, env=os.environ | _THREADS, check=False)
        codes.append(run.returncode)
    return max(codes)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("index", __doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="which (default: all)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, on generated vectors")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of what is generated")
    return parser


def _without_parts(arguments: Sequence[str]) -> list[str]:
    """The arguments less `--part` and its names."""
    kept: list[str] = []
    is_name = False
    for argument in arguments:
        is_name = argument == "--part" or (is_name and argument in PARTS)
        if not is_name:
            kept.append(argument)
    return kept
