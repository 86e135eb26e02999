"""What writes cost the index: inserts with their grants, grants, revokes, replaces, deletes; CPU time of the thread.

Into 120,000 rows of 100 tenants, about ten per point. Folds, and layouts where they are due, are done in the same
thread and counted; the store is not there. What hands batches over (positions per tenant) is made before.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.index.arena import Arena, Batch, arena, batch_of, world
from bench.report import Figure, median
from bench.tenants.workload import Workload

INSERT_BAR_US, SHARE_BAR_US = 25.0, 5.0
SLICE = 10_000
"""Inserts made ready at once, and timed as one run."""


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """Figures of all kinds of writes."""
    start, more = world(cache, "shared-120k", seed, is_quick), world(cache, "shared-1m", seed, is_quick)
    n = len(start.vectors)
    n_inserts = n if is_quick else 200_000
    rng = np.random.default_rng(seed)
    with arena(start, np.arange(n)) as place:
        figures = _inserts(place, more, np.arange(n, n + n_inserts), n)
        pids = np.arange(n + n_inserts, dtype=np.uint32)
        figures += _small(place, more, n_inserts // 40, pids)
        figures += _others(place, more, pids, rng, 4 if is_quick else 20)
    return figures


def _timed(work: Callable[..., object], *arguments: object) -> float:
    began = time.thread_time()
    work(*arguments)
    return time.thread_time() - began


def _batches(more: Workload, rows: np.ndarray, first_pid: int, size: int) -> Iterator[Batch]:
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        yield batch_of(more, some, np.arange(first_pid + first, first_pid + first + len(some), dtype=np.uint32))


def _inserts(place: Arena, more: Workload, rows: np.ndarray, first_pid: int) -> list[Figure]:
    """All of the inserts in batches of 1,000; runs are of 10,000 each."""
    runs = []
    n_before = len(place.layout_s)
    for first in range(0, len(rows), SLICE):
        ready = list(_batches(more, rows[first : first + SLICE], first_pid + first, 1_000))
        runs.append(_timed(_put, place, ready))
    layouts = place.layout_s[n_before:]
    n = len(rows)
    n_grants = int(np.diff(more.access.offsets)[rows].sum())
    return [
        Figure("insert, batches of 1,000", sum(runs) * 1e6 / n, "us", INSERT_BAR_US),
        Figure("insert, layouts' part", sum(layouts) * 1e6 / n, "us"),
        Figure("layouts", len(layouts), "", runs=tuple(layouts)),
        Figure("grants per insert", n_grants / n, ""),
    ]


def _put(place: Arena, ready: list[Batch], keeps_up: bool = True) -> None:
    for batch in ready:
        batch.put(place)
        if keeps_up:
            place.keep_up()


def _small(place: Arena, more: Workload, n: int, pids: np.ndarray) -> list[Figure]:
    """Inserts in small batches, without layouts."""
    figures = []
    rows = np.arange(len(more.vectors) - n, len(more.vectors))
    first_pid = len(pids)
    for size in (100, 1):
        some = rows if size > 1 else rows[: max(1, n // 5)]
        ready = list(_batches(more, some, first_pid, size))
        first_pid += len(some)
        took_s = _timed(_put, place, ready, False)
        figures.append(Figure(f"insert, batches of {size}, no layouts", took_s * 1e6 / len(some), "us"))
    return figures


def _others(place: Arena, more: Workload, pids: np.ndarray, rng: np.random.Generator, n_batches: int) -> list[Figure]:
    size = min(1_000, len(pids) // 4)
    owner = int(more.access.owners[0]) + 1
    tenants = rng.integers(1, more.access.n_tenants - 1, n_batches).tolist()
    none = np.zeros(size, np.int64)
    grants, revokes, replaces, deletes = [], [], [], []
    for tenant in tenants:
        some = rng.choice(pids, size, replace=False).astype(np.uint32)
        vectors = more.vectors[np.sort(rng.choice(len(more.vectors), size, replace=False))]
        index = place.index
        grants.append(_timed(index.put, owner, some, vectors, none, {-tenant: None}, place.next()))
        revokes.append(_timed(index.revoke, tenant, some))
        place.keep_up()
    for _ in tenants:
        some = rng.choice(pids, size, replace=False).astype(np.uint32)
        vectors = more.vectors[np.sort(rng.choice(len(more.vectors), size, replace=False))]
        index = place.index
        replaces.append(_timed(index.put, owner, some, vectors, none, {owner: None}, place.next()))
        deletes.append(_timed(index.kill, some, place.next()))
        place.keep_up()
    return [
        median("grant, batches of 1,000", [took * 1e6 / size for took in grants], "us", SHARE_BAR_US),
        median("revoke, batches of 1,000", [took * 1e6 / size for took in revokes], "us", SHARE_BAR_US),
        median("replace, batches of 1,000, no grants", [took * 1e6 / size for took in replaces], "us"),
        median("delete, batches of 1,000", [took * 1e6 / size for took in deletes], "us"),
    ]
