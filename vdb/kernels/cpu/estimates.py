"""Parts of `search_cells`: the query projected and quantized, and estimated distances of coded rows.

Shapes and dtypes as in `cells.py`. Estimates are finite: what overflows is settled at the largest float32, nan as well.
"""

import numpy as np

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.cpu.dots import (
    dot_bytes,
    dot_floats,
    dot_halves,
    dot_nibbles,
    four_bytes,
    four_nibbles,
    prefetch,
)
from vdb.kernels.reference import COSINE, Float32s, UInt8s, UInt32s
from vdb.kernels.reference_cells import FLOAT32, LVQ4, LVQ8, Int8s

BLOCK = 64
"""Rows whose products are taken before their constants are read again."""
AHEAD = 32
"""Rows whose codes are asked for before they are scored."""
LARGEST = np.float32(np.finfo(np.float32).max)
LEAST_STEP = np.float32(np.finfo(np.float32).tiny)
STEP_SHARE = np.float32(1 / 127)
"""Of the largest component. A factor: what `arcp` makes of a division would not be the integers of the twin."""
MAGNITUDE = np.uint32(0x7FFFFFFF)
"""The bits of a float32 without its sign."""


@inlined
def settled(score: np.float32) -> np.float32:
    """What overflowed stays comparable, nan sorts last."""
    return max(score, -LARGEST) if score <= LARGEST else LARGEST


@inlined
def limited(component: np.float32) -> np.float32:
    """Of a projected query: what overflowed can be quantized."""
    return max(min(component, LARGEST), -LARGEST) if component == component else np.float32(0)


@inlined
def prepare(
    query: Float32s, of_queries: UInt8s, query_constants: Float32s, metric: int, is_compared: bool, full: Float32s,
    kept: Float32s,
) -> np.float32:  # fmt: skip
    """The query as it is compared (normalised for cosine) in `full`; returns its norm.

    Projected in `kept`, unless `is_compared`: nothing is, but by `full`.
    """
    total = 0.0
    for i in range(query.shape[0]):
        total += np.float64(query[i]) * np.float64(query[i])
    norm = np.sqrt(total)
    scale = np.float32(1)
    if metric == COSINE:
        scale = np.float32(min(1.0 / norm, np.float64(LARGEST))) if norm > 0 else np.float32(0)
    for i in range(query.shape[0]):
        full[i] = query[i] * scale
    if not is_compared:
        if of_queries.shape[0] == 0:
            kept[:] = full
        else:
            project(full, of_queries, query_constants, kept)
        for j in range(kept.shape[0]):
            kept[j] = limited(kept[j])
    return np.float32(1) if metric == COSINE else np.float32(min(norm, np.float64(LARGEST)))


@inlined
def project(full: Float32s, of_queries: UInt8s, query_constants: Float32s, kept: Float32s) -> None:
    """Inner products of the query with coded directions: the query in two levels of 8 bits, so that only the directions
    are rounded. A quarter of the bytes of float32, which no cache near the core keeps between two queries."""
    width = np.uint64(of_queries.shape[1] - 8)
    at = width // np.uint64(4)
    coarse, fine = np.empty(of_queries.shape[1] - 8, np.int8), np.empty(of_queries.shape[1] - 8, np.int8)
    step, total = quantize(full, coarse)
    rest = np.float64(step) / 254
    for i in range(full.shape[0]):
        left = (np.float64(full[i]) - np.float64(coarse[i]) * np.float64(step)) / rest
        fine[i] = np.int8(np.rint(max(-127.0, min(127.0, left))))
    for i in range(full.shape[0], fine.shape[0]):
        fine[i] = np.int8(0)
    n = of_queries.shape[0]
    directions = np.empty(n, np.uint32)
    of_coarse, of_fine = np.empty(n, np.int32), np.empty(n, np.int32)
    for j in range(n):
        directions[j] = np.uint32(j)
    for j in range(0, n - 3, 4):
        four_bytes(of_queries, directions, np.uint64(j), coarse, width, of_coarse, np.uint64(j))
        four_bytes(of_queries, directions, np.uint64(j), fine, width, of_fine, np.uint64(j))
    for j in range(n - n % 4, n):
        of_coarse[j] = dot_bytes(of_queries, np.uint64(j), coarse, width)
        of_fine[j] = dot_bytes(of_queries, np.uint64(j), fine, width)
    for j in range(n):
        direction = np.uint64(j)
        dot = np.float64(of_coarse[direction]) * np.float64(step) + np.float64(of_fine[direction]) * rest
        scaled = np.float64(query_constants[direction, at]) * dot
        kept[j] = np.float32(scaled + np.float64(query_constants[direction, at + np.uint64(1)]) * np.float64(total))


