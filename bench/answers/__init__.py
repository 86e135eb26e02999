"""Answers: contexts under a budget, the extractive backend, what the cache saves, what the way of an answer costs.

A part is measured in a process of its own. Texts come from `--data`, the folder with `squad2` and `ir`; `--quick` takes
few of them, or made-up ones. A part whose data is not there is left out.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import report
from bench.record import ROOT
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.growth import datasets

PARTS: dict[str, str] = {
    "packing": "bench.answers.packing",
    "overhead": "bench.answers.overhead",
    "extractive": "bench.answers.extractive",
    "cached": "bench.answers.cached",
}
"""Modules whose `measure(given)` returns the figures of a part."""


def main(arguments: Sequence[str]) -> int:
    """Measure each part in a process of its own; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    if len(given.only) == 1:
        measure: Callable[[argparse.Namespace], list[Figure]] = importlib.import_module(PARTS[given.only[0]]).measure
        try:
            figures = measure(given)
        except LeftOut as exc:
            print(f"left out: {exc}", file=sys.stderr)
            return 0
        return report.publish("answers", arguments, given.results, figures)
    codes = []
    for name in given.only:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", "bench", "answers", *arguments, "--only", name]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return max(codes, default=0)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("answers", __doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--quick", action="store_true", help="small: few documents and questions")
    parser.add_argument("--data", type=Path, default=datasets(), help="folder of the texts (default: VDB_DATASETS)")
    return parser
