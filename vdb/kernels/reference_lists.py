"""NumPy twin of `search_lists`, and the words that it shares with the compiled one in `vdb/kernels/cpu/lists.py`.

Same answers: products of codes and sums of pages are the same integers, so estimates differ by the rounding of floats
alone. It asks for nothing ahead: pages are read as they are looked at.
"""

from typing import Final

import numpy as np

from vdb.kernels.reference import IP, L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    Bools,
    Int8s,
    distances,
    entries_of,
    prepare,
    quantize,
    run,
    score_nodes,
    score_rows,
    threshold,
)
from vdb.kernels.tables import I8, U1, U4, Layout

PAGE_BYTES: Final = 4096
VALUE_AT: Final = 16
"""Where a value begins in its page of the file; then its checksum, and `N_HALF` words of 32 bits twice."""
CODES_AT: Final = 48
N_HALF: Final = 509
N_STATISTICS: Final = 8

TOPS_SHARE: Final = 0.25
"""Of a large reading's entries that are scored. Measured on a million arXiv vectors, 19,000 lists: all find .954 of the
neighbours among 32 lists, a quarter .949 in 60 % of the time."""
TOPS_SLACK: Final = 4
"""Rows below the tops that are taken, over the budget, at least."""

PAGES: Final[Layout] = ((U1, 2), (U4, 1), (U4, 1), (U4, 1))
"""memory, places, sum_keys, ended_at; numbers: rows, rows of a page, bytes of a row's codes, where
pids, slots, offsets and expiries begin, generation."""
LISTS: Final[Layout] = ((I8, 1), (U4, 2), (U4, 1), (U4, 2))
"""Of a reading: spans, entries, listed, tops."""

Quantized = tuple[Int8s, np.float32, np.float32]
"""A query's components, what one step of them is worth, and their sum."""
Reading = tuple[Int64s, UInt32s, UInt32s, UInt32s]
"""spans, entries, listed, tops."""


def sums_are_right(values: UInt8s, sum_keys: UInt32s) -> Bools:
    """Whether values (n, 4080) of pages have the checksums that their bytes give, bool (n,)."""
    words = np.ascontiguousarray(values[:, 8:]).view("<u4")
    first = (words[:, :N_HALF] + sum_keys[:N_HALF]).astype(np.uint64)
    second = (words[:, N_HALF:] + sum_keys[N_HALF:]).astype(np.uint64)
    stored = np.ascontiguousarray(values[:, :8]).view("<u8")[:, 0]
    is_right: Bools = np.einsum("ij,ij->i", first, second) == stored
    return is_right


def _damaged(values: UInt8s, pages: Int64s, n_rows: Int64s, generation: int, sum_keys: UInt32s) -> Int64s:
    """The pages that are not what they should be."""
    head = np.ascontiguousarray(values[:, 8:32])
    is_right = sums_are_right(values, sum_keys) & (head[:, 8:16].copy().view("<u8")[:, 0] == generation)
    is_right &= (head.view("<u4")[:, 4] == pages) & (head.view("<u2")[:, 3] == n_rows)
    wrong: Int64s = pages[~is_right]
    return wrong


def _near(
    reading: Reading, node_codes: UInt8s, node_offset: Float32s, query: Quantized,
    metric: int, norm: np.float32, budget: int,
) -> Int64s:  # fmt: skip
    """The entries of a reading that are scored."""
    spans, _, _, tops = reading
    n = int(spans[OWN_ENTRIES] + spans[LIST_ENTRIES])
    if not tops.shape[1]:
        return np.arange(n)
    score = score_nodes(tops[0], node_codes, node_offset, *query, metric, norm)
    weight = np.diff(np.append(tops[1].astype(np.int64), n))
    n_rows = int(spans[OWN_STOP] - spans[OWN_FIRST] + spans[LIST_STOP] - spans[LIST_FIRST])
    share = max(TOPS_SHARE, min(1.0, TOPS_SLACK * budget / max(1, n_rows)))
    is_near = score <= threshold(score, weight, -np.inf, int(n * share) + 1)
    return np.flatnonzero(np.repeat(is_near, weight))


def _whole(reading: Reading) -> tuple[UInt32s, UInt32s]:
    """The run and the list of a reading, each empty where entries cut it."""
    spans, _, listed, _ = reading
    nothing = np.zeros(0, np.uint32)
    own = nothing if spans[OWN_ENTRIES] else run(spans[OWN_FIRST], spans[OWN_STOP])
    return own, nothing if spans[LIST_ENTRIES] else listed[spans[LIST_FIRST] : spans[LIST_STOP]]


