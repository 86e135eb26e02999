"""What is in RAM of one collection: per tenant its own points and the points granted to it; and those of everyone.

A change names *audiences*: `t` is what tenant t owns, `-t` what was granted to it, `-EVERYONE_ID` what all may see.
Only resident readings take changes; an absent one is loaded from the store when it is searched. While a reading loads,
changes queue beside it and are applied if they are newer than the snapshot it was loaded from.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vdb.index.flat import FlatSegment
from vdb.storage.keyspace import EVERYONE_ID
from vdb.types import Metric

PUBLIC = -EVERYONE_ID

READING_BYTES = 2048
"""What a reading takes beside its arrays, about: a tenant without points counts towards the cap too."""

N_LOAD_LOCKS = 64

NEVER = -1


@dataclass(slots=True)
class Change:
    """What one committed write means for RAM.

    `pids`, `vectors` (n, d) float32 and `expires_at_ms` describe the points put; `puts` names, per audience, which of
    them (None: all); `kills` the pids that leave an audience.
    """

    sequence: int
    owner: int
    pids: NDArray[np.uint32]
    vectors: NDArray[np.float32]
    expires_at_ms: NDArray[np.int64]
    puts: dict[int, list[int] | None] = field(default_factory=dict)
    kills: dict[int, list[int]] = field(default_factory=dict)
    inserts_only: bool = False
    """Whether all points are new and nobody's but their owner's."""


class Reading:
    """One tenant's resident segments; for EVERYONE_ID, `own` holds the points shared with everyone.

    An evicted reading takes no more changes, and goes on answering for the sequences up to its eviction.
    """

    __slots__ = ("granted", "last_sequence", "own")

    def __init__(self, own: FlatSegment, granted: FlatSegment | None) -> None:
        self.own = own
        self.granted = granted
        self.last_sequence: int | None = None

    def answers(self, sequence: int) -> bool:
        """Whether every change up to `sequence`, which is published, is in it."""
        return self.last_sequence is None or sequence <= self.last_sequence

    @property
    def n_bytes(self) -> int:
        return READING_BYTES + self.own.nbytes + (self.granted.nbytes if self.granted is not None else 0)

    @property
    def vector_bytes(self) -> int:
        return self.own.vector_bytes + (self.granted.vector_bytes if self.granted is not None else 0)

    @property
    def n_rows(self) -> int:
        return self.own.state.n_rows + (self.granted.state.n_rows if self.granted is not None else 0)


Loader = Callable[[int], tuple[Reading, int]]
"""Loads a tenant's reading from the store: the reading, and the sequence of the snapshot it was read from."""


