"""One search of posting lists on disk: choose lists, read and scan their pages, compare the best by full vectors.

Two rounds of reading, each asked for as a whole before anything of it is looked at: the pages of the chosen lists, then
the vectors of the candidates. Both lie in mapped files; `madvise` has the system read what is not in RAM. Nothing
returns to Python in between, and the interpreter's lock is not held.

D = dimension, k = neighbours, m = candidates. What a search is not alone with is handed over in tables
(`vdb/kernels/tables.py`), by address. Model and vectors as in `cells.py`.
Pages, laid out as `vdb/storage/list_pages.py` says: memory uint8 (f, 4096), the mapped file; places uint32 (p,), which
of its pages each page is; sum_keys uint32; ended_at uint32 by pid, 0 where its row has not ended, else 1 and the
sequence at which it did, counted from the layout's: pids beyond have not.
Numbers: rows, rows of a page, bytes of a row's codes, where in a page pids, slots, offsets and expiries begin (0: there
are none), and the generation.
A reading: spans int64 (9,), entries and listed as in `cells.py`; tops uint32 (2, t): nodes that share out its entries,
and the first entry of each. Only entries below the nearest tops are scored: a share of all, `TOPS_SHARE` or
`TOPS_SLACK` times that of the budget in the reading's rows; all where there are no tops.

Lists are taken from the nearest on until they hold `budget` rows, while they are no farther than `ratio` times the
nearest, in true distance, |q − c| (never told for inner product; inf takes all). Of a page that is read, all rows of
the reading's run count. Of the m best by estimate those are compared by their vectors whose estimate is not more than
`margin` times the query's norm (1 for cosine; twice for L2, whose estimates are of squares) above the k-th. The k best
of them go to `distance`, `row` (−1 at +inf where there are fewer) and `pid`, ordered by (distance, pid).
`statistics` int64 (8,): lists scored, lists read, rows scored, rows compared, pages of lists, pages of vectors, and 1 +
the number of a page that is not what it should be: nothing is found then.
Parts: `heads.py`, `pages.py`, `estimates.py`, `entries.py`, `candidates.py`. Twin: `vdb/kernels/reference_lists.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.candidates import FEW_PLACES, enter, is_nearer, replace_worst, sift_down, sort, sort_places
from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.cpu.dots import prefetch
from vdb.kernels.cpu.entries import threshold
from vdb.kernels.cpu.estimates import prepare, quantize, score_rows, settled, split
from vdb.kernels.cpu.heads import gather_listed, gather_run, merged, n_whole, near_tops, pick, score_picked
from vdb.kernels.cpu.pages import N_WORDS, ask, ask_pages, has_ended, is_page
from vdb.kernels.cpu.views import bytes_of, constants_of, floats_of, integers_of, vectors_of, words_at
from vdb.kernels.reference import COSINE, IP, L2, Float32s, Int64s, UInt32s
from vdb.kernels.reference_cells import LVQ4, OWN_FIRST, Int8s
from vdb.kernels.reference_lists import CODES_AT, N_STATISTICS, PAGE_BYTES, PAGES, VALUE_AT
from vdb.kernels.tables import MODEL

SEARCH_LISTS = types.void(
    input_array(types.float32),  # query
    types.int64,  # address of the table of the model
    types.int64,  # of the pages
    types.int64,  # of the vectors
    types.int64,  # of the tenant's reading
    types.int64,  # of everyone's
    types.int64,  # sequence, from the layout's
    types.int64,  # now_s
    types.int64,  # budget
    types.float64,  # ratio
    types.float64,  # margin
    types.int64,  # m
    types.float32[::1],  # distance
    types.int64[::1],  # row
    types.uint32[::1],  # pid
    types.int64[::1],  # statistics
)

N_MODEL, N_PAGES = 3 * len(MODEL), 3 * len(PAGES)
"""Where the numbers of a table begin."""
N_ROWS, PER_PAGE, ROW_BYTES, PIDS_AT, SLOTS_AT, OFFSETS_AT, EXPIRES_AT, GENERATION = range(N_PAGES, N_PAGES + 8)

VECTORS_AHEAD = 3
"""Candidates whose vectors are asked for from RAM before they are compared."""


@inlined
def _farthest(score: Float32s, reached: np.float32, ratio: float, metric: int, norm: np.float32) -> np.float32:
    """The score up to which lists are near enough: of a list, its squared distance but for the query's norm."""
    if metric == IP or not ratio < np.inf or score.shape[0] == 0:
        return reached
    square = np.float64(norm) * np.float64(norm)
    limit = ratio * ratio * max(0.0, np.float64(score.min()) + square) - square
    return min(reached, settled(np.float32(limit)))


