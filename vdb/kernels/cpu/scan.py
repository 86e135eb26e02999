"""Exact scan, compiled: distances of queries to rows, folded into heaps of the m nearest.

Shapes: d = dimension, n = rows, m = neighbours kept, q = queries. C order.
Dtypes: vectors, scales and distances float32; pids uint32; sequences, times and row numbers int64; mask uint8.
Distances: l2 squared, ip −dot, cosine 1 − dot·scale (the query comes normalised), never below 0. All are finite: what
overflows float32 saturates at its largest value, so +inf marks an empty slot and nothing else.
Order: (distance, pid), so ties go to the point inserted first. An empty slot is row −1 at +inf and sorts last.
Twins: `vdb/kernels/reference.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.reference import COSINE, L2, Float32s, Int64s, UInt8s, UInt32s

LARGEST = np.float32(np.finfo(np.float32).max)
EMPTY_PID = 1 << 32
"""The pid of an empty slot: above every uint32."""

TILE_BYTES = 256 * 1024
"""Vectors that all queries read before the next tile: with the heaps it fits the L2 cache of any recent CPU."""


_ROWS = (
    input_array(types.float32, 2),  # vectors
    input_array(types.float32),  # scales
    input_array(types.uint32),  # pids
    input_array(types.int64),  # added_at
    input_array(types.int64),  # dead_at
    input_array(types.int64),  # expires_at
    input_array(types.uint8),  # mask
    types.int64,  # n_rows
    types.int64,  # sequence
    types.int64,  # now_ms
    types.int64,  # metric
)
SCAN_ROWS = types.int64(input_array(types.float32), *_ROWS, types.float32[::1], types.int64[::1])
SCAN_MANY = types.void(
    input_array(types.float32, 2), *_ROWS, types.float32[:, ::1], types.int64[:, ::1], types.int64[::1]
)


@inlined
def _squared_distance(query: Float32s, vector: Float32s) -> np.float32:
    total = np.float32(0)
    for i in range(query.shape[0]):
        difference = query[i] - vector[i]
        total += difference * difference
    return total


@inlined
def _dot(query: Float32s, vector: Float32s) -> np.float32:
    total = np.float32(0)
    for i in range(query.shape[0]):
        total += query[i] * vector[i]
    return total


@inlined
def _raw_distance(query: Float32s, vectors: Float32s, scales: Float32s, row: int, metric: int) -> np.float32:
    if metric == L2:
        return _squared_distance(query, vectors[row])
    dot = _dot(query, vectors[row])
    return np.float32(1) - dot * scales[row] if metric == COSINE else -dot


@inlined
def _settled(distance: np.float32, metric: int) -> np.float32:
    """Cosine not below 0, overflow and nan at the largest float32."""
    if metric == COSINE and distance < 0:
        return np.float32(0)
    if not distance < LARGEST:  # true for +inf and nan
        return LARGEST
    return max(distance, -LARGEST)


@inlined
def _pid_of(pids: UInt32s, row: int) -> np.int64:
    return np.int64(pids[row]) if row >= 0 else np.int64(EMPTY_PID)


@inlined
def _sift_down(
    heap_distance: Float32s, heap_row: Int64s, pids: UInt32s, size: int, distance: np.float32, row: int
) -> None:
    """Put (distance, row) in place of the root of the first `size` slots and restore the max-heap."""
    pid = _pid_of(pids, row)
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= size:
            break
        child_pid = _pid_of(pids, heap_row[child])
        if child + 1 < size:
            right_pid = _pid_of(pids, heap_row[child + 1])
            left, right = heap_distance[child], heap_distance[child + 1]
            if right > left or (right == left and right_pid > child_pid):
                child += 1
                child_pid = right_pid
        if heap_distance[child] < distance or (heap_distance[child] == distance and child_pid <= pid):
            break
        heap_distance[slot] = heap_distance[child]
        heap_row[slot] = heap_row[child]
        slot = child
    heap_distance[slot] = distance
    heap_row[slot] = row


@inlined
def _clear(heap_distance: Float32s, heap_row: Int64s) -> None:
    for slot in range(heap_row.shape[0]):
        heap_distance[slot] = np.inf
        heap_row[slot] = -1


@inlined
def _sort(heap_distance: Float32s, heap_row: Int64s, pids: UInt32s) -> int:
    """Heap-sort ascending by (distance, pid); returns how many slots are filled."""
    for size in range(heap_row.shape[0] - 1, 0, -1):
        distance, row = heap_distance[size], heap_row[size]
        heap_distance[size] = heap_distance[0]
        heap_row[size] = heap_row[0]
        _sift_down(heap_distance, heap_row, pids, size, distance, row)
    n_found = 0
    while n_found < heap_row.shape[0] and heap_row[n_found] >= 0:
        n_found += 1
    return n_found


@inlined
def _scan_range(
    query: Float32s,
    vectors: Float32s,
    scales: Float32s,
    pids: UInt32s,
    added_at: Int64s,
    dead_at: Int64s,
    expires_at: Int64s,
    mask: UInt8s,
    first: int,
    stop: int,
    sequence: int,
    now_ms: int,
    metric: int,
    heap_distance: Float32s,
    heap_row: Int64s,
) -> None:
    """Fold rows [first, stop) into the heap. Visibility is looked up only for rows near enough to enter."""
    is_masked = mask.shape[0] > 0
    worst = heap_distance[0]
    for row in range(first, stop):
        if is_masked and mask[row] == 0:
            continue
        distance = _raw_distance(query, vectors, scales, row, metric)
        if distance > worst:  # false for nan
            continue
        distance = _settled(distance, metric)
        if distance > worst or (distance == worst and _pid_of(pids, row) >= _pid_of(pids, heap_row[0])):
            continue
        if added_at[row] > sequence or dead_at[row] <= sequence:
            continue
        if expires_at[row] != 0 and expires_at[row] <= now_ms:
            continue
        _sift_down(heap_distance, heap_row, pids, heap_row.shape[0], distance, row)
        worst = heap_distance[0]


@compiled(SCAN_ROWS)
def scan_rows(
    query: Float32s,
    vectors: Float32s,
    scales: Float32s,
    pids: UInt32s,
    added_at: Int64s,
    dead_at: Int64s,
    expires_at: Int64s,
    mask: UInt8s,
    n_rows: int,
    sequence: int,
    now_ms: int,
    metric: int,
    heap_distance: Float32s,
    heap_row: Int64s,
) -> int:
    """Keep the nearest of the first `n_rows` rows, ascending. Returns how many were found."""
    if heap_row.shape[0] == 0:
        return 0
    _clear(heap_distance, heap_row)
    _scan_range(
        query, vectors, scales, pids, added_at, dead_at, expires_at, mask,
        0, n_rows, sequence, now_ms, metric, heap_distance, heap_row,
    )  # fmt: skip
    return _sort(heap_distance, heap_row, pids)


@compiled(SCAN_MANY)
def scan_many(
    queries: Float32s,
    vectors: Float32s,
    scales: Float32s,
    pids: UInt32s,
    added_at: Int64s,
    dead_at: Int64s,
    expires_at: Int64s,
    mask: UInt8s,
    n_rows: int,
    sequence: int,
    now_ms: int,
    metric: int,
    heap_distance: Float32s,
    heap_row: Int64s,
    found: Int64s,
) -> None:
    """`scan_rows` for each query; a tile of vectors is read by all queries while it is in the cache."""
    n_queries = queries.shape[0]
    found[:] = 0
    if heap_row.shape[1] == 0:
        return
    for i in range(n_queries):
        _clear(heap_distance[i], heap_row[i])
    n_tile = max(1, TILE_BYTES // (4 * max(1, queries.shape[1])))
    for first in range(0, n_rows, n_tile):
        stop = min(first + n_tile, n_rows)
        for i in range(n_queries):
            _scan_range(
                queries[i], vectors, scales, pids, added_at, dead_at, expires_at, mask,
                first, stop, sequence, now_ms, metric, heap_distance[i], heap_row[i],
            )  # fmt: skip
    for i in range(n_queries):
        found[i] = _sort(heap_distance[i], heap_row[i], pids)
