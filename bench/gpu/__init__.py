"""GPU kernels: shares of the machine's ceilings, the engine with a device beside the CPU, equal answers.

Every part is measured in a process of its own, on data that it draws from the seed; floors are counted and printed
before anything runs. Without an accelerator it says why and exits with 2; `--device numpy --quick` runs all parts in
seconds on plain arrays, which shows that they work and nothing else, so no row is written. The kernels' parts need
NumPy, numba and CuPy only; PyTorch and faiss are compared with where they are; `engine` needs the whole package.
"""

import argparse
import multiprocessing
import shlex
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bench import report
from bench.gpu.machine import PartLeftOut, opened
from bench.record import record
from bench.report import Figure
from vdb.kernels.device import DeviceFailed

__all__ = ["PARTS", "Outcome", "main", "measured"]

PARTS: dict[str, str] = {
    "ceilings": "bench.gpu.ceilings",
    "equality": "bench.gpu.equality",
    "exact": "bench.gpu.exact",
    "scan": "bench.gpu.scan",
    "kmeans": "bench.gpu.kmeans",
    "projection": "bench.gpu.projection",
    "engine": "bench.gpu.engine",
}
"""Modules whose `measure(machine)` gives the figures of a part, one after the other."""

_PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "torch", "faiss-cpu")
_NO_DEVICE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a part: `failure` in words where there are no figures, or not all; `about` the device."""

    figures: list[Figure]
    about: dict[str, Any]
    failure: str = ""
    has_device: bool = True


def main(arguments: Sequence[str]) -> int:
    """Measure the parts; 1 where a bar is missed or a part failed, 2 without a device."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.device == "numpy" and not given.quick:
        parser.error("plain arrays are for --quick: their times say nothing of a GPU")
    outcomes: dict[str, Outcome] = {}
    for part in given.only:
        print(f"\n== {part}", flush=True)
        outcome = measured(part, given) if len(given.only) == 1 else _in_its_own_process(part, given)
        if not outcome.has_device:
            print(f"no GPU is used: {outcome.failure}", file=sys.stderr)
            return _NO_DEVICE
        outcomes[part] = outcome
        if outcome.figures:
            _record(part, given, arguments, outcome)
        if outcome.failure:
            print(f"{part}: {outcome.failure}", file=sys.stderr)
    if len(given.only) > 1:
        print(f"\n== in short\n{_summary(outcomes)}", flush=True)
    missed = any(figure.passes is False for outcome in outcomes.values() for figure in outcome.figures)
    return int(missed or any(outcome.failure for outcome in outcomes.values()))


def measured(part: str, given: argparse.Namespace) -> Outcome:
    """Open the device and measure one part, in this process. A figure is printed when it is there, and what was
    measured before a failure is kept."""
    figures: list[Figure] = []
    about: dict[str, Any] = {}
    try:
        with opened(given.device, given.quick, given.seed, given.repeats) as machine:
            about = machine.about
            for figure in import_module(PARTS[part]).measure(machine):
                figures.append(figure)
                print(report.table([figure]), flush=True)
    except PartLeftOut as exc:
        print(f"left out: {exc}", flush=True)
    except DeviceFailed as exc:
        if not about:
            return Outcome([], about, str(exc), has_device=False)
        return Outcome(figures, about, f"the device failed: {type(exc).__name__}: {exc}")
    except Exception as exc:  # the other parts are measured all the same
        traceback.print_exc()
        return Outcome(figures, about, f"failed: {type(exc).__name__}: {exc}")
    return Outcome(figures, about)


def _in_its_own_process(part: str, given: argparse.Namespace) -> Outcome:
    """The same in another: what a device keeps after a failure, and memory, do not weigh on the next part."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measured, part, given).result()
        except BrokenProcessPool as exc:
            return Outcome([], {}, f"its process ended: {exc}")


def _record(part: str, given: argparse.Namespace, arguments: Sequence[str], outcome: Outcome) -> None:
    """Append the part's row, unless it was a quick run."""
    if given.quick:
        return
    options = [*arguments, "--only", part] if len(given.only) > 1 else list(arguments)
    command = shlex.join(["python", "-m", "bench", "gpu", *options])
    figures = {figure.name: figure.as_row() for figure in outcome.figures}
    about = outcome.about | ({"failure": outcome.failure} if outcome.failure else {})
    record("gpu", figures, command, given.results, accelerator=about, packages=_PACKAGES)


def _summary(outcomes: dict[str, Outcome]) -> str:
    """The figures that have a bar, and how each part ended."""
    judged = [figure for outcome in outcomes.values() for figure in outcome.figures if figure.bar is not None]
    lines = [report.table(judged)] if judged else []
    for part, outcome in outcomes.items():
        if outcome.failure or not outcome.figures:
            lines.append(f"{part}: {outcome.failure or 'left out'}")
    n_missed = sum(figure.passes is False for figure in judged)
    return "\n".join([*lines, f"{len(judged)} bars, {n_missed} missed"])


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("gpu", __doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--device", choices=("auto", "numpy"), default="auto", help="default: this machine's GPU")
    parser.add_argument("--quick", action="store_true", help="small inputs, no bars, no row written")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default: 5)")
    return parser
