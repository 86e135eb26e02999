"""What a tenant's search costs on disk beside the same in RAM, pages and vectors being in RAM: CPU µs at equal recall.

Own readings (`exclusive-100`), everyone's (`single-1m`, whose points belong to no tenant here) and granted ones
(`shared-120k`), as `bench tenants` asks and judges them. In RAM is the same clustering with codes in cells and full
vectors in an array (tier `memory`) or in a mapped file (`hybrid`).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.disk.lists import EFFORT, Rows, UInt32s, made, read
from bench.index.arena import world
from bench.report import Figure
from bench.tenants.contender import Contender
from bench.tenants.ours import Ours
from bench.tenants.protocol import Measured, measure
from bench.tenants.summary import cost_us
from bench.tenants.workload import Float32s, K, Workload
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort

TARGET = 0.95
DISK_BAR, HYBRID_BAR = 3.0, 1.5
BUDGETS = (300, 500, 800, 1_200, EFFORT.budget, 2_400, 3_400)
REPETITIONS = 3
WORLDS = {"own": "exclusive-100", "public": "single-1m", "granted": "shared-120k"}
"""Of each kind of reading, the workload."""


class InArray(Rows):
    """Vectors in an array that takes those of slots it has."""

    def put(self, slots: UInt32s, vectors: Float32s) -> None:
        self.rows[slots] = vectors


class InRam(Ours):
    """Tier `memory`."""

    name = "memory"

    def _kept(self, vectors: Float32s) -> "InArray":
        return InArray(np.array(vectors))


class Hybrid(Ours):
    """Tier `hybrid`."""

    name = "hybrid"


class OnDisk(Contender):
    """Tier `disk`."""

    name = "disk"

    def __init__(self, cache: Path, is_public: bool) -> None:
        self._cache = cache
        self._is_public = is_public
        self._opened = ExitStack()
        self._index: SpannIndex | None = None
        self._effort = EFFORT

    @property
    def settings(self) -> Sequence[str]:
        return [f"budget {budget}" for budget in BUDGETS]

    def build(self, workload: Workload) -> None:
        folder = made(self._cache, workload, self._is_public)
        self._index = self._opened.enter_context(read(folder).opened(folder))

    def use(self, setting: str) -> None:
        self._effort = Effort(int(setting.split()[1]), EFFORT.candidates, EFFORT.ratio, EFFORT.spreads)

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        assert self._index is not None, "build comes first"
        found = self._index.search(self._index.state, tenant + 1, query, K, 1, 0, self._effort)
        return found.pid[found.row >= 0].astype(np.int64)


def costs(kind: str, cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of a kind of reading, one of `WORLDS`."""
    is_public = kind == "public"
    workload = world(cache, WORLDS[kind], seed, is_quick)
    contenders = (InRam(is_public), Hybrid(is_public), OnDisk(cache, is_public))
    runs, left_out = measure(contenders, workload, REPETITIONS)
    assert not left_out, left_out
    by_name = {run.name: run for run in runs}
    memory, hybrid, disk = (_cost(by_name[name]) for name in ("memory", "hybrid", "disk"))
    return [
        Figure(f"{kind} readings in memory, CPU at {TARGET}", memory, "µs"),
        Figure(f"{kind} readings on hybrid, CPU at {TARGET}", hybrid, "µs"),
        Figure(f"{kind} readings on disk, CPU at {TARGET}", disk, "µs"),
        Figure(f"{kind} readings, hybrid / memory", hybrid / memory, "x", HYBRID_BAR),
        Figure(f"{kind} readings, disk / memory", disk / memory, "x", None if kind == "granted" else DISK_BAR),
        Figure("foreign hits", sum(sweep.n_foreign for run in runs for sweep in run.sweeps), "", 0),
    ]


def _cost(run: Measured) -> float:
    """At the target; where no setting reaches it, of the most thorough."""
    found = cost_us(run, np.ones(len(run.sweeps[0].recalls), np.bool_), TARGET)
    return float(np.nanmean(run.sweeps[-1].cpu_us)) if found is None else found
