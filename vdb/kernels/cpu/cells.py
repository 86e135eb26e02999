"""One search of a reading: project the query, choose cells, scan codes, re-rank with full vectors; all in one call.

D = dimension, d = kept dimensions, n = rows (capacity), k = neighbours, m = candidates. C order.

Model: `of_queries` uint8, d directions of D components as LVQ8 rows, none for no projection; node_codes uint8, one LVQ8
row per tree node; node_offset float32: squared norm of the centroid (L2, cosine) or rms radius of its rows (ip).
Rows: codes uint8 (n, W); constants is the same memory as float32 (n, W / 4): step and bias follow `width` code bytes.
offsets float32: exact |x|², (0,) where the metric needs none. pids, slots uint32; vectors float32 (slots, D),
normalised for cosine. dead_at uint32 and added_at uint32 (of rows from `n_laid` on) count sequences from the layout's;
expires_at uint32 epoch seconds, 0 never, (0,) where nothing expires; mask uint8: bit `pid` set means allowed, (0,)
allows all.
A reading: `spans` int64 (9,), its fields in the twin; entries uint32 (e, 3): node, start, length, first those of the
own run, then those of the list; list and tail uint32 rows, bit 31 set = revoked. No entries means: scanned whole.

The m best by estimate come from the tail and the nearest entries until `budget` rows were scored; the k best of them by
true distance go to `distance` and `row` (−1 at +inf where there are fewer), ordered by (distance, pid). Every number is
finite: what overflows float32 saturates. Of equal estimates at the m-th place any may stay.
`statistics` int64 (4,): entries scored, entries scanned, rows scored, rows re-ranked.
Parts: `estimates.py`, `candidates.py`, `dots.py`. Twin: `vdb/kernels/reference_cells.py`, with the words of both.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.candidates import (
    EMPTY,
    FEW_CANDIDATES,
    FEW_PLACES,
    enter,
    gather,
    is_nearer,
    keep_best,
    replace_worst,
    sort,
    sort_places,
    threshold,
)
from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.cpu.dots import prefetch
from vdb.kernels.cpu.estimates import prepare, quantize, score_nodes, score_rows, settled, split
from vdb.kernels.reference import COSINE, L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    ERROR_SPREADS,
    LEAST_COMPARED,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    LVQ4,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
)

VECTORS_AHEAD = 3
"""Candidates whose vectors are asked for before they are compared."""

_READING = (
    input_array(types.int64),  # spans
    input_array(types.uint32, 2),  # entries
    input_array(types.uint32),  # list
    input_array(types.uint32),  # tail
)
SEARCH_CELLS = types.void(
    input_array(types.float32),  # query
    input_array(types.uint8, 2),  # of_queries
    input_array(types.float32, 2),  # query_constants
    input_array(types.uint8, 2),  # node_codes
    input_array(types.float32, 2),  # node_constants
    input_array(types.float32),  # node_offset
    input_array(types.uint8, 2),  # codes
    input_array(types.float32, 2),  # constants
    input_array(types.float32),  # offsets
    input_array(types.uint32),  # pids
    input_array(types.uint32),  # slots
    input_array(types.uint32),  # dead_at
    input_array(types.uint32),  # added_at
    input_array(types.uint32),  # expires_at
    input_array(types.uint8),  # mask
    input_array(types.float32, 2),  # vectors
    *_READING,
    *_READING,
    types.int64,  # n_laid
    types.int64,  # sequence, from the layout's
    types.int64,  # now_s
    types.int64,  # metric
    types.int64,  # encoding
    types.int64,  # width
    types.int64,  # budget
    types.int64,  # m
    types.float32[::1],  # distance
    types.int64[::1],  # row
    types.int64[::1],  # statistics
)


@inlined
def _distance(full: Float32s, vector: Float32s, metric: int) -> np.float32:
    total = np.float32(0)
    if metric == L2:
        for i in range(full.shape[0]):
            difference = full[i] - vector[i]
            total += difference * difference
        return settled(total)
    for i in range(full.shape[0]):
        total += full[i] * vector[i]
    if metric == COSINE:
        return settled(max(np.float32(1) - total, np.float32(0)))
    return settled(-total)


@inlined
def _ask_vector(vectors: Float32s, slots: UInt32s, heap_row: UInt32s, i: int, n: int) -> None:
    if i < n:
        slot = np.uint64(slots[np.uint64(heap_row[i])])
        prefetch(vectors, slot)


@inlined
def _rerank(
    full: Float32s, vectors: Float32s, pids: UInt32s, slots: UInt32s, heap_score: Float32s, heap_row: UInt32s,
    metric: int, distance: Float32s, row: Int64s,
) -> int:  # fmt: skip
    """The best of the candidates by true distance, sorted into `distance` and `row`; returns how many were compared.

    In the order of their scores, until the next one's could only be among the best if its error lay beyond
    `ERROR_SPREADS` standard deviations of those seen so far. A score is the distance but for a constant of the query
    and, for cosine and ip, its scale: the errors' mean takes up the constant.
    """
    k = row.shape[0]
    is_heap = k > FEW_PLACES
    worst = 0 if is_heap else k - 1
    n = sort(heap_score, heap_row)
    n_compared = n
    n_sure = max(k + k // 2, LEAST_COMPARED)
    errors, squares = 0.0, 0.0
    for i in range(min(n, VECTORS_AHEAD)):
        _ask_vector(vectors, slots, heap_row, i, n)
    for i in range(n):
        if i >= n_sure:
            mean = errors / i
            spread = np.sqrt(max(0.0, squares / i - mean * mean))
            if heap_score[i] + mean - ERROR_SPREADS * spread > distance[worst]:
                n_compared = i
                break
        _ask_vector(vectors, slots, heap_row, i + VECTORS_AHEAD, n)
        candidate = int(heap_row[i])
        true = _distance(full, vectors[np.uint64(slots[candidate])], metric)
        error = np.float64(true) - np.float64(heap_score[i])
        errors += error
        squares += error * error
        if not is_heap:
            enter(true, candidate, pids, distance, row)
        elif is_nearer(true, candidate, distance[0], row[0], pids):
            replace_worst(true, candidate, k, pids, distance, row)
    if is_heap:
        sort_places(pids, distance, row)
    return n_compared


@inlined
def _n_whole(spans: Int64s) -> int:
    """Rows of what has no entries and is scanned whole: the tail, and the run and list of a small reading."""
    n = spans[N_TAIL]
    n += 0 if spans[OWN_ENTRIES] else spans[OWN_STOP] - spans[OWN_FIRST]
    n += 0 if spans[LIST_ENTRIES] else spans[LIST_STOP] - spans[LIST_FIRST]
    return int(n)


@inlined
def _gather_whole(
    spans: Int64s, listed: UInt32s, tail: UInt32s, pids: UInt32s, mask: UInt8s, capacity: int, rows: UInt32s, place: int
) -> int:
    end = gather(tail, False, 0, int(spans[N_TAIL]), pids, mask, capacity, rows, place)
    if spans[OWN_ENTRIES] == 0:
        n = int(spans[OWN_STOP] - spans[OWN_FIRST])
        end = gather(listed, True, int(spans[OWN_FIRST]), n, pids, mask, capacity, rows, end)
    if spans[LIST_ENTRIES] == 0:
        n = int(spans[LIST_STOP] - spans[LIST_FIRST])
        end = gather(listed, False, int(spans[LIST_FIRST]), n, pids, mask, capacity, rows, end)
    return end


@inlined
def _gather_near(
    spans: Int64s, entries: UInt32s, listed: UInt32s, entry_score: Float32s, below: np.float32, reached: np.float32,
    pids: UInt32s, mask: UInt8s, capacity: int, rows: UInt32s, place: int,
) -> int:  # fmt: skip
    """Append the rows of a reading's entries that score in (below, reached]; returns the end."""
    end = place
    for i in range(entry_score.shape[0]):
        if below < entry_score[i] <= reached:
            place_of = np.uint64(spans[ENTRIES_FIRST] + i)
            start, n = int(entries[place_of, np.uint64(1)]), int(entries[place_of, np.uint64(2)])
            end = gather(listed, i < spans[OWN_ENTRIES], start, n, pids, mask, capacity, rows, end)
    return end


