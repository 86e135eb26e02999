"""The exact index: one audience's points as arrays in memory, scanned whole, visible by sequence number.

Row arrays, all of one capacity: vectors float32 (capacity, d) C order; scales float32 (1/norm; length 0 unless cosine);
pids and owners uint32; versions and dead_at int64 sequences; expires_at int64 epoch ms, 0 = never. A row is visible at
sequence s if versions <= s < dead_at and it has not expired: `versions` is both the point's version and the moment its
row appeared.

Rows are immutable. A replaced point gets a new row (a change of payload alone touches none); `dead_at` of the old one
goes from `ALIVE` to a sequence, one aligned store that no reader at an earlier sequence can tell from before.
Appends fill spare capacity beyond `n_rows` and publish a new `FlatState`; a reader keeps the state it took.

A reader takes its sequence first, then the state: later deaths may miss arrays that were already replaced. A state
answers for sequences from `floor_sequence` on; who holds an older one takes both again.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vdb.index.base import Hits
from vdb.kernels import ALIVE, METRIC_NUMBER, Kernels, current, row_scales
from vdb.kernels.reference import Float32s, Int64s, Rows, UInt8s, UInt32s
from vdb.types import Metric

GROWTH = 1.5
SMALLEST_GROWTH_ROWS = 8

COMPACT_ABOVE_DEAD_ROWS = 64
COMPACT_ABOVE_DEAD_SHARE = 0.25

CALL_COST_S = 10e-6
MEMORY_BYTES_PER_S = 30e9
CACHE_BYTES_PER_S = 60e9

_LARGEST = float(np.finfo(np.float32).max)
_NO_MASK: UInt8s = np.zeros(0, dtype=np.uint8)
_NO_SCALES: Float32s = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class FlatState:
    """What readers hold: arrays and how many of their rows are published. Only `dead_at` changes, as told above."""

    vectors: Float32s
    scales: Float32s
    pids: UInt32s
    owners: UInt32s
    versions: Int64s
    dead_at: Int64s
    expires_at: Int64s
    n_rows: int
    floor_sequence: int

    def seen_pids(self, sequence: int, now_ms: int) -> UInt32s:
        """Pids of the rows that are visible then."""
        n = self.n_rows
        ends = self.expires_at[:n]
        is_seen = (self.versions[:n] <= sequence) & (self.dead_at[:n] > sequence) & ((ends == 0) | (ends > now_ms))
        pids: UInt32s = self.pids[:n][is_seen]
        return pids


_ARRAYS = tuple(field.name for field in fields(FlatState) if field.name not in ("n_rows", "floor_sequence"))


def scan_cost_s(n_rows: int, dimension: int, n_queries: int) -> float:
    """Estimated seconds of one compiled scan, for choosing between the event loop and the pool.

    The first query reads the vectors from memory, at the rate one core reaches there (twice that if the L3 cache holds
    them); further queries find each tile in the L2 cache. The constant is the call and its output arrays. Linear in
    bytes: the heap matters only where k is a large part of the rows.
    """
    n_bytes = 4.0 * n_rows * dimension
    return CALL_COST_S + n_bytes / MEMORY_BYTES_PER_S + max(0, n_queries - 1) * n_bytes / CACHE_BYTES_PER_S


class FlatSegment:
    """Exact search over one audience. One writer at a time (the caller holds a lock); readers need none."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric = metric
        self._state = self._empty_state(0)
        self._live = _LiveRows(self._state)
        self._n_dead = 0

    @classmethod
    def bulk(
        cls,
        dimension: int,
        metric: Metric,
        pids: UInt32s,
        owners: UInt32s,
        versions: Int64s,
        expires_at: Int64s,
        vectors: Float32s,
        sequence: int,
    ) -> Self:
        """A segment of these live points, as they stand at `sequence`. Arrays of the right dtype are kept, not copied.

        Read-only arrays are welcome. Ascending pids cost no memory for finding a point again; others 100 B each.
        """
        segment = cls(dimension, metric)
        rows = np.ascontiguousarray(vectors, dtype=np.float32).reshape(len(pids), dimension)
        segment._publish(
            FlatState(
                vectors=rows,
                scales=row_scales(rows) if metric is Metric.COSINE else _NO_SCALES,
                pids=np.ascontiguousarray(pids, dtype=np.uint32),
                owners=np.ascontiguousarray(owners, dtype=np.uint32),
                versions=np.ascontiguousarray(versions, dtype=np.int64),
                dead_at=np.full(len(pids), ALIVE, dtype=np.int64),
                expires_at=np.ascontiguousarray(expires_at, dtype=np.int64),
                n_rows=len(pids),
                floor_sequence=sequence,
            )
        )
        segment._live = _LiveRows(segment._state)
        return segment

    @property
    def state(self) -> FlatState:
        """The newest published state; take the sequence to search at before it."""
        return self._state

    @property
    def n_live(self) -> int:
        """Rows that no write has ended; expired ones count until they are purged."""
        return self._state.n_rows - self._n_dead

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, spare capacity included."""
        return sum(getattr(self._state, name).nbytes for name in _ARRAYS)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors and their scales among them; the rest is the bookkeeping of rows."""
        return self._state.vectors.nbytes + self._state.scales.nbytes

    @property
    def should_compact(self) -> bool:
        floor = max(COMPACT_ABOVE_DEAD_ROWS, COMPACT_ABOVE_DEAD_SHARE * self._state.n_rows)
        return self._n_dead > floor

    # Writing

    def put(self, pid: int, owner: int, vector: Float32s, version: int, expires_at: int = 0) -> None:
        """Insert or replace one point; `version` is the sequence of the write, `expires_at` epoch ms or 0."""
        self.put_many(np.array([pid], dtype=np.uint32), owner, vector[np.newaxis, :], version, expires_at)

    def put_many(
        self,
        pids: UInt32s,
        owners: UInt32s | int,
        vectors: Float32s,
        version: Int64s | int,
        expires_at: Int64s | int = 0,
    ) -> None:
        """Insert or replace points; `owners`, `version` and `expires_at` are one for all or one for each.

        With a version for each, the points are new ones: no older row ends.
        """
        n_new = len(pids)
        if n_new == 0:
            return
        state = self._with_room(n_new)
        first, stop = state.n_rows, state.n_rows + n_new
        state.vectors[first:stop] = vectors
        if self.metric is Metric.COSINE:
            new = state.vectors[first:stop]
            state.scales[first:stop] = _scale_of(new[0]) if n_new == 1 else row_scales(new)
        state.pids[first:stop] = pids
        state.owners[first:stop] = owners
        state.versions[first:stop] = version
        state.dead_at[first:stop] = ALIVE
        state.expires_at[first:stop] = expires_at
        self._n_dead += self._live.add(state, first, stop, version if isinstance(version, int) else int(version[-1]))
        self._publish(replace(state, n_rows=stop))

    def kill(self, pid: int, sequence: int) -> bool:
        """End the point's row at `sequence`; whether there was one. For deletes, revokes and a vector taken away."""
        row = self._live.find(self._state, pid)
        if row is None:
            return False
        self._live.drop(self._state, pid, row, sequence)
        self._n_dead += 1
        return True

    def compact(self, sequence: int) -> None:
        """Drop rows dead at or before `sequence`, which becomes the floor. States taken before are unaffected.

        `sequence` is at most the newest one: readers still to come at earlier ones are sent back for a newer.
        """
        old = self._state
        dead_at = old.dead_at[: old.n_rows]
        live = np.flatnonzero(dead_at == ALIVE)
        dying = np.flatnonzero((dead_at > sequence) & (dead_at != ALIVE))
        rows = np.concatenate([live[np.argsort(old.pids[live])], dying])
        self._n_dead = len(dying)
        self._publish(_taken(old, rows, max(sequence, old.floor_sequence)))
        self._live = _LiveRows(self._state)

    # Reading

    def search(
        self,
        state: FlatState,
        queries: Float32s,
        k: int,
        sequence: int,
        now_ms: int,
        mask: UInt8s | None = None,
        kernels: Kernels | None = None,
    ) -> Hits:
        """The `k` nearest rows of `state` to each of `queries` (q, d) that are visible at `sequence` and `now_ms`.

        `mask` uint8 (>= n_rows,): 1 = allowed. `k` may exceed the rows. `kernels` default to the fastest ready.
        """
        assert sequence >= state.floor_sequence, "the caller checks the floor and takes a newer sequence"
        assert mask is None or len(mask) >= state.n_rows
        n_queries, n_kept = len(queries), min(k, state.n_rows)
        distance = np.empty((n_queries, n_kept), dtype=np.float32)
        row = np.empty((n_queries, n_kept), dtype=np.int64)
        if n_kept:
            prepared = self._prepared(queries)
            self._scan(kernels or current(), state, prepared, sequence, now_ms, mask, distance, row)
        return Hits(*_padded(self._stated(distance), row, k))

    def _scan(
        self,
        kernels: Kernels,
        state: FlatState,
        queries: Float32s,
        sequence: int,
        now_ms: int,
        mask: UInt8s | None,
        distance: Float32s,
        row: Int64s,
    ) -> None:
        of_rows = (state.vectors, state.scales, state.pids, state.versions, state.dead_at, state.expires_at)
        allowed = _NO_MASK if mask is None else mask
        how = (allowed, state.n_rows, sequence, now_ms, METRIC_NUMBER[self.metric])
        if len(queries) == 1:
            kernels.scan_rows(queries[0], *of_rows, *how, distance[0], row[0])
        else:
            kernels.scan_many(queries, *of_rows, *how, distance, row, np.empty(len(queries), dtype=np.int64))

    def _prepared(self, queries: Float32s) -> Float32s:
        """C order float32; normalised for cosine, where a zero query stays zero and so lies at 1 from everything."""
        raw = np.ascontiguousarray(queries, dtype=np.float32)
        if self.metric is not Metric.COSINE:
            return raw
        return raw * (_scale_of(raw[0]) if len(raw) == 1 else row_scales(raw)[:, np.newaxis])

    def _stated(self, distance: Float32s) -> Float32s:
        """Kernel distances to those of the API: the root for l2, at most 2 for cosine."""
        if self.metric is Metric.L2:
            np.sqrt(distance, out=distance)
        elif self.metric is Metric.COSINE and not (len(distance) == 1 and distance.size and distance[0, -1] <= 2):
            np.minimum(distance, np.float32(2), out=distance, where=distance < np.inf)
        return distance

    # State

    def _publish(self, state: FlatState) -> None:
        self._state = state

    def _empty_state(self, sequence: int) -> FlatState:
        sequences = np.zeros(0, dtype=np.int64)
        ids = np.zeros(0, dtype=np.uint32)
        vectors = np.zeros((0, self.dimension), dtype=np.float32)
        return FlatState(vectors, _NO_SCALES, ids, ids, sequences, sequences, sequences, 0, sequence)

    def _with_room(self, n_more: int) -> FlatState:
        """The state, or a copy in larger arrays, not yet published, that holds `n_more` rows beyond its own."""
        state = self._state
        capacity, needed = len(state.pids), state.n_rows + n_more
        if needed <= capacity:
            return state
        return _grown(state, max(needed, int(capacity * GROWTH), SMALLEST_GROWTH_ROWS), self.metric)


