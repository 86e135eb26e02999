"""The contest of one tenant among many as a command: its arguments, its workloads one after the other, their rows."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.record import ROOT, record
from bench.tenants import summary, table
from bench.tenants.bars import bars, unjudged
from bench.tenants.contender import LeftOut
from bench.tenants.elsewhere import Elsewhere, How, releases
from bench.tenants.limits import Limits
from bench.tenants.protocol import clock_us, measure_sides
from bench.tenants.store import Store, default_folder
from bench.tenants.worker import CONTENDERS
from bench.tenants.worlds import NAMES, Worlds

__all__ = ["contest", "main", "parser", "without_workloads"]

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Read by the libraries when they are loaded, so a process is started with them."""


def main(arguments: Sequence[str], description: str | None) -> int:
    """Run the workloads asked for, each in a process of its own; 1 where a bar is missed."""
    given = parser(description).parse_args(arguments)
    names = given.workload or NAMES
    if len(names) == 1 and all(os.environ.get(name) == value for name, value in _THREADS.items()):
        how = How(
            Store(given.cache), Limits(given.build_gib * 2**30, given.build_s, given.threads), given.ef_construction
        )
        return contest(names[0], how, given, ("tenants", shlex.join(["python", "-m", "bench", "tenants", *arguments])))
    rest = without_workloads(arguments)
    command = [sys.executable, "-m", "bench", "tenants", *rest, "--workload"]
    codes = [
        subprocess.run([*command, name], cwd=ROOT, env=os.environ | _THREADS, check=False).returncode for name in names
    ]
    return int(any(codes))  # what a signal ended has a code below 0


def contest(name: str, how: How, given: argparse.Namespace, recorded: tuple[str, str]) -> int:
    """Measure one workload, print its report and write its row; 1 where a bar is missed or ours fails.

    `given` has `seed`, `quick`, `only`, `repetitions` and `results`; `recorded` is the file's name and the command.
    """
    try:
        workload = Worlds(how.store, given.seed, is_quick=given.quick).make(name)
    except LeftOut as exc:
        print(f"\n== {name}: left out: {exc}", flush=True)
        return 0
    chosen = [one for one in CONTENDERS if not given.only or any(one.startswith(part) for part in given.only)]
    with ExitStack() as stack:
        sides = [Elsewhere(one, how) for one in chosen]
        for side in sides:
            stack.callback(side.close)
        peers = releases(chosen, how.store.folder)  # before hours of measuring, not after them
        runs, left_out = measure_sides(sides, workload, given.repetitions)
    held = bars(workload, runs)
    found: dict[str, Any] = summary.row(workload, runs, left_out, clock_us(), peers)
    found["bars"] = {figure.name: figure.as_row() for figure in held}
    said = [table.text(found), report.table(held) if held else "no bars: ours takes no part", unjudged(workload, held)]
    print(*filter(None, said), sep="\n", flush=True)
    record(recorded[0], found, recorded[1], given.results)
    return int("ours" in left_out or any(figure.passes is False for figure in held))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Of `bench tenants`."""
    made = report.parser("tenants", description)
    limits = Limits()
    made.add_argument("--workload", nargs="+", choices=NAMES, help="which (default: all)")
    made.add_argument("--only", nargs="+", help="contenders whose names begin so (default: all)")
    made.add_argument("--quick", action="store_true", help="a hundredth of the size, on generated vectors")
    made.add_argument("--repetitions", type=int, default=3, help="timed passes of each setting")
    made.add_argument(
        "--cache", type=Path, default=default_folder(), help="folder of what is generated, built, installed"
    )
    made.add_argument("--ef-construction", type=int, default=100, help="of hnswlib")
    made.add_argument("--build-gib", type=float, default=limits.build_bytes / 2**30, help="memory of a build")
    made.add_argument("--build-s", type=float, default=limits.build_s, help="time of a build")
    made.add_argument("--threads", type=int, default=limits.n_threads, help="of peers' builds; searches have one")
    return made


def without_workloads(arguments: Sequence[str]) -> list[str]:
    """The arguments less `--workload` and its names."""
    kept: list[str] = []
    is_name = False
    for argument in arguments:
        is_name = argument == "--workload" or (is_name and not argument.startswith("--"))
        if not is_name:
            kept.append(argument)
    return kept
