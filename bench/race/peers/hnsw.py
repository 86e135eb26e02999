"""hnswlib: a graph in RAM, searched in one thread. `python -m peers.hnsw M EF_CONSTRUCTION`: links of a point in a
layer, and candidates of a point that is linked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hnswlib

from .contender import Contender, Float32s, Rows
from .serving import serve

_SPACES = {"l2": "l2", "cosine": "ip", "ip": "ip"}
"""Vectors of the cosine metric are of length 1: their inner product is the same order, and cheaper."""


class Hnswlib(Contender):
    """Settings: ef."""

    settings: Sequence[str] = [f"ef {ef}" for ef in (10, 14, 20, 28, 40, 56, 80, 120, 180, 260, 400, 600)]

    def __init__(self, n_links: int, ef_construction: int) -> None:
        self._n_links, self._ef_construction = n_links, ef_construction

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        n, d = vectors.shape
        self._made = (_SPACES[metric], d)
        self._index = hnswlib.Index(*self._made)
        self._index.init_index(n, ef_construction=self._ef_construction, M=self._n_links, random_seed=100)
        self._index.add_items(vectors, num_threads=n_threads)
        self._index.set_num_threads(1)
        return f"M {self._n_links}, efConstruction {self._ef_construction}, {self._made[0]}"

    def use(self, setting: str) -> None:
        self._index.set_ef(int(setting.split()[1]))

    def search(self, query: Float32s, k: int) -> Rows:
        rows: Rows = self._index.knn_query(query, k)[0][0]
        return rows

    def save(self, folder: Path) -> bool:
        self._index.save_index(str(folder / "index.bin"))
        (folder / "made.txt").write_text(f"{self._made[0]} {self._made[1]}")
        return True

    def load(self, folder: Path) -> None:
        space, dimension = (folder / "made.txt").read_text().split()
        self._made = (space, int(dimension))
        self._index = hnswlib.Index(*self._made)
        self._index.load_index(str(folder / "index.bin"))
        self._index.set_num_threads(1)


if __name__ == "__main__":
    serve(Hnswlib(int(sys.argv[1]), int(sys.argv[2])))
