"""Rows of one audience by their codes, and listed rows by their vectors. Two calls: between them and after them the
caller looks at `stamps`, to tell rows that a writer has used again.

Shapes: d = dimension, n = rows asked for, m = candidates kept. C order.
codes uint8 (capacity, W): LVQ codes of 4 bits, component j low and j + ceil(d / 2) high in byte j, W a multiple of 32;
constants float32 (2, capacity): steps and biases. stamps uint32: a row whose stamp is even is not live and not kept.
rows uint32 (n,), in any order; (0,) for the first n. Scores: −<query, decoded row>, less what rounding the query to 8
bits takes; finite, smaller is nearer. A row may be written meanwhile: then its score is any number.
Twins: `vdb/kernels/reference_coded.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.candidates import sift_down
from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.cpu.dots import dot_nibbles, four_nibbles, prefetch
from vdb.kernels.cpu.estimates import quantize, settled, split
from vdb.kernels.reference import Float32s, UInt8s, UInt32s
from vdb.kernels.reference_cells import Int8s
from vdb.kernels.reference_layout import Int32s

BLOCK_ROWS = 512
"""Rows that are scored before their scores are looked at."""
RUN_ROWS = 64
"""Scores that are looked at together: hardly any run has one to keep."""
VECTORS_AHEAD = 2
"""Rows whose vectors are asked for before they are compared."""

SCAN_CODES = types.int64(
    input_array(types.float32),  # query
    input_array(types.uint8, 2),  # codes
    input_array(types.float32, 2),  # constants
    input_array(types.uint32),  # stamps
    input_array(types.uint32),  # rows
    types.int64,  # n
    types.float32[::1],  # heap_score
    types.uint32[::1],  # heap_row
)
COMPARE_ROWS = types.void(
    input_array(types.float32),  # query
    input_array(types.float32, 2),  # vectors
    input_array(types.uint32),  # rows
    types.float32[::1],  # similarity
)


@inlined
def _score(
    codes: UInt8s, constants: Float32s, rows: UInt32s, first: int, coded: Int8s, high: Int8s, step: np.float32,
    total: np.float32, levels: Int32s, score: Float32s,
) -> None:  # fmt: skip
    """Of `rows`, which follow each other from `first` on unless that is negative."""
    n, width = score.shape[0], np.uint64(codes.shape[1])
    for i in range(0, n - 3, 4):
        four_nibbles(codes, rows, np.uint64(i), coded, high, width, levels, np.uint64(i))
    for i in range(n - n % 4, n):
        levels[np.uint64(i)] = dot_nibbles(codes, np.uint64(rows[np.uint64(i)]), coded, high, width)
    steps, biases = constants[0], constants[1]
    if first >= 0:
        for i in range(n):
            row = np.uint64(first + i)
            score[np.uint64(i)] = -(steps[row] * step * np.float32(levels[np.uint64(i)]) + biases[row] * total)
    else:
        for i in range(n):
            row = np.uint64(rows[np.uint64(i)])
            score[np.uint64(i)] = -(steps[row] * step * np.float32(levels[np.uint64(i)]) + biases[row] * total)


@inlined
def _keep(rows: UInt32s, score: Float32s, stamps: UInt32s, n_held: int, heap_score: Float32s, heap_row: UInt32s) -> int:
    """Put what is live and better than the worst into the heap, a max-heap once it is full; returns how many it has."""
    m = heap_row.shape[0]
    worst = heap_score[0] if n_held == m else np.float32(np.inf)
    for first in range(0, score.shape[0], RUN_ROWS):
        stop = min(first + RUN_ROWS, score.shape[0])
        n_better = np.int32(0)
        for i in range(first, stop):
            n_better += np.int32(not score[np.uint64(i)] >= worst)  # nan as well
        if n_better == 0:
            continue
        for i in range(first, stop):
            entering = settled(score[np.uint64(i)])
            row = rows[np.uint64(i)]
            if not entering < worst or stamps[np.uint64(row)] & np.uint32(1) == 0:
                continue
            if n_held == m:
                sift_down(heap_score, heap_row, 0, m, entering, row)
            else:
                heap_score[n_held], heap_row[n_held] = entering, row
                n_held += 1
                if n_held < m:
                    continue
                for slot in range(m // 2 - 1, -1, -1):
                    sift_down(heap_score, heap_row, slot, m, heap_score[slot], heap_row[slot])
            worst = heap_score[0]
    return n_held


@compiled(SCAN_CODES)
def scan_codes(
    query: Float32s, codes: UInt8s, constants: Float32s, stamps: UInt32s, rows: UInt32s, n: int,
    heap_score: Float32s, heap_row: UInt32s,
) -> int:  # fmt: skip
    """Keep the m rows of least score, in any order; returns how many. Of equal scores at the m-th place any may
    stay."""
    if heap_row.shape[0] == 0:
        return 0
    width = codes.shape[1]
    coded = np.empty(max(width, query.shape[0]), np.int8)
    high = np.empty(width, np.int8)
    step, total = quantize(query, coded)
    split(coded, query.shape[0], high)
    levels, score = np.empty(BLOCK_ROWS, np.int32), np.empty(BLOCK_ROWS, np.float32)
    part = np.empty(BLOCK_ROWS, np.uint32)
    is_listed = rows.shape[0] > 0
    n_held = 0
    for first in range(0, n, BLOCK_ROWS):
        n_part = min(BLOCK_ROWS, n - first)
        for i in range(n_part):
            part[np.uint64(i)] = rows[np.uint64(first + i)] if is_listed else np.uint32(first + i)
        scored = score[:n_part]
        _score(codes, constants, part, -1 if is_listed else first, coded, high, step, total, levels, scored)
        n_held = _keep(part, scored, stamps, n_held, heap_score, heap_row)
    return n_held


@compiled(COMPARE_ROWS)
def compare_rows(query: Float32s, vectors: Float32s, rows: UInt32s, similarity: Float32s) -> None:
    """The inner product of `query` with each of the rows, in their order."""
    n = rows.shape[0]
    for i in range(min(VECTORS_AHEAD, n)):
        prefetch(vectors, np.uint64(rows[np.uint64(i)]))
    for i in range(n):
        if i + VECTORS_AHEAD < n:
            prefetch(vectors, np.uint64(rows[np.uint64(i + VECTORS_AHEAD)]))
        vector = vectors[np.uint64(rows[np.uint64(i)])]
        total = np.float32(0)
        for j in range(query.shape[0]):
            total += query[j] * vector[j]
        similarity[np.uint64(i)] = total
