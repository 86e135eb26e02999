"""Exact neighbours inside what a tenant may see, and how much of them an answer holds.

The scan is float32 in blocks, by BLAS; it keeps more than k, whose order float64 then decides. Recall counts by
distance: a hit is right if its tenant may see it, it is named once, and it is no farther than the k-th true neighbour
and a tolerance. Its denominator is min(k, what the tenant may see), so short answers are punished.
"""

from dataclasses import dataclass

import numpy as np

from bench.tenants.workload import Access, Float32s, Float64s, Int32s, Int64s, K, Truth, Workload

TOLERANCE = 1e-5
"""Of a distance, relative above 1 and absolute below."""

_SPARE = 32
"""Neighbours beyond k that float32 hands to float64."""

_BLOCK_ROWS = 32_768
_BLOCK_QUERIES = 512


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What answers are worth: recall float64 (q,), nan where not asked; hits not to be seen, or named again."""

    recalls: Float64s
    n_foreign: int
    n_twice: int


def exact(metric: str, vectors: Float32s, access: Access, queries: Float32s, askers: Int32s, k: int = K) -> Truth:
    """The k nearest rows that each query's tenant may see, nearest first; ties go to the smaller row."""
    ids = np.full((len(queries), k), -1, np.int64)
    found = np.full((len(queries), k), np.inf)
    for tenant in np.unique(askers).tolist():
        rows = access.rows_of(tenant)
        asked = np.flatnonzero(askers == tenant)
        for first in range(0, len(asked), _BLOCK_QUERIES):
            some = asked[first : first + _BLOCK_QUERIES]
            candidates = _candidates(metric, vectors, rows, queries[some], k + _SPARE)
            for query, chosen in zip(some.tolist(), candidates, strict=True):
                chosen = chosen[chosen >= 0]
                distance = distances(metric, queries[query], vectors[chosen])
                order = np.lexsort((chosen, distance))[:k]
                ids[query, : len(order)] = chosen[order]
                found[query, : len(order)] = distance[order]
    return Truth(ids, found)


def distances(metric: str, query: Float32s, rows: Float32s) -> Float64s:
    """Distances (n,) of a query (d,) to rows (n, d), in float64."""
    wide = rows.astype(np.float64)
    target = query.astype(np.float64)
    if metric == "l2":
        wide -= target
        return np.asarray(np.einsum("ij,ij->i", wide, wide))
    products = np.asarray(wide @ target)
    return 1 - products if metric == "cosine" else -products


def judge(workload: Workload, answers: Int64s) -> Judged:
    """Judge ids (q, k), padded with −1; a query answered with −2 throughout was not asked."""
    recalls = np.full(len(answers), np.nan)
    n_foreign = n_twice = 0
    n_expected, limits = workload.truth.n_expected, _limits(workload.truth)
    for tenant in workload.asking():
        rows = workload.access.rows_of(tenant)
        for query in np.flatnonzero(workload.askers == tenant).tolist():
            if answers[query, 0] == -2:
                continue
            named = answers[query][answers[query] >= 0]
            hits = np.unique(named)
            seen = _also_in(rows, hits)
            n_twice += len(named) - len(hits)
            n_foreign += len(hits) - len(seen)
            near = distances(workload.metric, workload.queries[query], workload.vectors[seen]) <= limits[query]
            expected = int(n_expected[query])
            recalls[query] = min(int(near.sum()), expected) / expected if expected else 1.0
    return Judged(recalls, n_foreign, n_twice)


def _also_in(rows: Int64s, hits: Int64s) -> Int64s:
    """The hits that are among `rows`, which ascend."""
    found: Int64s = hits[np.append(rows, -1)[np.searchsorted(rows, hits)] == hits]
    return found


def _limits(truth: Truth) -> Float64s:
    """The distance within which a hit is right, float64 (q,)."""
    last = np.maximum(truth.n_expected - 1, 0)
    kth = truth.distances[np.arange(len(last)), last]
    finite = np.where(np.isfinite(kth), kth, 0.0)
    return np.asarray(finite + TOLERANCE * np.maximum(1.0, np.abs(finite)))


def _candidates(metric: str, vectors: Float32s, rows: Int64s, queries: Float32s, m: int) -> Int64s:
    """The m nearest rows of each query by float32, in no order, int64 (q, m), padded with −1."""
    best = np.full((len(queries), m), np.inf, np.float32)
    chosen = np.full((len(queries), m), -1, np.int64)
    for first in range(0, len(rows), _BLOCK_ROWS):
        block = rows[first : first + _BLOCK_ROWS]
        scores = _scores(metric, vectors[block], queries)
        together = np.concatenate([best, scores], axis=1)
        names = np.concatenate([chosen, np.broadcast_to(block, (len(queries), len(block)))], axis=1)
        keep = np.argpartition(together, m - 1, axis=1)[:, :m]
        best, chosen = np.take_along_axis(together, keep, 1), np.take_along_axis(names, keep, 1)
    return chosen


def _scores(metric: str, rows: Float32s, queries: Float32s) -> Float32s:
    """What orders rows like their distance does, float32 (q, n)."""
    scores: Float32s = queries @ rows.T
    if metric == "l2":
        scores *= 2
        return np.asarray(np.einsum("ij,ij->i", rows, rows)[None, :] - scores)
    return -scores
