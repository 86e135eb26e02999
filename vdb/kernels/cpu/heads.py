"""Parts of `search_lists`: heads of posting lists scored, the nearest lists chosen, their rows put in order.

Shapes and dtypes as in `lists.py`. `picked` uint32 are places of entries, those of the own run and of the list; `score`
and `weight`, their rows, go with it.
"""

import numpy as np

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.cpu.dots import dot_bytes, four_bytes
from vdb.kernels.cpu.entries import n_entries_of, threshold
from vdb.kernels.cpu.estimates import BLOCK, settled
from vdb.kernels.reference import IP, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    RADIUS_WEIGHT,
    Int8s,
)
from vdb.kernels.reference_layout import Int32s
from vdb.kernels.reference_lists import TOPS_SHARE, TOPS_SLACK

_RADIUS_WEIGHT = np.float32(RADIUS_WEIGHT)


@inlined
def score_heads(
    nodes: UInt32s, n: int, node_codes: UInt8s, node_constants: Float32s, node_offset: Float32s, coded: Int8s,
    step: np.float32, total: np.float32, metric: int, norm: np.float32, score: Float32s, place: int,
) -> None:  # fmt: skip
    """Scores (smaller is nearer) of the first `n` nodes to score[place:]."""
    width = np.uint64(node_codes.shape[1] - 8)
    at = width // np.uint64(4)
    levels = np.empty(BLOCK, np.int32)
    for begin in range(0, n, BLOCK):
        end = min(begin + BLOCK, n)
        whole = end - (end - begin) % 4
        for i in range(begin, whole, 4):
            four_bytes(node_codes, nodes, np.uint64(i), coded, width, levels, np.uint64(i - begin))
        for i in range(whole, end):
            levels[i - begin] = dot_bytes(node_codes, np.uint64(nodes[np.uint64(i)]), coded, width)
        for i in range(begin, end):
            node = np.uint64(nodes[np.uint64(i)])
            dot = node_constants[node, at] * step * np.float32(levels[np.uint64(i - begin)])
            dot += node_constants[node, at + np.uint64(1)] * total
            if metric == IP:
                score[np.uint64(place + i)] = settled(-dot - _RADIUS_WEIGHT * norm * node_offset[node])
            else:
                score[np.uint64(place + i)] = settled(node_offset[node] - np.float32(2) * dot)


@inlined
def near_tops(
    spans: Int64s, tops: UInt32s, node_codes: UInt8s, node_constants: Float32s, node_offset: Float32s, coded: Int8s,
    step: np.float32, total: np.float32, metric: int, norm: np.float32, budget: int, is_near: UInt8s,
) -> int:  # fmt: skip
    """Mark the nearest of a reading's tops, which have a share of its entries below them; returns how many entries are
    to be scored: all where there are no tops."""
    n, n_entries = tops.shape[0] // 2, n_entries_of(spans)
    if n == 0:
        return n_entries
    score, weight, short = np.empty(n, np.float32), np.empty(n, np.int32), np.empty(n, np.uint32)
    score_heads(tops, n, node_codes, node_constants, node_offset, coded, step, total, metric, norm, score, 0)
    for i in range(n):
        short[i] = np.uint32(i)
        weight[i] = np.int64(tops[n + i + 1] if i + 1 < n else n_entries) - np.int64(tops[n + i])
    n_rows = spans[OWN_STOP] - spans[OWN_FIRST] + spans[LIST_STOP] - spans[LIST_FIRST]
    share = max(TOPS_SHARE, min(1.0, TOPS_SLACK * budget / max(1, n_rows)))
    reached = threshold(short, n, score, weight, int(n_entries * share) + 1)
    n_below = np.int64(0)
    for i in range(n):
        is_near[i] = np.uint8(score[i] <= reached)
        n_below += np.int64(weight[i]) if score[i] <= reached else np.int64(0)
    return int(n_below)


@inlined
def pick(spans: Int64s, tops: UInt32s, is_near: UInt8s, picked: UInt32s, place: int) -> None:
    """The entries below the tops that are marked, or all of them, in their order to picked[place:]."""
    n, n_entries = tops.shape[0] // 2, n_entries_of(spans)
    for i in range(n_entries if n == 0 else 0):
        picked[place + i] = np.uint32(i)
    for i in range(n):
        if is_near[i]:
            stop = np.int64(tops[n + i + 1]) if i + 1 < n else np.int64(n_entries)
            for j in range(np.int64(tops[n + i]), stop):
                picked[place] = np.uint32(j)
                place += 1


