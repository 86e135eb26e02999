"""faiss (faiss-cpu): inverted files, of vectors or of 4-bit codes with exact distances after, and HNSW.

`python -m peers.faiss_index ivf|fast-scan|hnsw`. Parameters are those of faiss's guidelines for so many vectors.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contender import Contender, Float32s, Rows
from .serving import serve

faiss: Any = importlib.import_module("faiss")  # what types it has differ by release

N_LISTS = 1024
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
KEPT = (2, 4, 8, 16, 32)
"""Candidates of the codes that are compared by their vectors, as a multiple of k."""
DIMENSIONS_PER_CODE = 2
M, EF_CONSTRUCTION = 32, 200
EFS = (10, 14, 20, 28, 40, 56, 80, 120, 180, 260, 400, 600)
_FILE = "index.faiss"


class Faiss(Contender):
    """Settings: nprobe of the inverted files, with k_factor of those with codes; efSearch of the graph."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._index: Any = None

    @property
    def settings(self) -> Sequence[str]:
        if self._kind == "hnsw":
            return [f"efSearch {ef}" for ef in EFS]
        if self._kind == "ivf":
            return [f"nprobe {n}" for n in PROBES]
        return [f"nprobe {n}, k_factor {kept}" for kept in KEPT for n in PROBES if n >= kept // 4]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        faiss.omp_set_num_threads(n_threads)
        n, d = vectors.shape
        how = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        n_lists = min(N_LISTS, max(1, n // 40))
        factory = {
            "ivf": f"IVF{n_lists},Flat",
            "fast-scan": f"IVF{n_lists},PQ{d // DIMENSIONS_PER_CODE}x4fs,RFlat",
            "hnsw": f"HNSW{M},Flat",
        }[self._kind]
        self._index = faiss.index_factory(d, factory, how)
        if self._kind == "hnsw":
            self._index.hnsw.efConstruction = EF_CONSTRUCTION
            factory += f", efConstruction {EF_CONSTRUCTION}"
        self._index.train(vectors)
        self._index.add(vectors)
        self._opened()
        return factory

    def use(self, setting: str) -> None:
        numbers = dict(one.split() for one in setting.split(", "))
        if self._kind == "hnsw":
            self._index.hnsw.efSearch = int(numbers["efSearch"])
        elif self._kind == "ivf":
            self._index.nprobe = int(numbers["nprobe"])
        else:
            faiss.downcast_index(self._index.base_index).nprobe = int(numbers["nprobe"])
            self._index.k_factor = float(numbers["k_factor"])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query[np.newaxis], k)[1][0]
        return found

    def save(self, folder: Path) -> bool:
        faiss.write_index(self._index, str(folder / _FILE))
        return True

    def load(self, folder: Path) -> None:
        self._index = faiss.read_index(str(folder / _FILE))
        self._opened()

    def _opened(self) -> None:
        faiss.omp_set_num_threads(1)


if __name__ == "__main__":
    serve(Faiss(sys.argv[1]))