@inlined
def quantize(kept: Float32s, coded: Int8s) -> tuple[np.float32, np.float32]:
    """`kept` as int8 in `coded`, whose rest is zero; returns what one step is worth, and the sum of `kept`."""
    bits = kept.view(np.uint32)  # of finite numbers: they order as magnitudes do, and LLVM takes many at a time
    most = np.uint32(0)
    for i in range(bits.shape[0]):
        most = max(most, np.uint32(bits[i] & MAGNITUDE))
    total = np.float64(0)  # float32 would be off by what biases make visible, and by the order of its terms
    for i in range(kept.shape[0]):
        total += np.float64(kept[i])
    step = max(np.uint32(most).view(np.float32) * STEP_SHARE, LEAST_STEP)
    inverse = np.float32(1) / step
    for i in range(kept.shape[0]):
        coded[i] = np.int8(np.rint(max(np.float32(-127), min(np.float32(127), kept[i] * inverse))))
    for i in range(kept.shape[0], coded.shape[0]):
        coded[i] = np.int8(0)
    return step, np.float32(total)


@inlined
def split(coded: Int8s, n_kept: int, high: Int8s) -> None:
    """Move the second half of the components, those of the high halves of bytes, from `coded` to `high`."""
    half = (n_kept + 1) // 2
    for i in range(high.shape[0]):
        high[i] = np.int8(0)
    for i in range(half, n_kept):
        high[i - half] = coded[i]
        coded[i] = np.int8(0)


@inlined
def score_rows(
    codes: UInt8s, constants: Float32s, offsets: Float32s, rows: UInt32s, encoding: int, width: int,
    coded: Int8s, high: Int8s, full: Float32s, step: np.float32, total: np.float32, score: Float32s,
) -> None:  # fmt: skip
    """Estimates of as many rows as `score` has: |x|² − 2 <q, x> where there are offsets, else −<q, x>; both less a
    constant of the query.

    One function, loops within: numba counts references to every array that a part is called with, which costs more
    than the row. Rows `AHEAD` are prefetched, those of a run too: hardware stops at pages. Constants are gathered
    before they are used: LLVM vectorizes only the loop without an index.
    """
    n = score.shape[0]
    is_coded = encoding in (LVQ8, LVQ4)
    has_offsets = offsets.shape[0] > 0
    at = np.uint64(width // 4)
    levels = np.empty(BLOCK, np.int32)
    steps, biases = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for i in range(min(AHEAD, n)):
        prefetch(codes, np.uint64(rows[np.uint64(i)]))
    for first in range(0, n, BLOCK):
        stop = min(first + BLOCK, n)
        for i in range(first, stop, 4):
            ahead = np.uint64(i + AHEAD)
            if i + AHEAD + 4 <= n:
                for j in range(4):
                    prefetch(codes, np.uint64(rows[ahead + np.uint64(j)]))
            if is_coded and i + 4 <= stop:
                if encoding == LVQ8:
                    four_bytes(codes, rows, np.uint64(i), coded, np.uint64(width), levels, np.uint64(i - first))
                else:
                    four_nibbles(
                        codes, rows, np.uint64(i), coded, high, np.uint64(width), levels, np.uint64(i - first)
                    )  # fmt: skip
                continue
            for j in range(i, min(i + 4, stop)):
                row = np.uint64(rows[np.uint64(j)])
                if encoding == LVQ8:
                    levels[j - first] = dot_bytes(codes, row, coded, np.uint64(width))
                elif encoding == LVQ4:
                    levels[j - first] = dot_nibbles(codes, row, coded, high, np.uint64(width))
                elif encoding == FLOAT32:
                    score[j] = dot_floats(codes, row, full)
                else:
                    score[j] = dot_halves(codes, row, full)
        n_block = np.uint64(stop - first)
        start = np.uint64(first)
        if is_coded:
            for i in range(n_block):
                row = np.uint64(rows[start + i])
                steps[i], biases[i] = constants[row, at], constants[row, at + np.uint64(1)]
            for i in range(n_block):
                scaled = steps[i] * step * np.float32(levels[i])
                score[start + i] = scaled + biases[i] * total
        if has_offsets:
            for i in range(n_block):
                score[start + i] = offsets[np.uint64(rows[start + i])] - np.float32(2) * score[start + i]
        for i in range(n_block):
            score[start + i] = settled(score[start + i] if has_offsets else -score[start + i])
