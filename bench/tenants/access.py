"""Who may see the points of a workload."""

import numpy as np

from bench.tenants.growth import Source
from bench.tenants.workload import Access, Int32s, Int64s

SPREAD = 1_000
"""Of log-uniform sizes: the largest tenant over the smallest."""


def single(n: int) -> Access:
    """One tenant owns all."""
    return Access(1, np.zeros(n, np.int32), np.zeros(n + 1, np.int64), np.empty(0, np.int32))


def exclusive(n: int, n_tenants: int, rng: np.random.Generator) -> Access:
    """Every point has one owner, drawn at random; sizes are log-uniform."""
    sizes = rng.permutation(log_uniform(n_tenants, n, SPREAD))
    owners = rng.permutation(np.repeat(np.arange(n_tenants, dtype=np.int32), sizes))
    return Access(n_tenants, owners, np.zeros(n + 1, np.int64), np.empty(0, np.int32))


def from_labels(source: Source, parents: Int32s, n_tenants: int, degree: int, rng: np.random.Generator) -> Access:
    """A publisher, the last tenant, owns all; a point is granted to the tenants who were given one of its labels.

    Each label goes to as many random tenants as make `degree` per point, were no two labels to share a tenant.
    """
    n_each = max(1, round(degree * len(source.vectors) / len(source.labels)))
    given = np.stack([rng.choice(n_tenants, n_each, replace=False) for _ in range(source.n_labels)])
    bounds = zip(source.offsets[:-1].tolist(), source.offsets[1:].tolist(), strict=True)
    lists = [np.unique(given[source.labels[first:last]]).astype(np.int32) for first, last in bounds]
    return granted(lists, parents, n_tenants)


def granted(lists: list[Int32s], parents: Int32s, n_tenants: int) -> Access:
    """Point i is granted to the tenants `lists[parents[i]]`, ascending; the last tenant, one more, owns all."""
    lengths = np.array([len(some) for some in lists], np.int64)
    starts = np.cumsum(lengths) - lengths
    offsets = np.zeros(len(parents) + 1, np.int64)
    np.cumsum(lengths[parents], out=offsets[1:])
    shift = np.repeat(starts[parents] - offsets[:-1], lengths[parents])
    grantees = np.concatenate(lists)[shift + np.arange(offsets[-1])]
    return Access(n_tenants + 1, np.full(len(parents), n_tenants, np.int32), offsets, grantees)


def log_uniform(n_tenants: int, total: int, spread: int) -> Int64s:
    """Sizes that sum to `total`, ascending but for rounding: quantiles of a log-uniform distribution.

    Where the smallest would be less than 1, some of the smallest are 0.
    """
    weights = spread ** ((np.arange(n_tenants) + 0.5) / n_tenants)
    bounds = np.rint(np.cumsum(weights) * (total / weights.sum())).astype(np.int64)
    return np.asarray(np.diff(bounds, prepend=0), np.int64)
