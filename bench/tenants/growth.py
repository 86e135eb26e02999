"""A set of sentence vectors with labels, and points grown from it that lie as its own points do.

    grown = normalised(x + a · (neighbour − x) + noise), a uniform in [0, 1), neighbour one of x's 10 nearest,
    noise Gaussian with the covariance of the set, scaled to a root mean square length of 0.35

A grown point has the labels of x. Points are made in blocks, each from its own seed: a longer set begins with the
shorter one, and blocks that are in no set are queries of the same kind. Real vectors come from the folder that
VDB_DATASETS names, or from `../shared/data`.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.record import ROOT
from bench.tenants.workload import Float32s, Int32s, Int64s

N_NEIGHBOURS = 10
NOISE_LENGTH = 0.35
FORMAT = "v1"
"""In the key of grown vectors: changed when they change."""

_BLOCK = 10_000
HELD_OUT = 1 << 20
"""The number of the first block that no set reaches."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Vectors of length 1, float32 (n, d), queries (q, d), and labels: those of row i are labels[offsets[i]:…]."""

    key: str
    vectors: Float32s
    queries: Float32s
    offsets: Int64s
    labels: Int32s
    n_labels: int


def datasets() -> Path:
    """The folder of real data sets; it need not exist."""
    return Path(os.environ.get("VDB_DATASETS", ROOT.parent / "shared" / "data"))


def arxiv(folder: Path) -> Source:
    """Paper abstracts; a label is a category."""
    stored = np.load(folder / "base_f16.npy")
    with gzip.open(folder / "base.jsonl.gz", "rt", encoding="utf-8") as lines:
        categories = [json.loads(line)["categories"] for line in lines]
    names = {name: number for number, name in enumerate(sorted({name for some in categories for name in some}))}
    labels = np.array([names[name] for some in categories for name in some], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(some) for some in categories])]).astype(np.int64)
    key = f"arxiv-{zlib.crc32(stored.tobytes()):08x}"
    queries = normalised(np.load(folder / "query_f16.npy"))
    return Source(key, normalised(stored), queries, offsets, labels, len(names))


def questions(folder: Path, name: str) -> Float32s:
    """All vectors of a file of another set, normalised."""
    return normalised(np.load(folder / name))


def generated(n: int, dimension: int, n_queries: int, seed: int) -> Source:
    """A mixture in the place of real vectors: labels are its components, and for half of the points a second one."""
    rng = np.random.default_rng([seed, 1])
    n_labels = 40
    centres = rng.standard_normal((n_labels, dimension))

    def drawn(size: int) -> tuple[Float32s, Int64s]:
        component = rng.integers(n_labels, size=size)
        return normalised(centres[component] + rng.standard_normal((size, dimension))), component

    vectors, component = drawn(n)
    other = np.where(rng.random(n) < 0.5, (component + 1 + rng.integers(n_labels - 1, size=n)) % n_labels, -1)
    both = np.stack([component, other], axis=1)
    offsets = np.concatenate([[0], np.cumsum((both >= 0).sum(axis=1))]).astype(np.int64)
    labels = both[both >= 0].astype(np.int32)
    return Source(f"generated-{n}x{dimension}-{seed}", vectors, drawn(n_queries)[0], offsets, labels, n_labels)


class Growth:
    """Grows a source. Everything follows from the source and the seed."""

    def __init__(self, source: Source, seed: int) -> None:
        self._vectors = source.vectors
        self._seed = seed
        self._neighbours = _neighbours(source.vectors)
        covariance = np.cov(source.vectors.astype(np.float64), rowvar=False)
        values, axes = np.linalg.eigh(covariance)
        scale = NOISE_LENGTH / np.sqrt(np.trace(covariance))
        self._noise = (scale * np.sqrt(np.maximum(values, 0))[:, None] * axes.T).astype(np.float32)

    def blocks(self, first: int, n: int) -> Iterator[tuple[Float32s, Int32s]]:
        """`n` grown points from block number `first` on, with the row of the source that each grew from."""
        for number in range(first, first + -(-n // _BLOCK)):
            vectors, parents = self._block(number)
            size = min(_BLOCK, n - (number - first) * _BLOCK)
            yield vectors[:size], parents[:size]

    def write(self, path: Path, n: int) -> Int32s:
        """Write the source and grown points, `n` in all, as `.npy`; the row of the source that each comes from."""
        n_given = min(n, len(self._vectors))
        out = np.lib.format.open_memmap(path, "w+", np.float32, (n, self._vectors.shape[1]))
        out[:n_given] = self._vectors[:n_given]
        parents = np.arange(n, dtype=np.int32)
        at = n_given
        for vectors, sources in self.blocks(0, n - n_given):
            out[at : at + len(vectors)] = vectors
            parents[at : at + len(vectors)] = sources
            at += len(vectors)
        out.flush()
        return parents

    def _block(self, number: int) -> tuple[Float32s, Int32s]:
        rng = np.random.default_rng([self._seed, 2, number])
        parents = rng.integers(len(self._vectors), size=_BLOCK)
        others = self._neighbours[parents, rng.integers(self._neighbours.shape[1], size=_BLOCK)]
        share = rng.random((_BLOCK, 1), dtype=np.float32)
        own = self._vectors[parents]
        noise = rng.standard_normal(own.shape, dtype=np.float32) @ self._noise
        return normalised(own + share * (self._vectors[others] - own) + noise), parents.astype(np.int32)


def normalised(vectors: NDArray[np.floating]) -> Float32s:
    """Vectors of length 1, float32."""
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide


def _neighbours(vectors: Float32s) -> Int32s:
    """The nearest other rows of each row by dot product, int32 (n, 10)."""
    kept = min(N_NEIGHBOURS, len(vectors) - 1)
    found = np.empty((len(vectors), kept), np.int32)
    for first in range(0, len(vectors), 2_000):
        products = vectors[first : first + 2_000] @ vectors.T
        rows = np.arange(len(products))
        products[rows, first + rows] = -np.inf
        found[first : first + len(products)] = np.argpartition(-products, kept - 1, axis=1)[:, :kept]
    return found
