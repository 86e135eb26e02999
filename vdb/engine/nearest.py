"""Candidates for a search, nearest first: from flat segments, exactly, or from the shared index.

Both answer for one snapshot, each pid once, ordered by (distance, pid); the caller checks every record after that.
"""

import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vdb.engine.choosing import described
from vdb.engine.filters import Filter
from vdb.engine.plan import Chosen, Notes, Plan, effort
from vdb.engine.readings import Reading
from vdb.engine.recall_checks import Case, RecallFigures
from vdb.engine.row_sets import Mask, Masks, flags_of, masks_of, row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Shard, Snapshot
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.narrowing import n_seen, narrowed
from vdb.index.curator.profile import Profile, residual_of
from vdb.index.curator.state import Reading as StateReading
from vdb.index.curator.state import State
from vdb.index.flat import FlatSegment, FlatState
from vdb.kernels import current
from vdb.kernels.distinct import distinct
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID
from vdb.types import Metric

Place = tuple[float, int, int]
"""(distance, pid, owner)."""


class Listed(NamedTuple):
    """What was found as arrays, nearest first: `distance` (n,), `pids` and `owners` uint32 (n,)."""

    distance: NDArray[np.floating[Any]]
    pids: NDArray[np.uint32]
    owners: NDArray[np.uint32]

    @classmethod
    def of(cls, places: Sequence[Place]) -> "Listed":
        """The same places as arrays."""
        distance, pids, owners = zip(*places, strict=True) if places else ((), (), ())
        return cls(np.array(distance, np.float64), np.array(pids, np.uint32), np.array(owners, np.uint32))

    def within(self, max_distance: float) -> "Listed":
        """Those that are no farther."""
        near = self.distance.astype(np.float64) <= max_distance  # the bound is not rounded to float32
        return Listed(self.distance[near], self.pids[near], self.owners[near])


Segments = list[tuple[FlatSegment, FlatState]]

WIDENING = 8


class Nearest(Protocol):
    """Where the candidates of a search come from; `scan_us` is the time that took so far."""

    scan_us: float

    @property
    def n_rows(self) -> int:
        """Rows of the caller's reading, dead ones included."""

    @property
    def n_seen(self) -> int:
        """Those of them that the caller may see, counted when asked."""

    @property
    def n_allowed(self) -> int:
        """Those of them that the payload indexes leave of the filter: no search finds more."""

    @property
    def is_by_index(self) -> bool:
        """Whether payload indexes narrowed what is searched."""

    @property
    def is_indexed(self) -> bool:
        """Whether the shared index answers, not every row."""

    @property
    def is_filtered(self) -> bool:
        """Whether all that is found matches the filter, records of damaged indexes apart."""

    def nearest(self, queries: NDArray[np.float32], k: int) -> list[list[Place]]:
        """The k nearest of each query (q, d); fewer only where there are no more."""

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        """Distances (n,) of the caller's points from a query (d,), and of which (n,) they are; None where of none."""

    def explain(self) -> dict[str, Any]: ...


def flat(
    services: Services,
    collection: CollectionDocument,
    snapshot: Snapshot,
    parsed: Filter | None,
    own: Reading,
    public: Reading,
) -> Nearest | None:
    """Segments and their states; None when one lags behind the snapshot, or is past it: all are then taken anew."""
    if not (own.answers(snapshot.sequence) and public.answers(snapshot.sequence)):
        return None
    found = [(segment, segment.state) for segment in (own.own, own.granted, public.own) if segment is not None]
    if any(state.floor_sequence > snapshot.sequence for _, state in found):
        return None
    masks = masks_of(services, collection, snapshot, parsed, [state for _, state in found])
    return FlatNearest(found, snapshot, masks)


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
    if rows is None or parsed is None:
        aims_at_recall = parsed is None and plan.budget is None and plan.rerank is None
        recall = shard.index.recall if aims_at_recall else None
        return IndexNearest(index, state, mine, everyones, snapshot, whole, plan, profile, recall=recall)

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
    return IndexNearest(index, state, mine, everyones, snapshot, whole, plan, profile, True, rows.is_exact)


