"""Answers: contexts under a budget, the extractive backend, what the cache saves, what the way of an answer costs.

A part is measured in a process of its own. Texts come from `--data`, the folder with `squad2` and `ir`; `--quick` takes
few of them, or made-up ones. A part whose data is not there is left out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench import parts, report
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
    return parts.run("answers", PARTS, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("answers", __doc__)
    parts.add_only(parser, PARTS)
    parser.add_argument("--quick", action="store_true", help="small: few documents and questions")
    parser.add_argument("--data", type=Path, default=datasets(), help="folder of the texts (default: VDB_DATASETS)")
    return parser