def _with_pages(rows: UInt32s, spans: Int64s, r: int) -> UInt32s:
    """Rows of a run, and what else of it lies in their pages."""
    pages = np.unique(rows.astype(np.int64) // r)
    found = (pages[:, None] * r + np.arange(r)).reshape(-1)
    mine: UInt32s = found[(found >= spans[OWN_FIRST]) & (found < spans[OWN_STOP])].astype(np.uint32)
    return mine


def _chosen(
    readings: tuple[Reading, Reading], node_codes: UInt8s, node_offset: Float32s,
    query: Quantized, metric: int, norm: np.float32, n_laid: int, r: int, budget: int,
    ratio: float, statistics: Int64s,
) -> Int64s:  # fmt: skip
    """The rows to scan, ascending, each once."""
    score, weight, parts, whole, of = [], [], [], [], []
    for number, reading in enumerate(readings):
        nodes, named = entries_of((reading[0], reading[1], reading[2], reading[2][:0]))
        near = _near(reading, node_codes, node_offset, query, metric, norm, budget)
        score.append(score_nodes(nodes[near], node_codes, node_offset, *query, metric, norm))
        weight += [len(named[i]) for i in near]
        parts += [named[i] for i in near]
        of += [(number, bool(i < reading[0][OWN_ENTRIES])) for i in near]
        whole.append(_whole(reading))
    scores = np.concatenate(score)
    n_whole = sum(len(part) for pair in whole for part in pair)
    reached = -np.inf
    if n_whole < budget:
        reached = threshold(scores, np.array(weight, np.int64), -np.inf, budget - n_whole)
        if metric != IP and ratio < np.inf and len(scores):
            square = float(norm) ** 2
            farthest = ratio**2 * max(0.0, float(scores.min()) + square) - square
            reached = min(reached, float(np.nan_to_num(np.float32(farthest))))
    taken = np.flatnonzero(scores <= reached)
    found = []
    for number, reading in enumerate(readings):
        own = [parts[i] for i in taken if of[i] == (number, True)]
        found.append(_with_pages(np.concatenate((whole[number][0], *own)), reading[0], r))
        found.append(np.concatenate((whole[number][1], *[parts[i] for i in taken if of[i] == (number, False)])))
    rows = np.unique(np.concatenate(found)).astype(np.int64)
    rows = rows[rows < n_laid]
    statistics[:3] = len(scores), len(taken), len(rows)
    return rows


def _is_there(pids: UInt32s, expires_at: UInt32s, ended_at: UInt32s, sequence: int, now_s: int) -> Bools:
    ends = expires_at.astype(np.int64)
    is_there: Bools = (ends == 0) | (ends > now_s)
    at = np.zeros(len(pids), np.int64)
    known = pids < len(ended_at)
    at[known] = ended_at[pids[known]]
    is_there &= (at == 0) | (at > sequence + 1)
    return is_there


def search_lists(
    query: Float32s, of_queries: UInt8s, node_codes: UInt8s, node_offset: Float32s,
    memory: UInt8s, places: UInt32s, sum_keys: UInt32s, ended_at: UInt32s,
    vectors: Float32s, spans: Int64s, entries: UInt32s, listed: UInt32s, tops: UInt32s,
    spans_b: Int64s, entries_b: UInt32s, listed_b: UInt32s, tops_b: UInt32s,
    metric: int, encoding: int, width: int,
    n_laid: int, r: int, row_bytes: int, pids_at: int, slots_at: int, offsets_at: int, expires_at: int,
    generation: int, sequence: int, now_s: int, budget: int, ratio: float, margin: float, m: int,
    distance: Float32s, row: Int64s, pid: UInt32s, statistics: Int64s,
) -> None:  # fmt: skip
    """Search two readings, a tenant's and everyone's, as one. See `vdb/kernels/cpu/lists.py`."""
    distance[:], row[:], pid[:], statistics[:] = np.inf, -1, 0, 0
    if min(len(row), m) == 0:
        return
    readings = (spans, entries, listed, tops), (spans_b, entries_b, listed_b, tops_b)
    with np.errstate(over="ignore", invalid="ignore"):
        full, kept, norm = prepare(query, of_queries, metric)
        coded_rows, steps, totals = quantize(kept[None])
        asked = coded_rows[0], steps[0], totals[0]
        rows = _chosen(readings, node_codes, node_offset, asked, metric, norm, n_laid, r, budget, ratio, statistics)
        pages, page_of = np.unique(rows // r, return_inverse=True)
        statistics[4] = len(pages)
        values = memory[places[pages], VALUE_AT:]
        damaged = _damaged(values, pages, np.minimum(r, n_laid - pages * r), generation, sum_keys)
        if len(damaged):
            statistics[6] = 1 + damaged[0]
            return
        local = page_of * r + rows % r

        def column(at: int) -> UInt32s:
            words: UInt32s = np.ascontiguousarray(values[:, at : at + 4 * r]).view("<u4").reshape(-1)[local]
            return words

        expiries = column(expires_at) if expires_at else np.zeros(len(rows), np.uint32)
        pids = column(pids_at)
        is_there = _is_there(pids, expiries, ended_at, sequence, now_s)
        codes = np.ascontiguousarray(values[:, CODES_AT : CODES_AT + r * row_bytes]).reshape(-1, row_bytes)[local]
        offsets = column(offsets_at).view(np.float32) if offsets_at else np.zeros(0, np.float32)
        here = np.flatnonzero(is_there)
        score = score_rows(codes, offsets, here, encoding, width, full, *asked)
        best = np.argsort(score, kind="stable")[:m]
        if not len(best):
            return
        last = float(score[best[min(len(row), len(best)) - 1]])
        limit = last + margin * float(norm) * (2 if metric == L2 else 1)
        best = best[~(score[best].astype(np.float64) > limit)]
        candidates = here[best]
        slots = column(slots_at)[candidates].astype(np.int64)
        true = distances(full, vectors[slots], metric)
    start = vectors.__array_interface__["data"][0] + slots * vectors.strides[0]
    statistics[3] = len(candidates)
    statistics[5] = int(((start + vectors.strides[0] - 1) // PAGE_BYTES - start // PAGE_BYTES + 1).sum())
    order = np.lexsort((pids[candidates], true))[: len(row)]
    distance[: len(order)], row[: len(order)] = true[order], rows[candidates[order]]
    pid[: len(order)] = pids[candidates[order]]
