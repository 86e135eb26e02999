"""Points drawn from a seed that lie as embeddings of texts do: blocks with seeds of their own.

    λ_i ∝ i^−0.6 · exp(−2.2 i / d), i = 1 … d, along random orthogonal axes

is the spectrum of 384-dimensional embeddings of abstracts (arXiv by MiniLM: .82 of the energy in a third of the axes,
.92 in half of them). Points lie around a common mean of length 0.4, as those do, and are normalised. A block has 10,000
rows and follows from its number alone: a longer set begins with the shorter one. Blocks from `HELD_OUT` on are in none.
"""

from abc import ABC, abstractmethod

import numpy as np

from bench.tenants.growth import HELD_OUT, normalised
from bench.tenants.workload import Float32s, Float64s, Int64s

__all__ = ["BLOCK", "Cloud", "Clustered", "Duplicates", "Hard", "OutOfDistribution", "Plain", "spectrum", "zipf"]

BLOCK = 10_000
"""Rows of a block."""

_POWER, _FALL = 0.6, 2.2
_MEAN = 0.4
_N_CENTRES = 1_000
_CENTRES_SHARE = 0.42
"""Of the variance: between the centres; the rest is around them."""

_CENTRES_ZIPF = 0.6
_EXACT, _NEAR = 0.1, 0.2
"""Of the points of `Duplicates`: copies of others of their block, and twins of them."""

_NEAR_LENGTH = 0.05
_FOREIGN = 0.6
"""Of the length of a query of `OutOfDistribution` before it is normalised: what points have nothing of."""


def spectrum(dimension: int) -> Float64s:
    """Variances along the axes, descending, that sum to 1, float64 (d,)."""
    i = np.arange(1, dimension + 1)
    values = i**-_POWER * np.exp(-_FALL * i / dimension)
    return np.asarray(values / values.sum())


def zipf(n: int, exponent: float) -> Float64s:
    """Chances of n things by rank, float64 (n,): the first is the most frequent."""
    weights = np.arange(1, n + 1) ** -float(exponent)
    return np.asarray(weights / weights.sum())


class Cloud(ABC):
    """A kind of points. Everything follows from the dimension and the seed."""

    metric = "cosine"
    number = 0
    """Of the kind, in its seeds: never used again for another."""

    def __init__(self, dimension: int, seed: int) -> None:
        self.dimension = dimension
        self._seed = seed

    def rng(self, *stream: int) -> np.random.Generator:
        """Random numbers of this kind: stream 1 for the world, (2, number) for a block, others for queries."""
        return np.random.default_rng([self._seed, 20, self.number, *stream])

    @abstractmethod
    def points(self, number: int) -> Float32s:
        """Block `number`, float32 (10,000, d)."""

    def queries(self, n: int) -> Float32s:
        """Queries, float32 (n, d): by default points that are not stored."""
        blocks = [self.points(HELD_OUT + i) for i in range(-(-n // BLOCK))]
        return np.concatenate(blocks)[:n]


class Plain(Cloud):
    """One Gaussian."""

    number = 1

    def __init__(self, dimension: int, seed: int) -> None:
        super().__init__(dimension, seed)
        rng = self.rng(1)
        axes = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
        self._axes = (np.sqrt(spectrum(dimension))[:, None] * axes.T).astype(np.float32)
        mean = rng.standard_normal(dimension)
        self._mean = (mean * (_MEAN / np.linalg.norm(mean))).astype(np.float32)

    def points(self, number: int) -> Float32s:
        return self.placed(self.spread(BLOCK, self.rng(2, number)))

    def spread(self, n: int, rng: np.random.Generator) -> Float32s:
        """Gaussian rows (n, d) of this spectrum, of length 1 on average."""
        drawn: Float32s = rng.standard_normal((n, self.dimension), dtype=np.float32) @ self._axes
        return drawn

    def placed(self, around: Float32s) -> Float32s:
        """Rows moved to the mean and normalised, so that the mean has its share of their length."""
        return normalised(self._mean + np.float32(np.sqrt(1 - _MEAN**2)) * around)


class Clustered(Plain):
    """1,000 clusters: some are large, some tight. Centres and points have one spectrum."""

    number = 2

    def __init__(self, dimension: int, seed: int) -> None:
        super().__init__(dimension, seed)
        rng = self.rng(3)
        self._centres = self.spread(_N_CENTRES, rng) * np.float32(np.sqrt(_CENTRES_SHARE))
        self._widths = rng.uniform(0.6, 1.3, _N_CENTRES).astype(np.float32) * np.float32(np.sqrt(1 - _CENTRES_SHARE))
        self.chances = zipf(_N_CENTRES, _CENTRES_ZIPF)

    def points(self, number: int) -> Float32s:
        rng = self.rng(2, number)
        return self.around(rng.choice(_N_CENTRES, BLOCK, p=self.chances), rng)

    def around(self, centres: Int64s, rng: np.random.Generator) -> Float32s:
        """A point of each of these clusters."""
        return self.placed(self._centres[centres] + self._widths[centres, None] * self.spread(len(centres), rng))


class Hard(Cloud):
    """A Gaussian mixture in two thirds of the dimensions, centres spread as far as points around them."""

    metric = "l2"
    number = 3

    def __init__(self, dimension: int, seed: int) -> None:
        super().__init__(dimension, seed)
        rng = self.rng(1)
        rank = max(1, 2 * dimension // 3)
        self._basis = np.linalg.qr(rng.standard_normal((dimension, rank)))[0].T.astype(np.float32)
        self._centres = rng.standard_normal((_N_CENTRES, rank), dtype=np.float32)

    def points(self, number: int) -> Float32s:
        rng = self.rng(2, number)
        inside = self._centres[rng.integers(_N_CENTRES, size=BLOCK)]
        inside = inside + rng.standard_normal(inside.shape, dtype=np.float32)
        noise = rng.standard_normal((BLOCK, self.dimension), dtype=np.float32)
        drawn: Float32s = inside @ self._basis + np.float32(0.1) * noise
        return drawn


class OutOfDistribution(Clustered):
    """Clusters, asked by queries that share a third of their energy: another mean, other axes for the rest."""

    number = 4

    def queries(self, n: int) -> Float32s:
        rng = self.rng(4)
        axes = np.linalg.qr(rng.standard_normal((self.dimension, self.dimension)))[0].astype(np.float32)
        like = super().queries(n)
        unlike = self.placed(self.spread(n, rng)) @ axes
        return normalised(np.float32(1 - _FOREIGN) * like + np.float32(_FOREIGN) * unlike)


class Duplicates(Clustered):
    """Clusters, a tenth of the points exact copies of others and a fifth near twins; half of the queries are twins."""

    number = 5

    def points(self, number: int) -> Float32s:
        made, rng = super().points(number), self.rng(5, number)
        places = rng.permutation(BLOCK)
        n_exact, n_near = int(_EXACT * BLOCK), int(_NEAR * BLOCK)
        copies, originals = places[: n_exact + n_near], places[n_exact + n_near :]
        chosen = originals[(len(originals) * rng.random(len(copies)) ** 3).astype(np.int64)]  # some have many copies
        made[copies] = made[chosen]
        made[copies[n_exact:]] = self._twins(made[copies[n_exact:]], rng)
        return made

    def queries(self, n: int) -> Float32s:
        twins = self._twins(self.points(0)[: n // 2], self.rng(6))
        return np.concatenate([twins, super().queries(n - len(twins))])

    def _twins(self, rows: Float32s, rng: np.random.Generator) -> Float32s:
        return normalised(rows + np.float32(_NEAR_LENGTH) * self.spread(len(rows), rng))
