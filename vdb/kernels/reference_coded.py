"""NumPy twins of the kernels that search one audience's coded rows; contracts in `vdb/kernels/cpu/coded.py`."""

import numpy as np

from vdb.kernels.reference import CHUNK_BYTES, Float32s, UInt8s, UInt32s
from vdb.kernels.reference_cells import byte_products, quantize, settled


def scan_codes(
    query: Float32s, codes: UInt8s, constants: Float32s, stamps: UInt32s, rows: UInt32s, n: int,
    heap_score: Float32s, heap_row: UInt32s,
) -> int:  # fmt: skip
    """The rows of least score, in any order; returns how many."""
    asked = rows if len(rows) else np.arange(n, dtype=np.uint32)
    live = asked[stamps[asked] & 1 != 0]
    n_held = min(len(heap_row), len(live))
    if n_held == 0:
        return 0
    score = np.empty(len(live), np.float32)
    n_chunk = max(1, CHUNK_BYTES // (8 * codes.shape[1]))
    for first in range(0, len(live), n_chunk):
        score[first : first + n_chunk] = _scores(query, codes, constants, live[first : first + n_chunk])
    best = np.argpartition(score, n_held - 1)[:n_held]
    heap_score[:n_held] = score[best]
    heap_row[:n_held] = live[best]
    return n_held


def _scores(query: Float32s, codes: UInt8s, constants: Float32s, rows: UInt32s) -> Float32s:
    coded, step, total = quantize(query[None])
    half = (len(query) + 1) // 2
    mine = codes[rows]
    low, high = byte_products(mine & np.uint8(15), coded[0, :half]), byte_products(mine >> np.uint8(4), coded[0, half:])
    levels = (low + high).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # of a row that is being written
        return settled(-(constants[0, rows] * step[0] * levels + constants[1, rows] * total[0]))


def compare_rows(query: Float32s, vectors: Float32s, rows: UInt32s, similarity: Float32s) -> None:
    """The inner product of `query` with each of the rows."""
    n_chunk = max(1, CHUNK_BYTES // (4 * max(1, len(query))))
    for first in range(0, len(rows), n_chunk):
        similarity[first : first + n_chunk] = np.einsum("ij,j->i", vectors[rows[first : first + n_chunk]], query)
