"""The world of the index in RAM, over an index on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.index.curator.world import Floats, Memory, World
from vdb.index.spann.fold import Outcome, folded
from vdb.index.spann.index import Moment, SpannIndex
from vdb.index.spann.search import Effort, Found
from vdb.storage.lists import Lists

EVERYTHING = Effort(budget=1 << 40, candidates=1 << 14)


@dataclass
class DiskWorld(World):
    """`folder` is where its lists lie."""

    folder: Path = Path("lists")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lists = Lists(self.folder)
        self.outcomes: list[Outcome] = []
        self.moments: list[Moment] = []

    def made(self, model: Any, pids: Any, owners: Any, expiries: Any, tenants: Any, granted: Any, given: Any) -> Any:
        self.vectors_file = Memory(np.zeros((len(pids), self.dimension), np.float32))
        points = pids, owners, expiries, tenants, granted
        return SpannIndex.build(model, *points, given, self.vectors_file, self.lists, self.sequence, self.kernels)

    def successor(self, old: Any, moment: Any) -> Any:
        self.moments.append(moment)
        self.outcomes.append(folded(old, moment, self.lists))
        return self.outcomes[-1].index

    def search(self, index: Any, state: Any, tenant: int, query: Floats, k: int, sequence: int, now_ms: int = 0) -> Any:
        found: Found = index.search(state, tenant, query, k, sequence, now_ms, EVERYTHING)
        return found

    def found_pids(self, found: Any, state: Any) -> list[int]:
        held = found.row >= 0
        pids: list[int] = found.pid[held].tolist()
        for pid, owner in zip(pids, found.owner[held].tolist(), strict=True):
            assert all(pid not in known or known[pid].owner == owner for known in self.history.values())
        return pids
