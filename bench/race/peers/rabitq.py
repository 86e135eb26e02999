"""rabitqlib: SymphonyQG, a graph whose neighbours are scored by RaBitQ codes, and an inverted file of RaBitQ codes.

`python -m peers.rabitq graph|ivf`. Searched in one thread.
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

rabitqlib: Any = importlib.import_module("rabitqlib")

DEGREE, EF_CONSTRUCTION = 32, 200
EFS = (10, 14, 20, 28, 40, 56, 80, 120, 180, 260, 400, 600)
N_LISTS, BITS = 1024, 7
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_METRICS = {"l2": "l2", "cosine": "ip", "ip": "ip"}
_FILE = "index.rabitq"


class RabitqGraph(Contender):
    """SymphonyQG. Settings: ef."""

    settings: Sequence[str] = [f"ef {ef}" for ef in EFS]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._index = rabitqlib.SymqgIndex(vectors.shape[1], DEGREE, _METRICS[metric])
        self._index.build(vectors, EF_CONSTRUCTION, num_threads=n_threads)
        return f"SymphonyQG, degree {DEGREE}, efConstruction {EF_CONSTRUCTION}, {_METRICS[metric]}"

    def use(self, setting: str) -> None:
        self._ef = int(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query[np.newaxis], k, self._ef)[0][0]
        return found

    def save(self, folder: Path) -> bool:
        self._index.save(str(folder / _FILE))
        return True

    def load(self, folder: Path) -> None:
        self._index = rabitqlib.SymqgIndex.load(str(folder / _FILE))


class RabitqLists(Contender):
    """An inverted file, its codes read in two steps. Settings: nprobe."""

    settings: Sequence[str] = [f"nprobe {n}" for n in PROBES]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        n, d = vectors.shape
        n_lists = min(N_LISTS, max(1, n // 40))
        means = rabitqlib.RaBitQKMeans(d, n_lists, num_threads=n_threads, seed=1)
        means.train(vectors)
        self._index = rabitqlib.IvfIndex(d, n, n_lists, BITS, _METRICS[metric])
        self._index.build(vectors, means.centroids, means.assignments, num_threads=n_threads)
        return f"{n_lists} lists, {BITS} bits, {_METRICS[metric]}"

    def use(self, setting: str) -> None:
        self._n_probes = int(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query[np.newaxis], k, self._n_probes)[0][0]
        return found

    def save(self, folder: Path) -> bool:
        self._index.save(str(folder / _FILE))
        return True

    def load(self, folder: Path) -> None:
        self._index = rabitqlib.IvfIndex.load(str(folder / _FILE))


if __name__ == "__main__":
    serve({"graph": RabitqGraph, "ivf": RabitqLists}[sys.argv[1]]())
