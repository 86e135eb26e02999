"""Candidates for a search, nearest first: from flat segments, exactly; or from the shared index, in RAM
(`vdb.engine.nearest_rows`) or on disk (`vdb.engine.nearest_lists`).

All answer for one snapshot, each pid once, ordered by (distance, pid); the caller checks every record after that.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vdb.engine.acceleration.offload import Offload
from vdb.engine.filters import Filter
from vdb.engine.readings import Reading
from vdb.engine.row_sets import Mask, Masks, masks_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.index.flat import FlatSegment, FlatState
from vdb.kernels.distinct import distinct
from vdb.storage.catalog import CollectionDocument

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


class Nearest(Protocol):
    """Where the candidates of a search come from; `scan_us` is the time that took so far, `offload` says what of it was
    an accelerator's."""

    scan_us: float
    offload: Offload

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


@dataclass(slots=True)
class FlatNearest:
    """Every row is compared, but for those that a mask rules out."""

    segments: Segments
    snapshot: Snapshot
    masks: Masks | None = None
    scan_us: float = 0.0
    offload: Offload = field(default_factory=Offload)

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
