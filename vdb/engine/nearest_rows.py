"""Candidates for a search from the shared index in RAM, on the CPU or an accelerator; see `vdb.engine.nearest`."""

import time
import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vdb.engine.acceleration.estimate import cpu_s
from vdb.engine.acceleration.figures import Declined
from vdb.engine.acceleration.offload import Offload, offload_of
from vdb.engine.choosing import described
from vdb.engine.filters import Filter
from vdb.engine.nearest import Listed, Nearest, Place
from vdb.engine.plan import Chosen, Notes, Plan, effort
from vdb.engine.recall_checks import Case, RecallFigures
from vdb.engine.row_sets import flags_of, row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.narrowing import n_seen, narrowed
from vdb.index.curator.profile import Profile, residual_of, residuals
from vdb.index.curator.resident import Ask
from vdb.index.curator.state import Reading as StateReading
from vdb.index.curator.state import State
from vdb.index.flat import scan_cost_s
from vdb.kernels import current
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID
from vdb.types import Metric

WIDENING = 8
COSINE_MOST = 2.0


class NotThere(Exception):
    """The accelerator does not compare all rows of this index now, for a `reason`: the exact way is another."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def indexed(
    services: Services,
    collection: CollectionDocument,
    shard: Shard,
    tenant: int,
    snapshot: Snapshot,
    parsed: Filter | None,
    plan: Plan,
) -> Nearest | None:
    """The newest state of an index in RAM; None when it was laid out since the snapshot, or is gone."""
    index = shard.index.current
    if not isinstance(index, CuratorIndex):
        return None
    state = index.state
    if state.floor_sequence > snapshot.sequence:
        return None
    mine, everyones = state.reading(tenant), state.reading(EVERYONE_ID)
    whole = mine, everyones
    profile = shard.index.tuner.profile
    rows = row_set_of(services, collection, snapshot, parsed)
    in_rounds = parsed is not None and (rows is None or not rows.is_exact)
    offload = offload_of(services, plan, tenant, Declined.IN_ROUNDS if in_rounds else "")
    if rows is None or parsed is None:
        aims_at_recall = parsed is None and not plan.exact and plan.budget is None and plan.rerank is None
        recall = shard.index.recall if aims_at_recall else None
        return IndexNearest(index, state, mine, everyones, snapshot, whole, plan, offload, profile, recall=recall)

    def narrow(of: int, reading: StateReading) -> StateReading:
        place = (collection.id, parsed.key, of, "reading")
        known = services.row_sets.get(place, snapshot.sequence)
        if known is not None and known[0]() is state.rows:
            return cast(StateReading, known[1])
        flags = flags_of(services, collection.id, snapshot, parsed.key, rows.pids)
        made = narrowed(reading, state.rows, state.model, flags, current())
        services.row_sets.put(place, snapshot.sequence, (weakref.ref(state.rows), made), made.nbytes)
        return made

    mine = narrow(tenant, mine)
    everyones = narrow(EVERYONE_ID, everyones) if everyones.n_rows else everyones
    return IndexNearest(index, state, mine, everyones, snapshot, whole, plan, offload, profile, True, rows.is_exact)


@dataclass(slots=True)
class IndexNearest:
    """The rows of the nearest cells are compared by their codes, the best of them by their vectors."""

    index: CuratorIndex
    state: State
    mine: StateReading
    everyones: StateReading
    snapshot: Snapshot
    whole: tuple[StateReading, StateReading]
    """The readings as they were before a filter narrowed them."""
    plan: Plan
    offload: Offload
    profile: Profile | None = None
    is_by_index: bool = False
    is_filtered: bool = False
    recall: RecallFigures | None = None
    """Who checks some of the searches: None for those that aim at no recall, and with a filter."""
    scan_us: float = 0.0
    statistics: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, np.int64))
    effort: Effort = field(default_factory=lambda: Effort(0, 0))
    notes: Notes = field(default_factory=Notes)

    @property
    def is_indexed(self) -> bool:
        return not self.plan.exact

    @property
    def n_rows(self) -> int:
        return sum(reading.n_rows for reading in self.whole)

    @property
    def n_seen(self) -> int:
        return n_seen(self.whole, self.state.rows, self.snapshot.sequence, self.snapshot.now_ms)

    @property
    def n_allowed(self) -> int:
        return self.mine.n_rows + self.everyones.n_rows

    def nearest(self, queries: NDArray[np.float32], k: int) -> list[list[Place]]:
        return [
            list(zip(distance.tolist(), pids.tolist(), owners.tolist(), strict=True))
            for distance, pids, owners in self.listed(queries, k)
        ]

    def listed(self, queries: NDArray[np.float32], k: int) -> list[Listed]:
        """The same as arrays. Raises NotThere where the plan is exact and the accelerator does not have them all."""
        began = time.perf_counter()
        n_allowed = self.n_allowed
        k = min(k, n_allowed)
        found = self._all(queries, k, n_allowed) if k else [Listed.of(())] * len(queries)
        self.scan_us += (time.perf_counter() - began) * 1e6
        return found

    def _all(self, queries: NDArray[np.float32], k: int, n_allowed: int) -> list[Listed]:
        """By the accelerator, where that is there and worth it; what it does not answer by the CPU."""
        offload, plan = self.offload, self.plan
        if not offload.is_open(len(queries)):
            self._check_may_be_here()
            return [self._nearest(query, self._effort(query, k, n_allowed), k, n_allowed) for query in queries]
        chosen = self._efforts(queries, k, n_allowed)
        readings = (self.mine, self.everyones)
        if plan.exact:
            cost_s = scan_cost_s(n_allowed, self.state.model.dimension, len(queries))
        else:
            counts = Counter(self._stated_effort(one, k, n_allowed) for one in chosen)
            cost_s = sum(cpu_s(self.state, readings, one, n) for one, n in counts.items())
        if not offload.is_worth(cost_s):
            self._check_may_be_here()
            return [self._nearest(query, one, k, n_allowed) for query, one in zip(queries, chosen, strict=True)]
        self.effort, self.notes = self._stated_effort(chosen[-1], k, n_allowed), chosen[-1].notes
        found = offload.search(self.index, self._asks(queries, chosen, k, n_allowed))
        lists: list[Listed] = []
        for query, one, there in zip(queries, chosen, found, strict=True):
            if there is None:
                self._check_may_be_here()
                lists.append(self._nearest(query, one, k, n_allowed))
            else:
                self.statistics += there.statistics
                lists.append(self._listed(there, query, k))
        return lists

    def _check_may_be_here(self) -> None:
        """An exact search of this index is the accelerator's alone: the CPU has another way."""
        if self.plan.exact:
            raise NotThere(self.offload.reason or self.offload.barred)

    def _asks(self, queries: NDArray[np.float32], chosen: list[Chosen], k: int, n_allowed: int) -> list[Ask]:
        state, mine, everyones, is_exact = self.state, self.mine, self.everyones, self.plan.exact
        sequence, now_ms = self.snapshot.sequence, self.snapshot.now_ms
        efforts = {one: self._stated_effort(one, k, n_allowed) for one in set(chosen)}
        return [
            Ask(state, mine, everyones, query, k, sequence, now_ms, efforts[one], is_exact)
            for query, one in zip(queries, chosen, strict=True)
        ]

    def _stated_effort(self, chosen: Chosen, k: int, n_allowed: int) -> Effort:
        return Effort(min(n_allowed, chosen.budget), max(k, chosen.candidates))

    def _nearest(self, query: NDArray[np.float32], chosen: Chosen, k: int, n_allowed: int) -> Listed:
        """Searches again, further, where rows that nobody may see any more left too few."""
        budget, candidates, self.notes = chosen
        budget = min(n_allowed, budget)
        snapshot = self.snapshot
        while True:
            self.effort = Effort(budget, max(k, candidates))
            found = self.index.search(
                self.state, self.mine, self.everyones, query, k, snapshot.sequence, snapshot.now_ms, self.effort
            )
            self.statistics += found.statistics
            is_full = found.row.item(-1) >= 0  # places that stay empty are the last
            if is_full or found.statistics[1] == found.statistics[0]:
                return self._listed(found, query, k)
            budget = min(n_allowed, budget * WIDENING)

    def _listed(self, found: Found, query: NDArray[np.float32], k: int) -> Listed:
        distance, rows = found.distance, found.row
        if rows.item(-1) < 0:
            n_found = int(np.count_nonzero(rows >= 0))
            distance, rows = distance[:n_found], rows[:n_found]
        if self.recall is not None and self.recall.is_due():
            self._hand_over(self.recall, query, k, distance)
        laid = self.state.rows
        return Listed(stated(self.state.model.metric, distance), laid.pids.take(rows), laid.owners.take(rows))

    def _hand_over(self, recall: RecallFigures, query: NDArray[np.float32], k: int, found: NDArray[np.float32]) -> None:
        snapshot = self.snapshot
        readings, target = (self.mine, self.everyones), self.plan.target
        recall.take(
            Case(self.state, readings, query.copy(), k, snapshot.sequence, snapshot.now_ms, found.copy(), target)
        )

    def _effort(self, query: NDArray[np.float32], k: int, n_allowed: int) -> Chosen:
        """By the profile, and by what the projection does not see of the query: the first one that is unlike all that
        was measured is told by it."""
        residual = residual_of(self.state.model, query) if self.profile is not None else 0.0
        return effort(self.plan, k, n_allowed, self.profile, residual)

    def _efforts(self, queries: NDArray[np.float32], k: int, n_allowed: int) -> list[Chosen]:
        """The same of many, which are projected together."""
        if self.plan.exact:
            return [Chosen(n_allowed, k, Notes())] * len(queries)
        if self.profile is None or len(queries) == 1:
            return [self._effort(queries[0], k, n_allowed)] * len(queries)
        model = self.state.model
        seen = residuals(model.projection, queries)
        return [effort(self.plan, k, n_allowed, self.profile, residual) for residual in seen.tolist()]

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        distance, has = self.index.distances_of(self.state, query, pids)
        metric = self.state.model.metric
        return stated(metric, np.maximum(distance, np.float32(0)) if metric is Metric.COSINE else distance), has

    def explain(self) -> dict[str, Any]:
        entries, visited, scored, compared = self.statistics.tolist()
        if self.plan.exact:
            return {"path": "exact"}
        return {
            "path": "index",
            "entries": entries,
            "cells_probed": visited,
            "codes_scored": scored,
            "reranked": compared,
            "budget": self.effort.budget,
            "candidates": self.effort.candidates,
            "encoding": described(self.state.model.encoding),
            "recall": self.notes.recall,
            "reached": self.notes.reached,
            "extrapolated": self.notes.extrapolated,
        }


def stated(metric: Metric, distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The index's distances as the API states them."""
    if metric is Metric.L2:
        root: NDArray[np.float32] = np.sqrt(distance)
        return root
    return np.minimum(distance, np.float32(COSINE_MOST)) if metric is Metric.COSINE else distance
