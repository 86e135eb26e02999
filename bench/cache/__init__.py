"""The semantic cache: calls it saves at how much error, how fast it decides; what it serves beside writers and kills.

A part is measured in a process of its own. Sentences come from `--data`, the folder with `clinc150`, `banking77` and
`arxiv`; `--quick` does without them, on few made-up vectors. A part whose data is not there is left out.
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

PARTS = {
    "quality": "bench.cache.quality",
    "zipf": "bench.cache.zipf",
    "load": "bench.cache.load",
    "engine": "bench.cache.engine",
    "latency": "bench.cache.latency",
    "http": "bench.cache.http",
    "staleness": "bench.cache.staleness",
    "crash": "bench.cache.crash",
    "flood": "bench.cache.flood",
    "traps": "bench.cache.traps",
    "eviction": "bench.cache.eviction",
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
        return report.publish("cache", arguments, given.results, figures)
    codes = []
    for name in given.only:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", "bench", "cache", *arguments, "--only", name]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return max(codes)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("cache", __doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--quick", action="store_true", help="small, on made-up vectors")
    parser.add_argument("--data", type=Path, default=datasets(), help="folder of the sentences (default: VDB_DATASETS)")
    parser.add_argument(
        "--peer-python",
        metavar="PATH",
        help="interpreter of an environment with gptcache, sqlalchemy and faiss-cpu; without one the peer is left out",
    )
    return parser
