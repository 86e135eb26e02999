"""Neighbours that come with a set: used as truth where they are what an exact scan finds."""

import numpy as np
from numpy.typing import NDArray

from bench.tenants.access import single
from bench.tenants.truth import TOLERANCE, distances, exact
from bench.tenants.workload import Float32s, Int32s, Int64s, K, Truth

__all__ = ["checked"]

_N_SAMPLE = 50


def checked(
    metric: str, vectors: Float32s, queries: Float32s, neighbours: NDArray[np.integer] | None, seed: int
) -> tuple[Truth | None, str]:
    """The truth of neighbours (q, at least 10), None where it must be reckoned; and what to say of it in a report.

    Every row must be there and once; on a sample of queries the distances must be those of an exact scan.
    """
    if neighbours is None:
        return None, "reckoned: the set has none"
    if len(neighbours) < len(queries) or neighbours.shape[1] < min(K, len(vectors)):
        return None, "reckoned: the set's are fewer than 10 or not of every query"
    found = np.asarray(neighbours[: len(queries), :K], np.int64)
    if found.min() < 0 or found.max() >= len(vectors) or (np.diff(np.sort(found, axis=1), axis=1) == 0).any():
        return None, "reckoned: the set's name rows that are not there, or one twice"
    truth = _ordered(metric, vectors, queries, found)
    sample = np.random.default_rng([seed, 30]).permutation(len(queries))[:_N_SAMPLE]
    askers: Int32s = np.zeros(len(sample), np.int32)
    ours = exact(metric, vectors, single(len(vectors)), queries[sample], askers).distances[:, : found.shape[1]]
    difference = np.abs(truth.distances[sample][:, : found.shape[1]] - ours)
    n_wrong = int((difference > TOLERANCE * np.maximum(1.0, np.abs(ours))).any(axis=1).sum())
    if n_wrong:
        return None, f"reckoned: the set's are farther than exact ones for {n_wrong} of {len(sample)} queries"
    return truth, f"of the set; as near as exact ones for {len(sample)} of {len(sample)} queries"


def _ordered(metric: str, vectors: Float32s, queries: Float32s, found: Int64s) -> Truth:
    """The distances of those rows by our own arithmetic, nearest first, padded to 10."""
    ids = np.full((len(queries), K), -1, np.int64)
    reckoned = np.full((len(queries), K), np.inf)
    for i, rows in enumerate(found):
        distance = distances(metric, queries[i], vectors[rows])
        order = np.lexsort((rows, distance))
        ids[i, : len(rows)], reckoned[i, : len(rows)] = rows[order], distance[order]
    return Truth(ids, reckoned)
