"""Parts of `search_cells`: the entries of readings scored, and the nearest of them chosen.

`entries` uint32 (2 · e,): the nodes of all entries of a directory, then where each starts. Entries of a run or a list
follow each other, so that the next one's start, and after the last the end, says where it stops. `place` counts the
entries of one search: own run and list, then everyone's.
"""

import numpy as np

from vdb.kernels.cpu.candidates import bound_of_share
from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.cpu.dots import dot_bytes, four_bytes
from vdb.kernels.cpu.estimates import BLOCK, settled
from vdb.kernels.reference import IP, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_STOP,
    OWN_ENTRIES,
    OWN_STOP,
    RADIUS_WEIGHT,
    Int8s,
)
from vdb.kernels.reference_layout import Int32s

FEW_ENTRIES = 128
"""Of which all are copied."""

_RADIUS_WEIGHT = np.float32(RADIUS_WEIGHT)


@inlined
def n_entries_of(spans: Int64s) -> int:
    return int(spans[OWN_ENTRIES] + spans[LIST_ENTRIES])


@inlined
def score_entries(
    spans: Int64s, entries: UInt32s, node_codes: UInt8s, node_constants: Float32s, node_offset: Float32s, coded: Int8s,
    step: np.float32, total: np.float32, metric: int, norm: np.float32, place: int, score: Float32s, weight: Int32s,
) -> None:  # fmt: skip
    """Scores (smaller is nearer) and rows of a reading's entries, to score[place:] and weight[place:]."""
    n = n_entries_of(spans)
    if n == 0:
        return
    width = np.uint64(node_codes.shape[1] - 8)
    at = width // np.uint64(4)
    first = spans[ENTRIES_FIRST]
    levels = np.empty(BLOCK, np.int32)
    steps, biases, bases = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for begin in range(0, n, BLOCK):
        end = min(begin + BLOCK, n)
        whole = end - (end - begin) % 4
        for i in range(begin, whole, 4):
            four_bytes(node_codes, entries, np.uint64(first + i), coded, width, levels, np.uint64(i - begin))
        for i in range(whole, end):
            levels[i - begin] = dot_bytes(node_codes, np.uint64(entries[np.uint64(first + i)]), coded, width)
        n_block = np.uint64(end - begin)  # constants are gathered first: LLVM vectorizes only what follows
        for i in range(n_block):
            node = np.uint64(entries[np.uint64(first + begin) + i])
            steps[i], biases[i] = node_constants[node, at], node_constants[node, at + np.uint64(1)]
            bases[i] = node_offset[node]
        start = np.uint64(place + begin)
        for i in range(n_block):
            dot = steps[i] * step * np.float32(levels[i]) + biases[i] * total
            if metric == IP:
                score[start + i] = settled(-dot - _RADIUS_WEIGHT * norm * bases[i])
            else:
                score[start + i] = settled(bases[i] - np.float32(2) * dot)
    starts = entries.shape[0] // 2 + first
    for i in range(n - 1):
        weight[np.uint64(place + i)] = entries[np.uint64(starts + i + 1)] - entries[np.uint64(starts + i)]
    last_own = spans[OWN_ENTRIES] - 1
    if last_own >= 0:
        weight[place + last_own] = spans[OWN_STOP] - entries[starts + last_own]
    if last_own < n - 1:
        weight[place + n - 1] = spans[LIST_STOP] - entries[starts + n - 1]


@inlined
def bound_of(score: Float32s, weight: Int32s, wanted: int) -> np.float32:
    """A score that the entries which hold `wanted` rows lie below, seldom many more; +inf where there are few."""
    n = score.shape[0]
    if n < FEW_ENTRIES:
        return np.float32(np.inf)
    rows = np.int64(1)
    for i in range(n):
        rows += np.int64(weight[i])
    bound = bound_of_share(score, min(1.0, wanted / np.float64(rows)))
    held = np.int64(0)
    for i in range(n):
        held += np.int64(weight[i]) if score[i] <= bound else np.int64(0)
    return bound if held >= wanted else np.float32(np.inf)


@inlined
def threshold(short: UInt32s, n: int, entry_score: Float32s, n_entry_rows: Int32s, wanted: int) -> np.float32:
    """The least score such that the first `n` entries of `short` up to it hold `wanted` rows; +inf where none does.

    A weighted quickselect: a heap of entries costs more than the scan of their rows.
    """
    score = np.empty(n, np.float32)
    weight = np.empty(n, np.int32)
    for i in range(n):
        score[i] = entry_score[np.uint64(short[i])]
        weight[i] = n_entry_rows[np.uint64(short[i])]
    first, stop = 0, n
    while stop - first > 1:
        x, y, z = score[first], score[(first + stop) // 2], score[stop - 1]
        pivot = max(min(x, y), min(max(x, y), z))
        n_below, rows_below = first, np.int64(0)
        for i in range(first, stop):
            moved_score, moved_weight = score[i], weight[i]
            is_below = moved_score < pivot
            score[i], weight[i] = score[n_below], weight[n_below]
            score[n_below], weight[n_below] = moved_score, moved_weight
            n_below += is_below
            rows_below += np.int64(moved_weight) if is_below else np.int64(0)
        if rows_below >= wanted:
            stop = n_below
            continue
        wanted -= int(rows_below)
        n_equal, rows_equal = n_below, np.int64(0)
        for i in range(n_below, stop):
            moved_score, moved_weight = score[i], weight[i]
            is_equal = moved_score == pivot
            score[i], weight[i] = score[n_equal], weight[n_equal]
            score[n_equal], weight[n_equal] = moved_score, moved_weight
            n_equal += is_equal
            rows_equal += np.int64(moved_weight) if is_equal else np.int64(0)
        if rows_equal >= wanted:
            return np.float32(pivot)
        wanted -= int(rows_equal)
        first = n_equal
    if stop > first and np.int64(weight[first]) >= wanted:
        return np.float32(score[first])
    return np.float32(np.inf)