class _LiveRows:
    """Finds the live row of a pid: by binary search in the run of rows that ascend by pid, by a dict beyond it.

    New points have the highest pids, so the run usually holds all rows and a segment that only grows has no dict. The
    first replaced row ends the run; later rows cost some 100 B each until compaction sorts them in.
    """

    def __init__(self, state: FlatState) -> None:
        pids = state.pids[: state.n_rows]
        self._n_run = _ascending_prefix(pids)
        later = self._n_run + np.flatnonzero(state.dead_at[self._n_run : state.n_rows] == ALIVE)
        self._later: dict[int, int] = dict(zip(pids[later].tolist(), later.tolist(), strict=True))
        assert len(self._later) == len(later), "two live rows of one point"

    def find(self, state: FlatState, pid: int) -> int | None:
        row = self._later.get(pid)
        if row is None:
            row = int(self._find_in_run(state, np.array([pid], dtype=np.uint32))[0])
        return row if row >= 0 else None

    def add(self, state: FlatState, first: int, stop: int, version: int) -> int:
        """Enter rows [first, stop), ending older rows of the same points at `version`; returns how many ended."""
        pids = state.pids[first:stop]
        if self._n_run == first and _is_ascending(state.pids[max(0, first - 1) : stop]):
            self._n_run = stop
            return 0
        n_ended = 0
        older = self._find_in_run(state, pids).tolist()
        for row, (pid, row_in_run) in enumerate(zip(pids.tolist(), older, strict=True), first):
            old_row = self._later.get(pid, row_in_run)
            if old_row >= 0:
                state.dead_at[old_row] = version
                n_ended += 1
            self._later[pid] = row
        return n_ended

    def drop(self, state: FlatState, pid: int, row: int, sequence: int) -> None:
        state.dead_at[row] = sequence
        self._later.pop(pid, None)

    def _find_in_run(self, state: FlatState, pids: UInt32s) -> Rows:
        """Live rows of `pids`, −1 where there is none."""
        run = state.pids[: self._n_run]
        if len(run) == 0:
            return np.full(len(pids), -1)
        rows = np.minimum(np.searchsorted(run, pids), len(run) - 1)
        return np.where((run[rows] == pids) & (state.dead_at[rows] == ALIVE), rows, -1)


