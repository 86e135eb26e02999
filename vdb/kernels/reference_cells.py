"""NumPy twin of `search_cells`, and the words that it shares with the compiled one in `vdb/kernels/cpu/cells.py`.

Same answers: products of codes are the same integers, so estimates differ by the rounding of floats alone. Which of
several rows with equal estimates fill the last of the m places is not defined.
"""

import heapq
import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import CHUNK_BYTES, COSINE, IP, L2, LARGEST, Float32s, Int64s, Rows, UInt8s, UInt32s

Int8s = NDArray[np.int8]
Bools = NDArray[np.bool_]
Reading = tuple[Int64s, UInt32s, UInt32s, UInt32s]
"""spans, entries, list, tail."""

LVQ8, LVQ4, FLOAT32, FLOAT16 = 0, 1, 2, 3
"""Encodings of rows."""

OWN_FIRST, OWN_STOP, OWN_ENTRIES, LIST_FIRST, LIST_STOP, LIST_ENTRIES, ENTRIES_FIRST, N_TAIL = range(8)
"""Fields of `spans`: rows of the own run; how many entries cut it; places in the list; entries that cut it; the first
entry; places in the tail. The ninth is spare."""

REVOKED: Final = 1 << 31
"""Set in a place of a list or tail whose row its tenant may not see any more."""

LEAST_COMPARED = 16
"""Candidates whose vectors are compared before their errors are trusted to tell the rest.

All rows of a reading without entries are, if there are no more of them than candidates, where their vectors have no
more bytes than these, the directions and the rows' codes: nobody asks then what their codes say.
"""
ERROR_SPREADS = 3.0
"""Standard deviations of the errors seen that the next candidate's may have to its favour."""

RADIUS_WEIGHT = 0.2
"""Of the rms radius in the score of a cell for inner product: found by measurement (DESIGN §2)."""

LEAST_STEP = float(np.finfo(np.float32).tiny)
"""Of a quantized query: the inverse of a smaller one overflows."""


