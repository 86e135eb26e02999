"""Retrieval for text: what two fused legs find, keyword search against its oracle, ingest, hybrid search over HTTP.

A part is measured in a process of its own. Texts come from `--data`, the folder with `squad2`, `arxiv`, `ir`, `tools`
and `limit_small`; `--quick` takes few of them, or made-up ones. A part whose data is not there is left out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench import parts, report
from bench.tenants.growth import datasets

PARTS: dict[str, str] = {
    "chunks": "bench.retrieval.chunks",
    "lexical": "bench.retrieval.lexical",
    "ingest": "bench.retrieval.ingest",
    "http": "bench.retrieval.http",
    "hybrid": "bench.retrieval.hybrid",
    "bm25": "bench.retrieval.bm25",
}
"""Modules whose `measure(given)` returns the figures of a part."""


def main(arguments: Sequence[str]) -> int:
    """Measure each part in a process of its own; 1 where a bar is missed."""
    return parts.run("retrieval", PARTS, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("retrieval", __doc__)
    parts.add_only(parser, PARTS)
    parser.add_argument("--quick", action="store_true", help="small: few documents and queries")
    parser.add_argument("--data", type=Path, default=datasets(), help="folder of the texts (default: VDB_DATASETS)")
    return parser