@dataclass(slots=True)
class FlatNearest:
    """Every row is compared, but for those that a mask rules out."""

    segments: Segments
    snapshot: Snapshot
    masks: Masks | None = None
    scan_us: float = 0.0

    @property
    def n_rows(self) -> int:
        return sum(state.n_rows for _, state in self.segments)

    @property
    def n_seen(self) -> int:
        sequence, now_ms = self.snapshot.sequence, self.snapshot.now_ms
        pids = [state.seen_pids(sequence, now_ms) for _, state in self.segments]
        return len(distinct(np.concatenate(pids))) if pids else 0

    @property
    def is_indexed(self) -> bool:
        return False

    @property
    def n_allowed(self) -> int:
        return self.masks.n_allowed if self.masks is not None else self.n_rows

    @property
    def is_by_index(self) -> bool:
        return self.masks is not None

    @property
    def is_filtered(self) -> bool:
        return self.masks is not None and self.masks.is_exact

    def nearest(self, queries: NDArray[np.float32], k: int) -> list[list[Place]]:
        began = time.perf_counter()
        snapshot = self.snapshot
        masks: Sequence[Mask | None] = self.masks.masks if self.masks is not None else [None] * len(self.segments)
        found = [
            (state, segment.search(state, queries, k, snapshot.sequence, snapshot.now_ms, mask))
            for (segment, state), mask in zip(self.segments, masks, strict=True)
            if state.n_rows
        ]
        self.scan_us += (time.perf_counter() - began) * 1e6
        return [
            _merged([(state, hits.distance[i], hits.row[i]) for state, hits in found], k) for i in range(len(queries))
        ]

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        return None

    def explain(self) -> dict[str, Any]:
        return {"path": "exact"}


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
        return True

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
        """The same as arrays."""
        began = time.perf_counter()
        n_allowed = self.n_allowed
        k = min(k, n_allowed)
        found = [self._nearest(query, k, n_allowed) if k else Listed.of(()) for query in queries]
        self.scan_us += (time.perf_counter() - began) * 1e6
        return found

    def _nearest(self, query: NDArray[np.float32], k: int, n_allowed: int) -> Listed:
        """Searches again, further, where rows that nobody may see any more left too few."""
        budget, candidates, self.notes = self._effort(query, k, n_allowed)
        budget = min(n_allowed, budget)
        snapshot = self.snapshot
        while True:
            self.effort = Effort(budget, max(k, candidates))
            found = self.index.search(
                self.state, self.mine, self.everyones, query, k, snapshot.sequence, snapshot.now_ms, self.effort
            )
            self.statistics += found.statistics
            n_found = int(np.count_nonzero(found.row >= 0))
            if n_found == k or found.statistics[1] == found.statistics[0]:
                if self.recall is not None and self.recall.is_due():
                    self._hand_over(self.recall, query, k, found.distance[:n_found])
                rows = found.row[:n_found]
                return Listed(
                    self._stated(found.distance[:n_found]), self.state.rows.pids[rows], self.state.rows.owners[rows]
                )
            budget = min(n_allowed, budget * WIDENING)

    def _hand_over(self, recall: RecallFigures, query: NDArray[np.float32], k: int, found: NDArray[np.float32]) -> None:
        snapshot = self.snapshot
        readings, target = (self.mine, self.everyones), self.plan.target
        recall.take(
            Case(self.state, readings, query.copy(), k, snapshot.sequence, snapshot.now_ms, found.copy(), target)
        )

    def _effort(self, query: NDArray[np.float32], k: int, n_allowed: int) -> Chosen:
        """By the profile, and by what the projection does not see of the query: the first one that is unlike all that
        was measured is told by it."""
        residual = residual_of(self.state.model.projection, query) if self.profile is not None else 0.0
        return effort(self.plan, k, n_allowed, self.profile, residual)

    @property
    def _is_cosine(self) -> bool:
        return self.state.model.metric is Metric.COSINE

    def _stated(self, distance: NDArray[np.float32]) -> NDArray[np.float32]:
        """The index's distances as the API states them."""
        metric = self.state.model.metric
        if metric is Metric.L2:
            root: NDArray[np.float32] = np.sqrt(distance)
            return root
        return np.minimum(distance, np.float32(2)) if metric is Metric.COSINE else distance

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        distance, has = self.index.distances_of(self.state, query, pids)
        return self._stated(np.maximum(distance, np.float32(0)) if self._is_cosine else distance), has

    def explain(self) -> dict[str, Any]:
        entries, visited, scored, compared = self.statistics.tolist()
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


def _merged(parts: list[tuple[FlatState, Any, Any]], k: int) -> list[Place]:
    """The k nearest of several segments' sorted hits by (distance, pid); a pid in several of them counts once."""
    merged: list[Place] = []
    for state, distances, rows in parts:
        n_found = int(np.count_nonzero(rows >= 0))
        chosen = rows[:n_found]
        merged.extend(
            zip(distances[:n_found].tolist(), state.pids[chosen].tolist(), state.owners[chosen].tolist(), strict=True)
        )
    if len(parts) == 1:
        return merged[:k]
    merged.sort()
    nearest: dict[int, Place] = {}
    for entry in merged:
        nearest.setdefault(entry[1], entry)
    return list(nearest.values())[:k]