def settled(scores: Float32s) -> Float32s:
    """In place: what overflowed stays comparable, nan sorts last."""
    return np.nan_to_num(scores, copy=False, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


def limited(kept: Float32s) -> Float32s:
    """Projected queries that can be quantized although a component overflowed."""
    return np.nan_to_num(kept, nan=0.0, posinf=LARGEST, neginf=-LARGEST)


def prepare(query: Float32s, of_queries: UInt8s, metric: int) -> tuple[Float32s, Float32s, np.float32]:
    """The query as it is compared (normalised for cosine), projected, and its norm (1 for cosine)."""
    norm = np.sqrt(np.einsum("i,i->", query, query, dtype=np.float64))
    scale = np.float32(1)
    if metric == COSINE:
        scale = np.float32(min(1.0 / norm, LARGEST)) if norm > 0 else np.float32(0)
    full = query * scale
    kept = _projected(full, of_queries) if len(of_queries) else full
    return full, limited(kept), np.float32(1 if metric == COSINE else min(norm, LARGEST))


def constants_of(codes: UInt8s) -> Float32s:
    """The memory of coded rows as float32: the last two of an LVQ row are its step and bias."""
    constants: Float32s = codes.view(np.float32)
    return constants


def _projected(full: Float32s, of_queries: UInt8s) -> Float32s:
    """Inner products of the query, in two levels of 8 bits, with coded directions."""
    query_constants = constants_of(of_queries)
    coarse, steps, totals = quantize(full[None])
    step, total = np.float64(steps[0]), np.float64(totals[0])
    rest = step / 254
    left = (full.astype(np.float64) - coarse[0].astype(np.float64) * step) / rest
    fine = np.rint(np.clip(left, -127, 127)).astype(np.int8)
    dot = byte_products(of_queries, coarse[0]) * step + byte_products(of_queries, fine) * rest
    kept = query_constants[:, -2].astype(np.float64) * dot + query_constants[:, -1].astype(np.float64) * total
    return kept.astype(np.float32)


def residual_of(query: Float32s, of_queries: UInt8s) -> float:
    """What of a query its directions do not see. See `vdb/kernels/cpu/residuals.py`."""
    if not len(of_queries):
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(np.einsum("i,i->", query, query, dtype=np.float64))
        kept = _projected(query, of_queries)
        lost = 1.0 - float(np.einsum("i,i->", kept, kept, dtype=np.float64)) / max(energy, LEAST_STEP)
    return lost if lost > 0 else 0.0


def quantize(kept: Float32s) -> tuple[Int8s, Float32s, Float32s]:
    """Rows (n, d) as int8, with what one step of each is worth, and the sum of each."""
    step = np.maximum(np.abs(kept).max(axis=1, initial=0) * np.float32(1 / 127), np.float32(LEAST_STEP)).astype(
        np.float32
    )
    inverse = np.float32(1) / step
    coded = np.rint(np.clip(kept * inverse[:, None], -127, 127)).astype(np.int8)
    return coded, step, kept.sum(axis=1, dtype=np.float64).astype(np.float32)


def byte_products(codes: UInt8s, coded: Int8s) -> NDArray[np.float64]:
    """Σ code · component of each row, exact; (n,) or, for several queries (q, d), (n, q)."""
    products: NDArray[np.float64] = codes[:, : coded.shape[-1]].astype(np.float64) @ coded.astype(np.float64).T
    return products


def score_nodes(
    nodes: UInt32s, node_codes: UInt8s, node_offset: Float32s, coded: Int8s, step: np.float32, total: np.float32,
    metric: int, norm: np.float32,
) -> Float32s:  # fmt: skip
    node_constants = constants_of(node_codes)
    levels = byte_products(node_codes[nodes], coded).astype(np.float32)
    dot = node_constants[nodes, -2] * step * levels + node_constants[nodes, -1] * total
    if metric == IP:
        return settled(-dot - np.float32(RADIUS_WEIGHT) * norm * node_offset[nodes])
    return settled(node_offset[nodes] - np.float32(2) * dot)


def score_rows(
    codes: UInt8s, offsets: Float32s, rows: Rows, encoding: int, width: int, full: Float32s, coded: Int8s,
    step: np.float32, total: np.float32,
) -> Float32s:  # fmt: skip
    """Estimates: |x|² − 2 <q, x> where there are offsets, else −<q, x>; both less a constant of the query."""
    constants = constants_of(codes)
    if encoding == FLOAT32:
        dot = constants[rows] @ full
    elif encoding == FLOAT16:
        halves = np.ascontiguousarray(codes[rows]).view(np.float16)[:, : len(full)]
        dot = halves.astype(np.float32) @ full
    else:
        mine = codes[rows]
        if encoding == LVQ4:
            half = (len(coded) + 1) // 2
            levels = byte_products(mine & np.uint8(15), coded[:half]) + byte_products(mine >> np.uint8(4), coded[half:])
        else:
            levels = byte_products(mine, coded)
        at = width // 4
        levels = levels.astype(np.float32)
        dot = constants[rows, at] * step * levels + constants[rows, at + 1] * total
    return settled(offsets[rows] - np.float32(2) * dot if len(offsets) else -dot)


def _gather(rows: UInt32s, capacity: int) -> Rows:
    """What of `rows` is not revoked, and not newer than this state."""
    return rows[rows < capacity].astype(np.intp)


def run(first: int, stop: int) -> UInt32s:
    return np.arange(first, stop, dtype=np.uint32)


def _unconditional(mine: Reading, everyones: Reading) -> list[UInt32s]:
    """What is scanned whole: tails, and the runs and lists that have no entries."""
    parts = [tail[: spans[N_TAIL]] for spans, _, _, tail in (mine, everyones)]
    for spans, _, listed, _ in (mine, everyones):
        if not spans[OWN_ENTRIES]:
            parts.append(run(spans[OWN_FIRST], spans[OWN_STOP]))
        if not spans[LIST_ENTRIES]:
            parts.append(listed[spans[LIST_FIRST] : spans[LIST_STOP]])
    return parts


def entries_of(reading: Reading) -> tuple[UInt32s, list[UInt32s]]:
    """Nodes of a reading's entries, and the rows that each names: places up to where the next one's start."""
    spans, entries, listed, _ = reading
    n_own, n = int(spans[OWN_ENTRIES]), int(spans[OWN_ENTRIES] + spans[LIST_ENTRIES])
    nodes, starts = entries[:, spans[ENTRIES_FIRST] : spans[ENTRIES_FIRST] + n]
    own = np.append(starts[:n_own], spans[OWN_STOP]).tolist()
    shared = np.append(starts[n_own:], spans[LIST_STOP]).tolist()
    named = [run(first, stop) for first, stop in itertools.pairwise(own)]
    return nodes, named + [listed[first:stop] for first, stop in itertools.pairwise(shared)]


def threshold(score: Float32s, weight: Int64s, above: float, wanted: int) -> float:
    """The least score such that the entries up to it, beyond `above`, hold `wanted` rows; +inf where none does."""
    left = np.flatnonzero(score > above)
    order = left[np.argsort(score[left], kind="stable")]
    place = int(np.searchsorted(np.cumsum(weight[order]), wanted))
    return float(score[order[place]]) if place < len(order) else np.inf


def _is_visible(
    rows: Rows, dead_at: UInt32s, added_at: UInt32s, expires_at: UInt32s, n_laid: int, sequence: int, now_s: int
) -> Bools:
    visible = dead_at[rows].astype(np.int64) > sequence
    late = np.flatnonzero(rows >= n_laid)
    visible[late] &= added_at[rows[late] - n_laid].astype(np.int64) <= sequence
    if len(expires_at):
        ends = expires_at[rows].astype(np.int64)
        visible &= (ends == 0) | (ends > now_s)
    return visible


def distances(full: Float32s, vectors: Float32s, metric: int) -> Float32s:
    if metric == L2:
        difference = vectors - full
        return settled(np.einsum("ij,ij->i", difference, difference))
    dot = vectors @ full
    return settled(np.maximum(np.float32(1) - dot, np.float32(0)) if metric == COSINE else -dot)


def _n_compared(true: Float32s, score: Float32s, k: int, n_sure: int) -> int:
    """How many candidates, in the order of their scores, are compared before the rest cannot be among the k best: of
    those from `n_sure` on."""
    errors = true.astype(np.float64) - score.astype(np.float64)
    sums, squares = np.cumsum(errors), np.cumsum(errors * errors)
    best = [-value for value in heapq.nsmallest(k, true[:n_sure].tolist())]
    heapq.heapify(best)
    for i in range(n_sure, len(true)):
        mean = sums[i - 1] / i
        spread = np.sqrt(max(0.0, squares[i - 1] / i - mean * mean))
        if float(score[i]) + mean - ERROR_SPREADS * spread > -best[0]:
            return i
        heapq.heappushpop(best, -float(true[i]))
    return len(true)


def search_cells(
    query: Float32s, of_queries: UInt8s, node_codes: UInt8s, node_offset: Float32s,
    codes: UInt8s, offsets: Float32s, pids: UInt32s, slots: UInt32s, dead_at: UInt32s, added_at: UInt32s,
    expires_at: UInt32s, vectors: Float32s,
    spans: Int64s, entries: UInt32s, listed: UInt32s, tail: UInt32s,
    spans_b: Int64s, entries_b: UInt32s, listed_b: UInt32s, tail_b: UInt32s,
    metric: int, encoding: int, width: int, n_laid: int, sequence: int, now_s: int, budget: int, m: int,
    distance: Float32s, row: Int64s, statistics: Int64s,
) -> None:  # fmt: skip
    """Search two readings, a tenant's and everyone's, as one. See `vdb/kernels/cpu/cells.py`."""
    distance[:], row[:], statistics[:] = np.inf, -1, 0
    if min(len(row), m) == 0:
        return
    mine, everyones = (spans, entries, listed, tail), (spans_b, entries_b, listed_b, tail_b)
    (nodes, named), (nodes_b, named_b) = entries_of(mine), entries_of(everyones)
    nodes, named = np.concatenate((nodes, nodes_b)), named + named_b
    with np.errstate(over="ignore", invalid="ignore"):
        full, kept, norm = prepare(query, of_queries, metric)
        coded_rows, steps, totals = quantize(kept[None])
        coded, step, total = coded_rows[0], steps[0], totals[0]
        entry_score = score_nodes(nodes, node_codes, node_offset, coded, step, total, metric, norm)
        weight = np.fromiter(map(len, named), np.int64, len(named))
        parts = [_gather(part, len(codes)) for part in _unconditional(mine, everyones)]
        n_rows, n_visited, reached = sum(map(len, parts)), 0, -np.inf
        while n_rows < budget and n_visited < len(nodes):
            below, reached = reached, threshold(entry_score, weight, reached, budget - n_rows)
            chosen = np.flatnonzero((entry_score > below) & (entry_score <= reached))
            parts += [_gather(named[i], len(codes)) for i in chosen]
            n_rows, n_visited = n_rows + sum(map(len, parts[len(parts) - len(chosen) :])), n_visited + len(chosen)
        rows = np.concatenate(parts)
        statistics[:3] = len(nodes), n_visited, len(rows)
        rows = rows[_is_visible(rows, dead_at, added_at, expires_at, n_laid, sequence, now_s)]
        rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
        score = np.empty(len(rows), np.float32)
        n_chunk = max(1, CHUNK_BYTES // (8 * codes.shape[1]))
        for first in range(0, len(rows), n_chunk):
            part = rows[first : first + n_chunk]
            score[first : first + n_chunk] = score_rows(codes, offsets, part, encoding, width, full, coded, step, total)
        best = np.argsort(score, kind="stable")[:m]
        rows, score = rows[best], score[best]
        true = distances(full, vectors[slots[rows]], metric)
        n_sure = max(len(row) + len(row) // 2, LEAST_COMPARED)
        n_whole = sum(map(len, _unconditional(mine, everyones)))
        n_instead = n_sure + (of_queries.size + n_whole * codes.shape[1]) // (4 * len(query))
        if not len(nodes) and n_whole <= min(m, n_instead):
            n_sure = n_instead
        n_compared = _n_compared(true, score, len(row), n_sure)
    statistics[3] = n_compared
    rows, true = rows[:n_compared], true[:n_compared]
    order = np.lexsort((pids[rows], true))[: len(row)]
    distance[: len(order)], row[: len(order)] = true[order], rows[order]