@compiled(SEARCH_CELLS)
def search_cells(
    query: Float32s, of_queries: UInt8s, query_constants: Float32s,
    node_codes: UInt8s, node_constants: Float32s, node_offset: Float32s,
    codes: UInt8s, constants: Float32s, offsets: Float32s, pids: UInt32s, slots: UInt32s, dead_at: UInt32s,
    added_at: UInt32s, expires_at: UInt32s, mask: UInt8s, vectors: Float32s,
    spans: Int64s, entries: UInt32s, listed: UInt32s, tail: UInt32s,
    spans_b: Int64s, entries_b: UInt32s, listed_b: UInt32s, tail_b: UInt32s,
    n_laid: int, sequence: int, now_s: int, metric: int, encoding: int, width: int, budget: int, m: int,
    distance: Float32s, row: Int64s, statistics: Int64s,
) -> None:  # fmt: skip
    """Search two readings, a tenant's and everyone's, as one. See the module."""
    for i in range(row.shape[0]):
        distance[i] = np.inf
        row[i] = -1
    statistics[:] = 0
    if min(row.shape[0], m) == 0:
        return
    n_dimensions = query.shape[0]
    n_kept = of_queries.shape[0] if of_queries.shape[0] > 0 else n_dimensions
    full = np.empty(n_dimensions, np.float32)
    kept = np.empty(n_kept, np.float32)
    norm = prepare(query, of_queries, query_constants, metric, full, kept)
    coded = np.empty(max(node_codes.shape[1] - 8, width), np.int8)
    step, total = quantize(kept, coded)
    n_entries = spans[OWN_ENTRIES] + spans[LIST_ENTRIES]
    n_all = n_entries + spans_b[OWN_ENTRIES] + spans_b[LIST_ENTRIES]
    entry_score = np.empty(n_all, np.float32)
    weight = np.empty(n_all, np.int64)
    score_nodes(
        entries, spans[ENTRIES_FIRST], node_codes, node_constants, node_offset, coded, step, total, metric, norm,
        entry_score[:n_entries], weight[:n_entries],
    )  # fmt: skip
    score_nodes(
        entries_b, spans_b[ENTRIES_FIRST], node_codes, node_constants, node_offset, coded, step, total, metric, norm,
        entry_score[n_entries:], weight[n_entries:],
    )  # fmt: skip
    high = np.empty(width if encoding == LVQ4 else 0, np.int8)
    if encoding == LVQ4:
        split(coded, n_kept, high)
    capacity = codes.shape[0]
    rows = np.empty(_n_whole(spans) + _n_whole(spans_b), np.uint32)
    n_rows = _gather_whole(spans, listed, tail, pids, mask, capacity, rows, 0)
    n_rows = _gather_whole(spans_b, listed_b, tail_b, pids, mask, capacity, rows, n_rows)
    n_visited = 0
    reached = np.float32(-np.inf)
    while n_rows < budget and n_visited < n_all:
        below, reached = reached, threshold(entry_score, weight, reached, budget - n_rows)
        n_more = 0
        for i in range(n_all):
            is_near = below < entry_score[i] <= reached
            n_more += weight[i] if is_near else 0
            n_visited += is_near
        longer = np.empty(n_rows + n_more, np.uint32)
        longer[:n_rows] = rows[:n_rows]
        rows = longer
        n_rows = _gather_near(
            spans, entries, listed, entry_score[:n_entries], below, reached, pids, mask, capacity, rows, n_rows
        )
        n_rows = _gather_near(
            spans_b, entries_b, listed_b, entry_score[n_entries:], below, reached, pids, mask, capacity, rows, n_rows
        )
    n_held = max(1, min(m, n_rows))
    heap_score = np.full(n_held, np.inf, np.float32)
    heap_row = np.full(n_held, EMPTY, np.uint32)
    may_repeat = spans[N_TAIL] + spans_b[N_TAIL] > 0 or spans_b[LIST_STOP] + spans_b[OWN_STOP] > 0
    entered = np.zeros((capacity + 7) // 8 if may_repeat and n_held > FEW_CANDIDATES else 0, np.uint8)
    score = np.empty(n_rows, np.float32)
    score_rows(codes, constants, offsets, rows, encoding, width, coded, high, full, step, total, score)
    keep_best(
        rows, score, dead_at, added_at, expires_at, n_laid, sequence, now_s, may_repeat, entered, heap_score, heap_row
    )  # fmt: skip
    statistics[0], statistics[1], statistics[2] = n_all, n_visited, n_rows
    statistics[3] = _rerank(full, vectors, pids, slots, heap_score, heap_row, metric, distance, row)
