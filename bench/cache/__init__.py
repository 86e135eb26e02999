"""The semantic cache: calls it saves at how much error, how fast it decides; what it serves beside writers and kills.

A part is measured in a process of its own. Sentences come from `--data`, the folder with `clinc150`, `banking77` and
`arxiv`; `--quick` does without them, on few made-up vectors. A part whose data is not there is left out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench import parts, report
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
    return parts.run("cache", PARTS, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("cache", __doc__)
    parts.add_only(parser, PARTS)
    parser.add_argument("--quick", action="store_true", help="small, on made-up vectors")
    parser.add_argument("--data", type=Path, default=datasets(), help="folder of the sentences (default: VDB_DATASETS)")
    parser.add_argument(
        "--peer-python",
        metavar="PATH",
        help="interpreter of an environment with gptcache, sqlalchemy and faiss-cpu; without one the peer is left out",
    )
    return parser
