"""A benchmark in parts, each measured in a process of its own: the memory of one does not weigh on the next."""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import report
from bench.record import ROOT
from bench.report import Figure
from bench.tenants.contender import LeftOut

__all__ = ["add_only", "run"]


def add_only(parser: argparse.ArgumentParser, parts: Mapping[str, str]) -> None:
    """The option that chooses parts; all of them by default."""
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="parts (default: all)")


def run(name: str, parts: Mapping[str, str], parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Measure the parts of `bench name`, modules whose `measure(given)` returns the figures; 1 where a bar is missed.

    A part that raises LeftOut, as its data is not there, is no failure.
    """
    given = parser.parse_args(arguments)
    if len(given.only) == 1:
        measure: Callable[[argparse.Namespace], list[Figure]] = importlib.import_module(parts[given.only[0]]).measure
        try:
            figures = measure(given)
        except LeftOut as exc:
            print(f"left out: {exc}", file=sys.stderr)
            return 0
        return report.publish(name, arguments, given.results, figures)
    codes = []
    for part in given.only:
        print(f"\n== {part}", flush=True)
        command = [sys.executable, "-m", "bench", name, *arguments, "--only", part]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return max(codes, default=0)