class Readings:
    """The resident readings of a collection. One publisher at a time; any number of readers without locks."""

    def __init__(self, dimension: int, metric: Metric, sequence: int) -> None:
        self._dimension = dimension
        self._metric = metric
        self._lock = threading.Lock()
        self._residents: dict[int, Reading] = {}
        self._loading: dict[int, list[Change]] = {}
        self._load_locks = [threading.Lock() for _ in range(N_LOAD_LOCKS)]
        self.published_sequence = sequence
        self.is_publishing = False

    def get(self, tenant_id: int) -> Reading | None:
        return self._residents.get(tenant_id)

    def load(self, tenant_id: int, load: Loader) -> Reading:
        """The reading, loaded if it is absent; concurrent callers load it once.

        Locks are shared by number: one made and dropped per tenant would let two load at once after an eviction.
        """
        with self._load_locks[tenant_id % N_LOAD_LOCKS]:
            reading = self._residents.get(tenant_id)
            while reading is None:
                try:
                    reading = self._load(tenant_id, load)
                finally:
                    with self._lock:
                        self._loading.pop(tenant_id, None)
            return reading

    def _load(self, tenant_id: int, load: Loader) -> Reading | None:
        """The reading; None when all readings were dropped meanwhile, so that changes may be missing."""
        waiting: list[Change] = []
        with self._lock:
            self._loading[tenant_id] = waiting
        reading, sequence = load(tenant_id)
        with self._lock:
            if self._loading.get(tenant_id) is not waiting:
                return None
            for change in waiting:
                if change.sequence > sequence:
                    self._apply(tenant_id, reading, change)
            self._residents[tenant_id] = reading
        return reading

    def publish(self, changes: list[Change], sequence: int) -> list[int]:
        """Apply committed changes, then make `sequence` the published one; returns the tenants whose size changed."""
        grown: set[int] = set()
        self.is_publishing = True
        try:
            with self._lock:
                for run in _runs(changes):
                    self._publish(run, grown)
                self.published_sequence = sequence
        finally:
            self.is_publishing = False
        return list(grown)

    def _publish(self, run: list[Change], grown: set[int]) -> None:
        for tenant_id in _tenants_of(run[0]):
            waiting = self._loading.get(tenant_id)
            if waiting is not None:
                waiting.extend(run)
            reading = self._residents.get(tenant_id)
            if reading is None:
                continue
            if len(run) == 1:
                self._apply(tenant_id, reading, run[0])
            else:
                _insert(reading.own, run)
            grown.add(tenant_id)

    def _apply(self, tenant_id: int, reading: Reading, change: Change) -> None:
        audiences = (PUBLIC,) if tenant_id == EVERYONE_ID else (tenant_id, -tenant_id)
        for audience in audiences:
            if audience not in change.kills and audience not in change.puts:
                continue
            segment = self._segment(reading, audience)
            for pid in change.kills.get(audience, ()):
                segment.kill(pid, change.sequence)
            if audience in change.puts:
                self._put(segment, change, change.puts[audience])
            if segment.should_compact:
                segment.compact(change.sequence)

    def _put(self, segment: FlatSegment, change: Change, positions: list[int] | None) -> None:
        chosen: slice | list[int] = slice(None) if positions is None else positions
        pids = change.pids[chosen]
        segment.put_many(
            pids,
            change.owner,
            change.vectors[chosen],
            change.sequence,
            change.expires_at_ms[chosen],
        )

    def _segment(self, reading: Reading, audience: int) -> FlatSegment:
        if audience > 0 or audience == PUBLIC:
            return reading.own
        if reading.granted is None:
            reading.granted = FlatSegment(self._dimension, self._metric)
        return reading.granted

    def evict(self, tenant_id: int) -> None:
        """Drop a reading; whoever searches it now begins again only if there were changes since."""
        with self._lock:
            reading = self._residents.pop(tenant_id, None)
            if reading is not None:
                reading.last_sequence = self.published_sequence

    def start_over(self, sequence: int) -> list[int]:
        """Forget all that is in RAM, which changes up to `sequence` may be missing from; returns the tenants."""
        with self._lock:
            tenants = list(self._residents)
            for reading in self._residents.values():
                reading.last_sequence = NEVER
            self._residents.clear()
            self._loading.clear()
            self.published_sequence = sequence
        return tenants

    def residents(self) -> list[tuple[int, Reading]]:
        """(tenant, reading) of all that is in RAM now."""
        with self._lock:
            return list(self._residents.items())

    @property
    def n_residents(self) -> int:
        return len(self._residents)


def _runs(changes: list[Change]) -> list[list[Change]]:
    """Changes in their order, neighbours that only insert for one owner together: small writes of one commit."""
    runs: list[list[Change]] = []
    for change in changes:
        if runs and change.inserts_only and runs[-1][-1].inserts_only and runs[-1][-1].owner == change.owner:
            runs[-1].append(change)
        else:
            runs.append([change])
    return runs


def _insert(segment: FlatSegment, run: list[Change]) -> None:
    """The new points of several changes in one append, each under its own sequence."""
    segment.put_many(
        np.concatenate([change.pids for change in run]),
        run[0].owner,
        np.concatenate([change.vectors for change in run]),
        np.repeat([change.sequence for change in run], [len(change.pids) for change in run]),
        np.concatenate([change.expires_at_ms for change in run]),
    )


def _tenants_of(change: Change) -> set[int]:
    """Whose readings a change touches."""
    return _absolutes(change.puts) | _absolutes(change.kills)


def _absolutes(audiences: Mapping[int, object]) -> set[int]:
    return {abs(audience) for audience in audiences}
