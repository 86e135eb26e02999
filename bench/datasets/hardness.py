"""What tells a hard set from an easy one: spectrum, local intrinsic dimensionality, relative contrast, ties.

Distances here are Euclidean for every metric (of directions, where the metric is cosine). Each query is compared with
all points, whoever may see them.
"""

from dataclasses import dataclass

import numpy as np

from bench.tenants.access import single
from bench.tenants.truth import TOLERANCE, exact
from bench.tenants.workload import Float32s, Float64s, K, Workload

__all__ = ["Hardness", "hardness", "intrinsic_dimensions"]

_N_NEIGHBOURS = 100
_N_QUERIES, _N_ROWS, _N_FAR = 500, 20_000, 5_000


@dataclass(frozen=True, slots=True)
class Hardness:
    """Medians over up to 500 queries.

    `energy`: the share of the variance of up to 20,000 points along their first d/3 principal axes; low: vectors cannot
    be shortened. `dimensions`: the local intrinsic dimensionality about a query, by maximum likelihood over its 100
    nearest neighbours; high: many points are about as far as the nearest. `contrast`: mean distance over that of the
    nearest; near 1: hard. `tied`: the share of queries whose 10th and 11th neighbours are equally far.
    """

    energy: float
    dimensions: float
    contrast: float
    tied: float


def hardness(workload: Workload, seed: int) -> Hardness:
    """Measured on samples that follow from the seed."""
    rng = np.random.default_rng([seed, 31])
    vectors = workload.vectors
    asked = np.sort(rng.permutation(len(workload.queries))[:_N_QUERIES])
    queries, some = workload.queries[asked], _sample(vectors, _N_ROWS, rng)
    k = min(_N_NEIGHBOURS, len(vectors))
    nearest = exact("l2", vectors, single(len(vectors)), queries, np.zeros(len(queries), np.int32), k).distances
    lengths = np.sqrt(np.maximum(nearest, 0.0))
    far = _sample(vectors, _N_FAR, rng)
    squared = (far**2).sum(axis=1)[None, :] + (queries**2).sum(axis=1)[:, None] - 2 * queries @ far.T
    mean = np.sqrt(np.maximum(squared, 0.0)).mean(axis=1)
    first = lengths[:, 0]
    contrasts = np.divide(mean, first, out=np.full(len(first), np.inf), where=first > 0)
    tied = np.diff(nearest[:, K - 1 : K + 1], axis=1) <= TOLERANCE * np.maximum(1.0, nearest[:, K - 1 : K])
    return Hardness(
        _energy(some),
        float(np.median(intrinsic_dimensions(lengths))),
        float(np.median(contrasts)),
        float(tied.mean()) if tied.size else 0.0,
    )


def intrinsic_dimensions(lengths: Float64s) -> Float64s:
    """Local intrinsic dimensionality of each query (q,) from its neighbours' distances (q, k), ascending.

    Maximum likelihood (Amsaleg et al., KDD 2015): −1 / mean of ln(r_i / r_k). Neighbours at distance 0 are not counted;
    inf where all are equally far.
    """
    last = lengths[:, -1:]
    ratios = np.divide(lengths, last, out=np.ones_like(lengths), where=last > 0)
    is_counted = ratios > 0
    means = np.log(ratios, out=np.zeros_like(ratios), where=is_counted).sum(axis=1) / np.maximum(
        1, is_counted.sum(axis=1)
    )
    return np.asarray(np.divide(-1.0, means, out=np.full(len(means), np.inf), where=means < 0))


def _energy(rows: Float32s) -> float:
    """The share of the variance along the first third of the principal axes."""
    if len(rows) < 2:
        return 1.0
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(rows.astype(np.float64), rowvar=False)))[::-1]
    total = float(values.sum())
    return float(values[: max(1, rows.shape[1] // 3)].sum()) / total if total > 0 else 1.0


def _sample(vectors: Float32s, n: int, rng: np.random.Generator) -> Float32s:
    if len(vectors) <= n:
        return vectors
    return vectors[np.sort(rng.choice(len(vectors), n, replace=False))]
