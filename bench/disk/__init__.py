"""Posting lists on disk: recall, memory, latency warm and cold under a cap; beside peers on disk.

The index is built of vectors that `bench tenants` makes, a block at a time, and searched for one tenant who owns
all of them (`single-…`) and for tenants who own a part each (`exclusive-100`); `peers` builds other indexes of the same
rows, each in an environment of its own that `--peer-python` names, and asks all in the same way. `own`, `public` and
`granted` compare a tenant's search with the same in RAM; `duplicates` asks for identical vectors; `churn` replaces
points for a long time; `updates` inserts through a server, the only part that has one.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import report
from bench.record import ROOT
from bench.report import Figure
from bench.tenants.store import default_folder

SEARCHED = ("single-1m", "single-4m", "exclusive-100")
READINGS = ("own", "public", "granted")
PARTS = (*SEARCHED, "hardness", "peers", "duplicates", *READINGS, "churn", "updates")
PEERS = ("diskann", "lancedb-rq", "lancedb-pq", "faiss", "usearch")


def main(arguments: Sequence[str]) -> int:
    """Measure each part in a process of its own; 1 where a bar is missed."""
    given = _parser().parse_args(arguments)
    if len(given.only) == 1:
        pythons = dict(pair.split("=", 1) for pair in given.peer_python)
        found = figures(given.only[0], given.against, pythons, (given.cache, given.seed, given.quick))
        return report.publish("disk", arguments, given.results, found)
    codes = []
    for name in given.only:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", "bench", "disk", *_without_names(arguments), "--only", name]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return int(any(codes))  # what a signal ended has a code below 0


def figures(part: str, against: Sequence[str], pythons: Mapping[str, str], how: tuple[Path, int, bool]) -> list[Figure]:
    """What a part measures; `how` is the cache's folder, the seed, and whether it is quick.

    `against` are those of `PEERS` that take part, `pythons` the interpreters of their environments by name.
    """
    if part == "peers":  # imported here, for what a part imports loads numba
        from bench.disk import contest

        return contest.measure(against, pythons, *how)
    if part == "hardness":
        from bench.disk import hardness

        return hardness.measure(pythons, *how)
    if part in READINGS:
        from bench.disk import readings

        return readings.costs(part, *how)
    if part in SEARCHED:
        from bench.disk import searches

        return searches.measure(part, *how)
    measure: Callable[[Path, int, bool], list[Figure]] = importlib.import_module(f"bench.disk.{part}").measure
    return measure(*how)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("disk", __doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts (default: all)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size, on generated vectors")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder of what is generated and built")
    parser.add_argument("--against", nargs="+", choices=PEERS, default=PEERS, help="of `peers`: which (default: all)")
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="interpreter of an environment with this peer, `lancedb` for both of its kinds, `hnswlib` for `hardness`",
    )
    return parser


def _without_names(arguments: Sequence[str]) -> list[str]:
    """The arguments less `--only` and its names."""
    kept: list[str] = []
    is_name = False
    for argument in arguments:
        is_name = argument == "--only" or (is_name and argument in PARTS)
        if not is_name:
            kept.append(argument)
    return kept
