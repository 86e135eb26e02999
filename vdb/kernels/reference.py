"""NumPy twins of every kernel: same names, signatures and answers. They serve until the compiled ones are ready.

Owns the words that all kernels share: array types, metric numbers, `ALIVE`. The contract of each kernel (shapes,
dtypes, order, padding) stands in the docstring of its compiled form in `vdb/kernels/cpu`; tests/contract compares them.
"""

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Int64s = NDArray[np.int64]
UInt32s = NDArray[np.uint32]
UInt8s = NDArray[np.uint8]
Rows = NDArray[np.intp]

COSINE, L2, IP = 0, 1, 2

ALIVE = int(np.iinfo(np.int64).max)
"""`dead_at` of a row that nothing has replaced or deleted."""

LARGEST = float(np.finfo(np.float32).max)
CHUNK_BYTES = 4 * 1024 * 1024
"""Bound of the temporary copy of vectors while distances are computed."""


def row_scales(vectors: Float32s) -> Float32s:
    """1/norm of each row, float32 (n,), 0 for a zero row. Computed in float64: squares of float32 may overflow it."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    scales: NDArray[np.float64] = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return np.minimum(scales, LARGEST).astype(np.float32)


def _visible_rows(
    added_at: Int64s, dead_at: Int64s, expires_at: Int64s, mask: UInt8s, n_rows: int, sequence: int, now_ms: int
) -> Rows:
    visible = (added_at[:n_rows] <= sequence) & (dead_at[:n_rows] > sequence)
    visible &= (expires_at[:n_rows] == 0) | (expires_at[:n_rows] > now_ms)
    if len(mask):
        visible &= mask[:n_rows] != 0
    return np.flatnonzero(visible)


def _chunk_distances(query: Float32s, vectors: Float32s, scales: Float32s, metric: int) -> Float32s:
    if metric == L2:
        difference = vectors - query
        squared: Float32s = np.einsum("ij,ij->i", difference, difference)
        return squared
    dot: Float32s = vectors @ query
    return np.maximum(np.float32(1) - dot * scales, np.float32(0)) if metric == COSINE else -dot


def _distances(query: Float32s, vectors: Float32s, scales: Float32s, rows: Rows, metric: int) -> Float32s:
    """Distances of `rows`, float32 (len(rows),), finite: what overflows saturates."""
    distances = np.empty(len(rows), dtype=np.float32)
    n_chunk = max(1, CHUNK_BYTES // (4 * max(1, len(query))))
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(rows), n_chunk):
            part = rows[first : first + n_chunk]
            part_scales = scales[part] if metric == COSINE else scales
            distances[first : first + n_chunk] = _chunk_distances(query, vectors[part], part_scales, metric)
    return np.nan_to_num(distances, copy=False, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


def _nearest(distances: Float32s, pids: UInt32s, m: int) -> Rows:
    """Positions of the m smallest by (distance, pid). Every tie of the m-th distance is kept for the final sort."""
    kept = np.arange(len(distances))
    if m < len(distances):
        kept = np.flatnonzero(distances <= np.partition(distances, m - 1)[m - 1])
    return kept[np.lexsort((pids[kept], distances[kept]))[:m]]


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
    heap_distance[:] = np.inf
    heap_row[:] = -1
    rows = _visible_rows(added_at, dead_at, expires_at, mask, n_rows, sequence, now_ms)
    if len(heap_row) == 0 or len(rows) == 0:
        return 0
    distances = _distances(query, vectors, scales, rows, metric)
    best = _nearest(distances, pids[rows], len(heap_row))
    heap_distance[: len(best)] = distances[best]
    heap_row[: len(best)] = rows[best]
    return len(best)


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
    """`scan_rows` for each query; a call sets `found` (q,) and one heap per query."""
    rows_of = (vectors, scales, pids, added_at, dead_at, expires_at, mask, n_rows, sequence, now_ms, metric)
    for i in range(len(queries)):
        found[i] = scan_rows(queries[i], *rows_of, heap_distance[i], heap_row[i])
