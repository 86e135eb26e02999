"""One search of a reading: project the query, choose cells, scan codes, re-rank with full vectors; all in one call.

D = dimension, d = kept dimensions, n = rows (capacity), k = neighbours, m = candidates. C order. What a search is not
alone with is handed over in tables (`vdb/kernels/tables.py`), by address.

Model: `of_queries` uint8, d directions of D components as LVQ8 rows, none for no projection; node_codes uint8, one LVQ8
row per tree node; node_offset float32: squared norm of the centroid (L2, cosine) or rms radius of its rows (ip).
Rows: codes uint8 (n, W), where step and bias, float32, follow `width` code bytes; offsets float32: exact |x|², (0,)
where the metric needs none; pids, slots uint32; dead_at uint32 and added_at uint32 (of rows from `n_laid` on) count
sequences from the layout's; expires_at uint32 epoch seconds, 0 never, (0,) where nothing expires.
Vectors: float32 (slots, D), normalised for cosine.
A reading: `spans` int64 (9,), its fields in the twin; entries uint32 (2, e): nodes, and where their places start, first
those of the own run, then those of the list; list and tail uint32 rows, bit 31 set = revoked. No entries means: scanned
whole.

The m best by estimate come from the tail and the nearest entries until `budget` rows were scored; the k best of them by
true distance go to `distance` and `row` (−1 at +inf where there are fewer), ordered by (distance, pid). Every number is
finite: what overflows float32 saturates. Of equal estimates at the m-th place any may stay.
`statistics` int64 (4,): entries scored, entries scanned, rows scored, rows re-ranked.
Parts: `views.py`, `estimates.py`, `entries.py`, `candidates.py`, `dots.py`. Twin: `vdb/kernels/reference_cells.py`,
with the words of both.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.candidates import (
    FEW_CANDIDATES,
    FEW_PLACES,
    enter,
    gather,
    is_nearer,
    keep_best,
    replace_worst,
    shortlist,
    sort,
    sort_places,
)
from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.cpu.dots import prefetch
from vdb.kernels.cpu.entries import bound_of, n_entries_of, score_entries, threshold
from vdb.kernels.cpu.estimates import prepare, quantize, score_rows, settled, split
from vdb.kernels.cpu.views import bytes_of, constants_of, floats_of, integers_of, vectors_of, words_at
from vdb.kernels.reference import COSINE, L2, Float32s, Int64s, UInt32s
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
from vdb.kernels.reference_layout import Int32s
from vdb.kernels.tables import MODEL, ROWS

VECTORS_AHEAD = 3
"""Candidates whose vectors are asked for before they are compared."""

SEARCH_CELLS = types.void(
    input_array(types.float32),  # query
    types.int64,  # address of the table of the model
    types.int64,  # of the rows
    types.int64,  # of the vectors
    types.int64,  # of the directory of the tenant's reading
    types.int64,  # of the reading's spans
    types.int64,  # of the directory of everyone's
    types.int64,  # of the spans
    types.int64,  # sequence, from the layout's
    types.int64,  # now_s
    types.int64,  # budget
    types.int64,  # m
    types.float32[::1],  # distance
    types.int64[::1],  # row
    types.int64[::1],  # statistics
)

N_MODEL, N_ROWS = 3 * len(MODEL), 3 * len(ROWS)
"""Where the numbers of a table begin."""


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
def _n_sure(k: int) -> int:
    """Candidates that are compared by their vectors whatever their scores are."""
    return max(k + k // 2, LEAST_COMPARED)


@inlined
def _rerank(
    full: Float32s, vectors: Float32s, pids: UInt32s, slots: UInt32s, heap_score: Float32s, heap_row: UInt32s, n: int,
    metric: int, n_sure: int, distance: Float32s, row: Int64s,
) -> int:  # fmt: skip
    """The best of `n` candidates by true distance, sorted into `distance` and `row`; returns how many were compared.

    The first `n_sure` of them, in the order of their scores, and on until the next one's could only be among the best
    if its error lay beyond `ERROR_SPREADS` standard deviations of those seen so far. A score is the distance but for a
    constant of the query and, for cosine and ip, its scale: the errors' mean takes up the constant.
    """
    k = row.shape[0]
    is_heap = k > FEW_PLACES
    worst = 0 if is_heap else k - 1
    sort(heap_score, heap_row, n)
    n_compared = n
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
def _gather_whole(spans: Int64s, listed: UInt32s, tail: UInt32s, capacity: int, rows: UInt32s, place: int) -> int:
    end = gather(tail, False, 0, int(spans[N_TAIL]), capacity, rows, place)
    if spans[OWN_ENTRIES] == 0:
        n = int(spans[OWN_STOP] - spans[OWN_FIRST])
        end = gather(listed, True, int(spans[OWN_FIRST]), n, capacity, rows, end)
    if spans[LIST_ENTRIES] == 0:
        n = int(spans[LIST_STOP] - spans[LIST_FIRST])
        end = gather(listed, False, int(spans[LIST_FIRST]), n, capacity, rows, end)
    return end


@inlined
def _gather_near(
    spans: Int64s, entries: UInt32s, listed: UInt32s, first: int, short: UInt32s, n_short: int, score: Float32s,
    weight: Int32s, reached: np.float32, capacity: int, rows: UInt32s, place: int,
) -> int:  # fmt: skip
    """Append the rows of those of the short-listed entries that are this reading's, `first` and on, and score up to
    `reached`; returns the end."""
    end = place
    stop = first + n_entries_of(spans)
    starts = entries.shape[0] // 2 + int(spans[ENTRIES_FIRST])
    for j in range(n_short):
        i = int(short[np.uint64(j)])
        if first <= i < stop and score[np.uint64(i)] <= reached:
            start = int(entries[np.uint64(starts + i - first)])
            is_run = i - first < spans[OWN_ENTRIES]
            end = gather(listed, is_run, start, int(weight[np.uint64(i)]), capacity, rows, end)
    return end


@compiled(SEARCH_CELLS)
def search_cells(
    query: Float32s, model: int, of_rows: int, of_vectors: int, directory: int, of_spans: int, directory_b: int,
    of_spans_b: int, sequence: int, now_s: int, budget: int, m: int,
    distance: Float32s, row: Int64s, statistics: Int64s,
) -> None:  # fmt: skip
    """Search two readings, a tenant's and everyone's, as one. See the module."""
    for i in range(row.shape[0]):
        distance[i] = np.inf
        row[i] = -1
    statistics[:] = 0
    if min(row.shape[0], m) == 0:
        return
    words, laid, mine, everyones = words_at(model), words_at(of_rows), words_at(directory), words_at(directory_b)
    metric, encoding, width = words[N_MODEL], words[N_MODEL + 1], words[N_MODEL + 2]
    spans, spans_b = words_at(of_spans), words_at(of_spans_b)
    codes, offsets = bytes_of(laid, 0), floats_of(laid, 1)
    n_entries = n_entries_of(spans)
    n_all = n_entries + n_entries_of(spans_b)
    n_whole = _n_whole(spans) + _n_whole(spans_b)
    of_queries, node_codes, node_offset = bytes_of(words, 0), bytes_of(words, 1), floats_of(words, 2)
    n_dimensions = query.shape[0]
    n_kept = of_queries.shape[0] if of_queries.shape[0] > 0 else n_dimensions
    full = np.empty(n_dimensions, np.float32)
    kept = np.empty(n_kept, np.float32)
    n_sure = _n_sure(row.shape[0])
    n_instead = n_sure + (of_queries.size + n_whole * codes.shape[1]) // (4 * n_dimensions)
    # All are compared by their vectors where that reads no more bytes than directions, codes and those of the best.
    is_compared = n_all == 0 and n_whole <= min(m, n_instead)
    n_sure = n_instead if is_compared else n_sure
    norm = prepare(query, of_queries, constants_of(words, 0), metric, is_compared, full, kept)
    coded = np.empty(max(node_codes.shape[1] - 8, width), np.int8)
    step, total = np.float32(0), np.float32(0)
    if not is_compared:
        step, total = quantize(kept, coded)
    entry_score, weight, short = np.empty(n_all, np.float32), np.empty(n_all, np.int32), np.empty(n_all, np.uint32)
    if n_all > 0:
        score_entries(
            spans, integers_of(mine, 0), node_codes, constants_of(words, 1), node_offset, coded, step, total, metric,
            norm, 0, entry_score, weight,
        )  # fmt: skip
        score_entries(
            spans_b, integers_of(everyones, 0), node_codes, constants_of(words, 1), node_offset, coded, step, total,
            metric, norm, n_entries, entry_score, weight,
        )  # fmt: skip
    high = np.empty(width if encoding == LVQ4 else 0, np.int8)
    if encoding == LVQ4 and not is_compared:
        split(coded, n_kept, high)
    capacity = codes.shape[0]
    rows = np.empty(n_whole, np.uint32)
    n_rows = _gather_whole(spans, integers_of(mine, 1), integers_of(mine, 2), capacity, rows, 0)
    n_rows = _gather_whole(spans_b, integers_of(everyones, 1), integers_of(everyones, 2), capacity, rows, n_rows)
    n_visited = 0
    reached = np.float32(-np.inf)
    while n_rows < budget and n_visited < n_all:
        bound = bound_of(entry_score, weight, budget - n_rows) if n_visited == 0 else np.float32(np.inf)
        n_short = shortlist(entry_score, reached, bound, short)
        reached = threshold(short, n_short, entry_score, weight, budget - n_rows)
        n_more = 0
        for i in range(n_short):
            is_near = entry_score[np.uint64(short[np.uint64(i)])] <= reached
            n_more += weight[np.uint64(short[np.uint64(i)])] if is_near else 0
            n_visited += is_near
        longer = np.empty(n_rows + n_more, np.uint32)
        longer[:n_rows] = rows[:n_rows]
        rows = longer
        n_rows = _gather_near(
            spans, integers_of(mine, 0), integers_of(mine, 1), 0, short, n_short, entry_score, weight, reached,
            capacity, rows, n_rows,
        )  # fmt: skip
        n_rows = _gather_near(
            spans_b, integers_of(everyones, 0), integers_of(everyones, 1), n_entries, short, n_short, entry_score,
            weight, reached, capacity, rows, n_rows,
        )  # fmt: skip
    n_held = max(1, min(m, n_rows))
    heap_score, heap_row = np.empty(n_held, np.float32), np.empty(n_held, np.uint32)
    may_repeat = spans[N_TAIL] + spans_b[N_TAIL] > 0 or spans_b[LIST_STOP] + spans_b[OWN_STOP] > 0
    entered = np.zeros((capacity + 7) // 8 if may_repeat and n_held > FEW_CANDIDATES else 0, np.uint8)
    score = np.zeros(n_rows, np.float32)
    if not is_compared:
        score_rows(codes, constants_of(laid, 0), offsets, rows, encoding, width, coded, high, full, step, total, score)
    n_held = keep_best(
        rows, score, integers_of(laid, 4), integers_of(laid, 5), integers_of(laid, 6), laid[N_ROWS], sequence, now_s,
        may_repeat, entered, heap_score, heap_row,
    )  # fmt: skip
    statistics[0], statistics[1], statistics[2] = n_all, n_visited, n_rows
    statistics[3] = _rerank(
        full, vectors_of(words_at(of_vectors), 0), integers_of(laid, 2), integers_of(laid, 3), heap_score, heap_row,
        n_held, metric, n_sure, distance, row,
    )  # fmt: skip