@inlined
def _chosen(
    words: Int64s, mine: Int64s, everyones: Int64s, coded: Int8s, step: np.float32, total: np.float32,
    norm: np.float32, n_laid: int, r: int, budget: int, ratio: float, statistics: Int64s,
) -> UInt32s:  # fmt: skip
    """The rows to scan, ascending, each once."""
    metric = words[N_MODEL]
    node_codes, node_constants, node_offset = bytes_of(words, 1), constants_of(words, 1), floats_of(words, 2)
    spans, entries, tops = words_at(mine[0]), integers_of(mine, 1), integers_of(mine, 3)
    spans_b, entries_b, tops_b = words_at(everyones[0]), integers_of(everyones, 1), integers_of(everyones, 3)
    is_near, is_near_b = np.zeros(tops.shape[0] // 2, np.uint8), np.zeros(tops_b.shape[0] // 2, np.uint8)
    n = near_tops(
        spans, tops, node_codes, node_constants, node_offset, coded, step, total, metric, norm, budget, is_near
    )
    n_all = n + near_tops(
        spans_b, tops_b, node_codes, node_constants, node_offset, coded, step, total, metric, norm, budget, is_near_b
    )
    picked, short = np.empty(n_all, np.uint32), np.empty(n_all, np.uint32)
    score, weight = np.empty(n_all, np.float32), np.empty(n_all, np.int32)
    pick(spans, tops, is_near, picked, 0)
    pick(spans_b, tops_b, is_near_b, picked, n)
    score_picked(
        spans, entries, picked, 0, n, node_codes, node_constants, node_offset, coded, step, total, metric, norm,
        score, weight,
    )  # fmt: skip
    score_picked(
        spans_b, entries_b, picked, n, n_all, node_codes, node_constants, node_offset, coded, step, total, metric,
        norm, score, weight,
    )  # fmt: skip
    n_rows = n_whole(spans) + n_whole(spans_b)
    reached = np.float32(-np.inf)
    if n_rows < budget:
        for i in range(n_all):
            short[i] = np.uint32(i)
        reached = _farthest(score, threshold(short, n_all, score, weight, budget - n_rows), ratio, metric, norm)
    n_lists = 0
    for i in range(n_all):
        n_lists += score[i] <= reached
        n_rows += int(weight[i]) if score[i] <= reached else 0
    runs = np.empty(n_rows + 2 * r * (n_lists + 2), np.uint32)  # whole pages, at either end
    if spans[OWN_FIRST] <= spans_b[OWN_FIRST]:
        n_runs = gather_run(spans, entries, picked, 0, n, score, weight, reached, r, runs, 0)
        n_runs = gather_run(spans_b, entries_b, picked, n, n_all, score, weight, reached, r, runs, n_runs)
    else:
        n_runs = gather_run(spans_b, entries_b, picked, n, n_all, score, weight, reached, r, runs, 0)
        n_runs = gather_run(spans, entries, picked, 0, n, score, weight, reached, r, runs, n_runs)
    granted = np.empty(n_rows + 1, np.uint32)  # a place is written before it is known whether it counts
    n_granted = gather_listed(
        spans, entries, integers_of(mine, 2), picked, 0, n, score, weight, reached, n_laid, granted, 0
    )
    n_granted = gather_listed(
        spans_b, entries_b, integers_of(everyones, 2), picked, n, n_all, score, weight, reached, n_laid, granted,
        n_granted,
    )  # fmt: skip
    rows = np.empty(n_runs + n_granted, np.uint32)
    n_rows = merged(runs[:n_runs], np.sort(granted[:n_granted]), rows)
    statistics[0], statistics[1], statistics[2] = n_all, n_lists, n_rows
    return rows[:n_rows]


@inlined
def _scan(
    words: Int64s, held: Int64s, rows: UInt32s, full: Float32s, coded: Int8s, high: Int8s, step: np.float32,
    total: np.float32, sequence: int, now_s: int, heap_score: Float32s, heap_row: UInt32s, statistics: Int64s,
) -> int:  # fmt: skip
    """Keep the places in `rows` of the best by estimate; returns how many, −1 where a page is damaged."""
    encoding, width = words[N_MODEL + 1], words[N_MODEL + 2]
    n_laid, r, n_rows, size = held[N_ROWS], held[PER_PAGE], rows.shape[0], heap_row.shape[0]
    memory, places, keys = integers_of(held, 0), integers_of(held, 1), integers_of(held, 2)
    ended_at = integers_of(held, 3)
    local, pages, first_of = np.empty(n_rows, np.uint32), np.empty(n_rows, np.int64), np.empty(n_rows + 1, np.int64)
    n_pages = 0
    for i in range(n_rows):
        page = np.int64(rows[i]) // r
        if n_pages == 0 or pages[n_pages - 1] != page:
            pages[n_pages], first_of[n_pages] = page, i
            n_pages += 1
        local[i] = np.uint32(np.int64(rows[i]) - page * r)
    first_of[n_pages] = n_rows
    statistics[4] = n_pages
    ask_pages(held[0], places, pages, n_pages)
    estimate = np.empty(r, np.float32)
    here = np.empty(12, np.int64)  # a table of the page: codes, offsets, pids, expiries
    here[1], here[2] = r, held[ROW_BYTES]
    here[4], here[5] = r if held[OFFSETS_AT] else 0, 1
    here[7], here[8], here[10], here[11] = r, 1, r, 1
    n_held = 0
    for i in range(n_pages):
        place = np.int64(places[pages[i]])
        if not is_page(memory, int(place), pages[i], min(r, n_laid - pages[i] * r), held[GENERATION], keys):
            statistics[6] = 1 + pages[i]
            return -1
        at = held[0] + place * PAGE_BYTES + VALUE_AT
        here[0], here[3] = at + CODES_AT, at + held[OFFSETS_AT]
        here[6], here[9] = at + held[PIDS_AT], at + held[EXPIRES_AT]
        n = first_of[i + 1] - first_of[i]
        mine = local[first_of[i] : first_of[i + 1]]
        score_rows(
            bytes_of(here, 0), constants_of(here, 0), floats_of(here, 1), mine, encoding, width, coded, high, full,
            step, total, estimate[:n],
        )  # fmt: skip
        pids, expires_at = integers_of(here, 2), integers_of(here, 3)
        for j in range(n):
            entering = estimate[np.uint64(j)]
            if n_held == size and not entering < heap_score[0]:
                continue
            of = np.uint64(mine[np.uint64(j)])
            if held[EXPIRES_AT] and expires_at[of] != 0 and np.int64(expires_at[of]) <= now_s:
                continue
            if has_ended(pids[of], ended_at, sequence):
                continue
            if n_held < size:
                heap_score[n_held], heap_row[n_held] = entering, np.uint32(first_of[i] + j)
                n_held += 1
                if n_held == size:
                    for slot in range(size // 2 - 1, -1, -1):
                        sift_down(heap_score, heap_row, slot, size, heap_score[slot], heap_row[slot])
            else:
                sift_down(heap_score, heap_row, 0, size, entering, np.uint32(first_of[i] + j))
    return n_held


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
def _rank(
    full: Float32s, vectors: Float32s, pids: UInt32s, slots: UInt32s, metric: int, distance: Float32s, row: Int64s
) -> None:
    """The best of the candidates by (distance, pid), their places in `row`."""
    k, n = row.shape[0], slots.shape[0]
    for i in range(n):
        if i + VECTORS_AHEAD < n:
            prefetch(vectors, np.uint64(slots[i + VECTORS_AHEAD]))
        true = _distance(full, vectors[np.uint64(slots[i])], metric)
        if k <= FEW_PLACES:
            enter(true, i, pids, distance, row)
        elif is_nearer(true, i, distance[0], row[0], pids):
            replace_worst(true, i, k, pids, distance, row)
    if k > FEW_PLACES:
        sort_places(pids, distance, row)


@compiled(SEARCH_LISTS)
def search_lists(
    query: Float32s, model: int, of_pages: int, of_vectors: int, reading: int, reading_b: int, sequence: int,
    now_s: int, budget: int, ratio: float, margin: float, m: int, distance: Float32s, row: Int64s, pid: UInt32s,
    statistics: Int64s,
) -> None:  # fmt: skip
    """Search two readings, a tenant's and everyone's, as one. See the module."""
    for i in range(row.shape[0]):
        distance[i], row[i], pid[i] = np.inf, -1, 0
    for i in range(N_STATISTICS):
        statistics[i] = 0
    if min(row.shape[0], m) == 0:
        return
    words, held, of_file = words_at(model), words_at(of_pages), words_at(of_vectors)
    metric, encoding, width = words[N_MODEL], words[N_MODEL + 1], words[N_MODEL + 2]
    of_queries = bytes_of(words, 0)
    n_kept = of_queries.shape[0] if of_queries.shape[0] > 0 else query.shape[0]
    full, kept = np.empty(query.shape[0], np.float32), np.empty(n_kept, np.float32)
    norm = prepare(query, of_queries, constants_of(words, 0), metric, False, full, kept)
    coded = np.empty(max(bytes_of(words, 1).shape[1] - 8, width), np.int8)
    step, total = quantize(kept, coded)
    rows = _chosen(
        words, words_at(reading), words_at(reading_b), coded, step, total, norm, held[N_ROWS], held[PER_PAGE], budget,
        ratio, statistics,
    )  # fmt: skip
    high = np.empty(width if encoding == LVQ4 else 0, np.int8)
    if encoding == LVQ4:
        split(coded, n_kept, high)
    size = max(1, min(m, rows.shape[0]))
    heap_score, heap_row = np.empty(size, np.float32), np.empty(size, np.uint32)
    n_held = _scan(words, held, rows, full, coded, high, step, total, sequence, now_s, heap_score, heap_row, statistics)
    if n_held <= 0:
        return
    sort(heap_score, heap_row, n_held)
    last = heap_score[min(row.shape[0], n_held) - 1]
    limit = np.float64(last) + margin * np.float64(norm) * (2.0 if metric == L2 else 1.0)
    n = n_held
    while np.float64(heap_score[n - 1]) > limit:
        n -= 1
    memory, places, r = integers_of(held, 0), integers_of(held, 1), held[PER_PAGE]
    vectors = vectors_of(of_file, 0)
    n_bytes = 4 * vectors.shape[1]
    found, pids, slots = np.empty(n, np.int64), np.empty(n, np.uint32), np.empty(n, np.uint32)
    for i in range(n):
        found[i] = np.int64(rows[heap_row[i]])
        page = found[i] // r
        at = np.int64(places[page]) * N_WORDS + VALUE_AT // 4 + found[i] - page * r
        pids[i], slots[i] = memory[at + held[PIDS_AT] // 4], memory[at + held[SLOTS_AT] // 4]
        start = of_file[0] + np.int64(slots[i]) * n_bytes
        statistics[5] += (start + n_bytes - 1) // PAGE_BYTES - start // PAGE_BYTES + 1
        ask(start, n_bytes)
    statistics[3] = n
    _rank(full, vectors, pids, slots, metric, distance, row)
    for i in range(row.shape[0]):
        if row[i] >= 0:
            pid[i], row[i] = pids[row[i]], found[row[i]]
