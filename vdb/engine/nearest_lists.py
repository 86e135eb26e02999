"""Candidates for a search from an index whose posting lists lie on disk; see `vdb.engine.nearest`.

A search that cannot be trusted, because a page is damaged, is not answered: `DamagedIndex` tells who runs it.
"""

import time
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.engine.acceleration.figures import Declined
from vdb.engine.acceleration.offload import Offload, offload_of
from vdb.engine.choosing import described
from vdb.engine.filters import Filter
from vdb.engine.list_figures import PAGE_BYTES, ListFigures
from vdb.engine.nearest import Nearest, Place
from vdb.engine.nearest_rows import indexed
from vdb.engine.plan import Notes, Plan
from vdb.engine.plan_lists import ListEffort, list_effort
from vdb.engine.row_sets import flags_of, row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.errors import CorruptData
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.narrowing import Narrowed, n_seen, narrowed
from vdb.index.spann.search import Effort, Found
from vdb.index.spann.state import State
from vdb.storage.catalog import CollectionDocument
from vdb.types import EVERYONE_ID, Metric, Tier

WIDENING = 8
TOPS = 3
"""Place of the tops in the table of a reading."""
ALL = 1 << 40
"""Rows: more than there are."""
SCORED, READ, ROWS, COMPARED, LIST_PAGES, VECTOR_PAGES, LATE_LEFT, LATE = range(8)
"""Places of `Found.statistics`."""


class DamagedIndex(Exception):
    """A page of this index is not what was written: nothing it finds is to be trusted."""

    def __init__(self, index: SpannIndex) -> None:
        super().__init__("a page of an index is damaged")
        self.index = index


def by_index(
    services: Services,
    collection: CollectionDocument,
    shard: Shard,
    tenant: int,
    snapshot: Snapshot,
    parsed: Filter | None,
    plan: Plan,
) -> Nearest | None:
    """The index's newest state, wherever it lies; None when it was laid out since the snapshot, or is gone."""
    index = shard.index.current
    if not isinstance(index, SpannIndex):
        return indexed(services, collection, shard, tenant, snapshot, parsed, plan)
    state = index.state
    if state.floor_sequence > snapshot.sequence:
        return None
    offload = offload_of(services, plan, tenant, Declined.ON_DISK)
    rows = row_set_of(services, collection, snapshot, parsed)
    figures = shard.index.list_figures
    if rows is None or parsed is None:
        return ListsNearest(index, state, tenant, snapshot, plan, figures, offload)
    place = (collection.id, parsed.key, tenant, "lists")
    known = services.row_sets.get(place, snapshot.sequence)
    if known is not None and known[0]() is state.directories and known[1]() is state.late.rows:
        made: Narrowed = known[2]
    else:
        flags = flags_of(services, collection.id, snapshot, parsed.key, rows.pids)
        made = narrowed(state, tenant, flags)
        of_state = weakref.ref(state.directories), weakref.ref(state.late.rows)  # old ones are not kept for it
        services.row_sets.put(place, snapshot.sequence, (*of_state, made), made.nbytes)
    return ListsNearest(index, state, tenant, snapshot, plan, figures, offload, made, rows.is_exact)


