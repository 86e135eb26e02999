"""A workload: vectors, who may see them, and queries of tenants with their exact answers.

Shapes: n points of d dimensions, q queries, k = `K` neighbours. Vectors float32, tenants int32, rows int64.
Distances: cosine 1 − dot (all vectors are of length 1), l2 squared, ip −dot; smaller is nearer.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]

K = 10
"""Neighbours asked for."""

CLASS_BOUNDS = (300, 1_000, 4_000, 16_000, 64_000, 256_000)
"""Size classes: the most points that a tenant of each may see; the last class has no bound."""

CLASS_NAMES = (*(f"<= {bound:,}" for bound in CLASS_BOUNDS), f"> {CLASS_BOUNDS[-1]:,}")


@dataclass(frozen=True, eq=False)
class Access:
    """Who may see what. `owners` int32 (n,); the grantees of point i are `grantees[offsets[i]:offsets[i + 1]]`.

    `offsets` int64 (n + 1,); `grantees` int32, ascending within a point, never its owner.
    """

    n_tenants: int
    owners: Int32s
    offsets: Int64s
    grantees: Int32s

    @property
    def n_points(self) -> int:
        return len(self.owners)

    @property
    def n_grants(self) -> int:
        return len(self.grantees)

    @cached_property
    def sizes(self) -> Int64s:
        """Points that each tenant may see, int64 (n_tenants,)."""
        return np.diff(self._starts)

    def rows_of(self, tenant: int) -> Int64s:
        """The rows a tenant may see, ascending."""
        return self._rows[self._starts[tenant] : self._starts[tenant + 1]].astype(np.int64)

    @cached_property
    def _pairs(self) -> tuple[Int64s, Int32s]:
        n = self.n_points
        seers = np.concatenate([self.owners, self.grantees])
        rows = np.concatenate(
            [np.arange(n, dtype=np.int32), np.repeat(np.arange(n, dtype=np.int32), np.diff(self.offsets))]
        )
        order = np.lexsort((rows, seers))
        starts = np.zeros(self.n_tenants + 1, np.int64)
        np.cumsum(np.bincount(seers, minlength=self.n_tenants), out=starts[1:])
        return starts, rows[order]

    @property
    def _starts(self) -> Int64s:
        return self._pairs[0]

    @property
    def _rows(self) -> Int32s:
        return self._pairs[1]


@dataclass(frozen=True, eq=False)
class Truth:
    """Exact answers: ids int64 (q, k) padded with −1, their distances float64 (q, k) padded with +inf."""

    ids: Int64s
    distances: Float64s

    @property
    def n_expected(self) -> Int64s:
        """How many neighbours each query has, int64 (q,): k, or all its tenant may see."""
        return np.asarray((self.ids >= 0).sum(axis=1), np.int64)


@dataclass(frozen=True, eq=False)
class Workload:
    """What contenders build and are asked. `askers` int32 (q,) is the tenant of each query.

    `recorded` float32 (r, d) are queries of the same kind that are never asked, for who learns from such: only where
    queries are unlike the points, else r is 0. `key` names all of it in the store, `vectors_key` the vectors alone,
    which several workloads share.
    """

    name: str
    metric: str
    vectors: Float32s
    access: Access
    queries: Float32s
    askers: Int32s
    truth: Truth
    key: str
    vectors_key: str
    recorded: Float32s
    about: dict[str, object] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def raw_bytes(self) -> int:
        """Of the vectors, float32."""
        return int(self.vectors.nbytes)

    @cached_property
    def classes(self) -> Int64s:
        """The size class of each query's tenant: an index of `CLASS_NAMES`, int64 (q,)."""
        return class_of(self.access.sizes[self.askers])

    @property
    def n_seen(self) -> int:
        """Points that the tenants see, summed; a publisher who owns all and never asks is not one of them."""
        total = int(self.access.sizes.sum())
        return total - self.access.n_points if self.access.n_grants else total

    @property
    def n_readers(self) -> int:
        """Tenants, less a publisher who never asks."""
        return self.access.n_tenants - 1 if self.access.n_grants else self.access.n_tenants

    def asking(self) -> list[int]:
        """The tenants that ask anything, ascending."""
        return [int(tenant) for tenant in np.unique(self.askers)]


def class_of(sizes: Int64s) -> Int64s:
    """The size class of tenants that may see so many points."""
    return np.asarray(np.searchsorted(CLASS_BOUNDS, sizes), np.int64)