@inlined
def score_picked(
    spans: Int64s, entries: UInt32s, picked: UInt32s, first: int, stop: int, node_codes: UInt8s,
    node_constants: Float32s, node_offset: Float32s, coded: Int8s, step: np.float32, total: np.float32, metric: int,
    norm: np.float32, score: Float32s, weight: Int32s,
) -> None:  # fmt: skip
    """Scores and rows of the entries picked[first:stop], which are of one reading."""
    nodes = np.empty(stop - first, np.uint32)
    begin = spans[ENTRIES_FIRST]
    starts = entries.shape[0] // 2 + begin
    n_own, n_all = spans[OWN_ENTRIES], spans[OWN_ENTRIES] + spans[LIST_ENTRIES]
    for i in range(first, stop):
        entry = np.int64(picked[i])
        nodes[i - first] = entries[begin + entry]
        if entry + 1 == n_own:
            end = spans[OWN_STOP]
        elif entry + 1 == n_all:
            end = spans[LIST_STOP]
        else:
            end = np.int64(entries[starts + entry + 1])
        weight[i] = end - np.int64(entries[starts + entry])
    score_heads(
        nodes, stop - first, node_codes, node_constants, node_offset, coded, step, total, metric, norm, score, first
    )


@inlined
def n_whole(spans: Int64s) -> int:
    """Rows of the run and the list that have no entries and are scanned whole."""
    n = 0 if spans[OWN_ENTRIES] else spans[OWN_STOP] - spans[OWN_FIRST]
    n += 0 if spans[LIST_ENTRIES] else spans[LIST_STOP] - spans[LIST_FIRST]
    return int(n)


@inlined
def _add_run(first: int, stop: int, spans: Int64s, r: int, rows: UInt32s, n_rows: int) -> int:
    """Append rows [first, stop) of a run, and what else of it lies in their pages, but for what is there already."""
    begin = max(spans[OWN_FIRST], first - first % r)
    if n_rows > 0:
        begin = max(begin, np.int64(rows[n_rows - 1]) + 1)
    end = min(spans[OWN_STOP], (stop + r - 1) // r * r)
    for row in range(begin, end):
        rows[np.uint64(n_rows)] = np.uint32(row)
        n_rows += 1
    return n_rows


@inlined
def gather_run(
    spans: Int64s, entries: UInt32s, picked: UInt32s, first: int, stop: int, score: Float32s, weight: Int32s,
    reached: np.float32, r: int, rows: UInt32s, n_rows: int,
) -> int:  # fmt: skip
    """Append the rows of a reading's run that are to be scanned, ascending; those there are come before the run."""
    n_own = spans[OWN_ENTRIES]
    if n_own == 0:
        return _add_run(int(spans[OWN_FIRST]), int(spans[OWN_STOP]), spans, r, rows, n_rows)
    starts = entries.shape[0] // 2 + spans[ENTRIES_FIRST]
    for i in range(first, stop):
        if score[i] <= reached and np.int64(picked[i]) < n_own:
            start = int(entries[starts + np.int64(picked[i])])
            n_rows = _add_run(start, start + int(weight[i]), spans, r, rows, n_rows)
    return n_rows


@inlined
def gather_listed(
    spans: Int64s, entries: UInt32s, listed: UInt32s, picked: UInt32s, first: int, stop: int, score: Float32s,
    weight: Int32s, reached: np.float32, n_laid: int, rows: UInt32s, n_rows: int,
) -> int:  # fmt: skip
    """Append the rows of a reading's list that are to be scanned, in any order; neither revoked nor late ones."""
    n_parts = stop - first if spans[LIST_ENTRIES] else 1
    starts = entries.shape[0] // 2 + spans[ENTRIES_FIRST]
    for i in range(n_parts):
        begin, end = spans[LIST_FIRST], spans[LIST_STOP]
        if spans[LIST_ENTRIES]:
            entry = np.int64(picked[first + i])
            if score[first + i] > reached or entry < spans[OWN_ENTRIES]:
                continue
            begin = np.int64(entries[starts + entry])
            end = begin + np.int64(weight[first + i])
        for place in range(begin, end):
            rows[np.uint64(n_rows)] = listed[np.uint64(place)]
            n_rows += int(listed[np.uint64(place)]) < n_laid
    return n_rows


@inlined
def merged(a: UInt32s, b: UInt32s, rows: UInt32s) -> int:
    """Rows of two ascending arrays, each once; returns how many."""
    i, j, n = 0, 0, 0
    while i < a.shape[0] or j < b.shape[0]:
        if j == b.shape[0] or (i < a.shape[0] and a[i] <= b[j]):
            row = a[i]
            i += 1
        else:
            row = b[j]
            j += 1
        if n == 0 or rows[n - 1] != row:
            rows[n] = row
            n += 1
    return n