@dataclass(slots=True)
class ListsNearest:
    """The rows of the nearest lists are compared by their codes, the best of them by their vectors."""

    index: SpannIndex
    state: State
    tenant: int
    snapshot: Snapshot
    plan: Plan
    figures: ListFigures
    offload: Offload
    narrowed: Narrowed | None = None
    """What a filter leaves of the rows."""
    is_filtered: bool = False
    scan_us: float = 0.0
    statistics: NDArray[np.int64] = field(default_factory=lambda: np.zeros(8, np.int64))
    effort: ListEffort = field(default_factory=lambda: ListEffort(0, 0, 0.0, 0.0))
    notes: Notes = field(default_factory=Notes)

    @property
    def is_indexed(self) -> bool:
        return True

    @property
    def is_by_index(self) -> bool:
        return self.narrowed is not None

    @property
    def n_rows(self) -> int:
        return self.index.n_named(self.state, self.tenant)

    @property
    def n_seen(self) -> int:
        return n_seen(self.state, self.tenant, self.snapshot.sequence, self.snapshot.now_ms)

    @property
    def n_allowed(self) -> int:
        return self.narrowed.n_rows if self.narrowed is not None else self.n_rows

    def nearest(self, queries: NDArray[np.float32], k: int) -> list[list[Place]]:
        """Raises DamagedIndex."""
        began = time.perf_counter()
        n_allowed = self.n_allowed
        k = min(k, n_allowed)
        found = [self._nearest(query, k, n_allowed) for query in queries] if k else [[] for _ in queries]
        self.scan_us += (time.perf_counter() - began) * 1e6
        return found

    def _nearest(self, query: NDArray[np.float32], k: int, n_allowed: int) -> list[Place]:
        """Searches again, further, where rows that nobody may see any more left too few."""
        self.effort, self.notes = list_effort(self.plan, k, n_allowed)
        effort = Effort(self.effort.budget, self.effort.candidates, self.effort.ratio, self.effort.spreads)
        self.figures.n_queries += 1
        while True:
            found = self._searched(query, k, effort)
            n_found = int(np.count_nonzero(found.row >= 0))
            if n_found == k or effort.budget >= ALL or self._has_read_all(found):
                return self._places(found, n_found)
            budget = WIDENING * effort.budget
            effort = Effort(budget if budget < n_allowed else ALL, effort.candidates)

    def _searched(self, query: NDArray[np.float32], k: int, effort: Effort) -> Found:
        snapshot = self.snapshot
        try:
            found = self.index.search(
                self.state, self.tenant, query, k, snapshot.sequence, snapshot.now_ms, effort, self.narrowed
            )
        except CorruptData as exc:
            raise DamagedIndex(self.index) from exc
        self.statistics += found.statistics
        self.figures.n_pages += int(found.statistics[LIST_PAGES] + found.statistics[VECTOR_PAGES])
        return found

    def _has_read_all(self, found: Found) -> bool:
        """Whether no list was left out: of very large readings some are not even scored."""
        n_scored, n_read, n_left = found.statistics[[SCORED, READ, LATE_LEFT]].tolist()
        laid, tenants = self.state.laid, (self.tenant, EVERYONE_ID)
        tables = self.narrowed.tables if self.narrowed is not None else tuple(laid.table(of) for of in tenants)
        return n_scored == n_read and n_left == 0 and not any(table.arrays[TOPS].shape[1] for table in tables)

    def _places(self, found: Found, n: int) -> list[Place]:
        distance = found.distance[:n]
        metric = self.state.model.metric
        if metric is Metric.L2:
            distance = np.sqrt(distance)
        elif metric is Metric.COSINE:
            distance = np.minimum(distance, np.float32(2))
        return list(zip(distance.tolist(), found.pid[:n].tolist(), found.owner[:n].tolist(), strict=True))

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        return None

    def explain(self) -> dict[str, Any]:
        told = self.statistics.tolist()
        return {
            "path": "index",
            "tier": Tier.DISK,
            "lists_scored": told[SCORED],
            "lists_read": told[READ],
            "list_pages": told[LIST_PAGES],
            "vector_pages": told[VECTOR_PAGES],
            "bytes_read": PAGE_BYTES * (told[LIST_PAGES] + told[VECTOR_PAGES]),
            "codes_scored": told[ROWS],
            "late_rows": told[LATE],
            "reranked": told[COMPARED],
            "budget": self.effort.budget,
            "candidates": self.effort.candidates,
            "encoding": described(self.state.model.encoding),
            "recall": self.notes.recall,
            "reached": self.notes.reached,
            "extrapolated": self.notes.extrapolated,
        }
