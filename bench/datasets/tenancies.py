"""Many tenants of very different sizes over clustered points, a fifth of which are shared with others.

1,000 tenants; owners and grantees of points are drawn by Zipf's law of exponent 1, so the largest tenant owns some 13 %
and most own little. Four points of five of a tenant lie in 20 clusters of its own liking. A shared point is granted to
one tenant, two or three. All of it follows from the block, so that a longer set begins with the shorter one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.datasets.clouds import BLOCK, Clustered, zipf
from bench.tenants.workload import Access, Float32s, Int32s, Int64s

__all__ = ["N_TENANTS", "Skewed", "access_of"]

N_TENANTS = 1_000
_EXPONENT = 1.0
_N_FAVOURITES, _FAVOURED = 20, 0.8
_SHARED, _MOST_GRANTS = 0.2, 3


@dataclass(frozen=True, slots=True, eq=False)
class _Seers:
    """Owners int32 (n,), and the pairs of a row of the block and a grantee, ascending."""

    owners: Int32s
    rows: Int64s
    grantees: Int32s


class Skewed(Clustered):
    """Clusters whose points belong to 1,000 tenants by Zipf's law; a fifth of the points are shared.

    `seers` says whose they are, and with whom they are shared.
    """

    number = 6

    def __init__(self, dimension: int, seed: int) -> None:
        super().__init__(dimension, seed)
        rng = self.rng(7)
        shape = (N_TENANTS, _N_FAVOURITES)
        self._favourites = rng.choice(len(self.chances), shape, p=self.chances)
        self._shares = zipf(N_TENANTS, _EXPONENT)

    def points(self, number: int) -> Float32s:
        return self.of_tenants(self.seers(number).owners, self.rng(2, number))

    def of_tenants(self, tenants: Int32s, rng: np.random.Generator) -> Float32s:
        """A point of each of these tenants, float32 (n, d)."""
        n = len(tenants)
        own = self._favourites[tenants, rng.integers(_N_FAVOURITES, size=n)]
        any_of_all = rng.choice(len(self.chances), n, p=self.chances)
        return self.around(np.where(rng.random(n) < _FAVOURED, own, any_of_all), rng)

    def seers(self, number: int) -> _Seers:
        """Who owns the points of block `number` and who else may see them."""
        rng = self.rng(8, number)
        owners = rng.choice(N_TENANTS, BLOCK, p=self._shares).astype(np.int32)
        shared = np.flatnonzero(rng.random(BLOCK) < _SHARED)
        rows = np.repeat(shared, rng.integers(1, _MOST_GRANTS + 1, size=len(shared)))
        grantees = rng.choice(N_TENANTS, len(rows), p=self._shares).astype(np.int32)
        pairs = np.unique(np.stack([rows, grantees.astype(np.int64)], axis=1), axis=0)
        pairs = pairs[owners[pairs[:, 0]] != pairs[:, 1]]
        return _Seers(owners, pairs[:, 0], pairs[:, 1].astype(np.int32))

    def asking(self, sizes: Int64s, n: int) -> Int32s:
        """Tenants that ask, int32 (n,): every other as tenants have points, the rest any that has some."""
        rng = self.rng(9)
        by_size = rng.choice(N_TENANTS, n, p=sizes / sizes.sum())
        evenly = rng.choice(np.flatnonzero(sizes), n)
        return np.where(np.arange(n) % 2 == 0, by_size, evenly).astype(np.int32)


def access_of(cloud: Skewed, n: int) -> Access:
    """Owners and grants of the first `n` points."""
    owners, counts, grantees = zip(*_cut(cloud, n), strict=True)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(np.concatenate(counts), out=offsets[1:])
    return Access(N_TENANTS, np.concatenate(owners), offsets, np.concatenate(grantees))


def _cut(cloud: Skewed, n: int) -> Iterator[tuple[Int32s, Int64s, Int32s]]:
    """Of each block: owners, grants of each point, grantees."""
    for number in range(-(-n // BLOCK)):
        size, seers = min(BLOCK, n - number * BLOCK), cloud.seers(number)
        is_in = seers.rows < size
        yield seers.owners[:size], np.bincount(seers.rows[is_in], minlength=size), seers.grantees[is_in]
