"""Rows drawn from a seed, on as many threads as there are cores: the same numbers however many those are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.reference import Float32s, UInt8s

__all__ = ["Spectrum", "normal", "random_bytes", "small_integers"]

_BLOCK_ROWS = 65_536
"""Each block of rows has a generator of its own, so that any thread may draw it."""
_CLUSTERS = 1_000
_DECAY = 0.5
"""Component i of a spectrum has the standard deviation i^-0.5: as text embeddings have, roughly."""
_WITHIN = 0.6
"""Of a cluster's spread, beside that of the centres."""


def _filled(rows: NDArray[Any], seed: int, draw: Callable[[np.random.Generator, int], NDArray[Any]]) -> NDArray[Any]:
    """The array with `draw(generator, n)` in each block of its rows."""

    def fill(block: int) -> None:
        first = block * _BLOCK_ROWS
        part = rows[first : first + _BLOCK_ROWS]
        part[:] = draw(np.random.default_rng((seed, block)), len(part))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(-(-len(rows) // _BLOCK_ROWS))))
    return rows


def normal(n: int, dimension: int, seed: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Random directions (n, d), of length 1."""

    def draw(rng: np.random.Generator, n_rows: int) -> Float32s:
        drawn = rng.standard_normal((n_rows, dimension), dtype=np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    return _filled(np.empty((n, dimension), dtype), seed, draw)


def random_bytes(n: int, width: int, seed: int) -> UInt8s:
    """Random codes uint8 (n, width)."""
    return _filled(np.empty((n, width), np.uint8), seed, lambda rng, m: rng.integers(0, 256, (m, width), np.uint8))


def small_integers(n: int, dimension: int, most: int, seed: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Integers of [−most, most] (n, d): sums of their products are exact in every format and order."""
    return _filled(np.empty((n, dimension), dtype), seed, lambda rng, m: rng.integers(-most, most + 1, (m, dimension)))


class Spectrum:
    """Rows of length 1 whose components decay as those of text embeddings do, in clusters, in a random rotation."""

    def __init__(self, dimension: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        scales = (np.arange(1, dimension + 1, dtype=np.float32) ** -_DECAY).astype(np.float32)
        rotation, _ = np.linalg.qr(rng.standard_normal((dimension, dimension)))
        self._dimension, self._seed = dimension, seed
        self._map: Float32s = (scales[:, None] * rotation).astype(np.float32)
        self._centres = rng.standard_normal((_CLUSTERS, dimension), dtype=np.float32)

    def rows(self, n: int, offset: int = 0) -> Float32s:
        """Rows float32 (n, d). Another `offset` gives others: queries are not among the rows."""

        def draw(rng: np.random.Generator, n_rows: int) -> Float32s:
            drawn = rng.standard_normal((n_rows, self._dimension), dtype=np.float32) * np.float32(_WITHIN)
            drawn += self._centres[rng.integers(0, _CLUSTERS, n_rows)]
            np.matmul(drawn, self._map, out=(mapped := np.empty_like(drawn)))
            mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
            return mapped

        return _filled(np.empty((n, self._dimension), np.float32), self._seed + 1_000_003 * (offset + 1), draw)
