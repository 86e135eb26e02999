"""The points that costs are measured on: paper abstracts grown to each size, one owner; and how figures are named.

A figure is of one part at one size: `memory 20,000: rows scored at .95`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.datasets import load
from bench.report import Figure
from bench.tenants.access import single
from bench.tenants.store import Store
from bench.tenants.truth import exact
from bench.tenants.workload import Workload

QUICK = (500, 1_000, 2_000)
"""Sizes of a quick run, of the first generated rows."""


def worlds(given: argparse.Namespace, sizes: Sequence[int]) -> Iterator[Workload]:
    """The workload of each size in turn: those of `--sizes`, or `sizes`. Raises LeftOut without the data."""
    store = Store(given.cache)
    if given.quick:
        whole = load("arxiv-2k", store, given.seed, is_quick=True)
        yield from (cut(whole, n) for n in QUICK)
        return
    for n in given.sizes or sizes:
        yield load(f"arxiv-{n // 1_000}k", store, given.seed)


def cut(workload: Workload, n: int) -> Workload:
    """The first n points of a workload of one tenant, with the neighbours that are among them."""
    vectors, access = workload.vectors[:n], single(n)
    truth = exact(workload.metric, vectors, access, workload.queries, workload.askers)
    key = f"{workload.key}-first-{n}"
    return replace(workload, vectors=vectors, access=access, truth=truth, key=key, vectors_key=key)


def figures(part: str, size: int, found: dict[str, tuple[float, str]]) -> list[Figure]:
    """Figures of a part at a size, of values and units by what they are of."""
    return [Figure(f"{part} {size:,}: {what}", value, unit) for what, (value, unit) in found.items()]