def _scale_of(vector: Float32s) -> np.float32:
    """`row_scales` of one vector (d,): alone, NumPy's calls there cost more than the numbers."""
    wide = vector.astype(np.float64)
    norm = math.sqrt(wide @ wide)
    return np.float32(min(1.0 / norm, _LARGEST)) if norm > 0 else np.float32(0)


def _ascending_prefix(pids: UInt32s) -> int:
    """How many leading pids strictly ascend."""
    breaks = np.flatnonzero(pids[1:] <= pids[:-1])
    return int(breaks[0]) + 1 if len(breaks) else len(pids)


def _is_ascending(pids: UInt32s) -> bool:
    return _ascending_prefix(pids) == len(pids)


def _grown(state: FlatState, capacity: int, metric: Metric) -> FlatState:
    def grown(array: NDArray[Any]) -> NDArray[Any]:
        larger = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
        larger[: state.n_rows] = array[: state.n_rows]
        return larger

    skipped = () if metric is Metric.COSINE else ("scales",)
    arrays: dict[str, Any] = {name: grown(getattr(state, name)) for name in _ARRAYS if name not in skipped}
    return replace(state, **arrays)


def _taken(state: FlatState, rows: Rows, floor_sequence: int) -> FlatState:
    """These rows of `state` in new arrays of exactly their number."""
    arrays: dict[str, Any] = {name: getattr(state, name)[rows] for name in _ARRAYS if len(getattr(state, name))}
    return replace(state, **arrays, n_rows=len(rows), floor_sequence=floor_sequence)


def _padded(distance: Float32s, row: Int64s, k: int) -> tuple[Float32s, Int64s]:
    """Both with `k` columns: short answers end in row −1 at +inf."""
    n_queries, n_kept = row.shape
    if n_kept == k:
        return distance, row
    wide_distance = np.full((n_queries, k), np.inf, dtype=np.float32)
    wide_row = np.full((n_queries, k), -1, dtype=np.int64)
    wide_distance[:, :n_kept] = distance
    wide_row[:, :n_kept] = row
    return wide_distance, wide_row
