"""pynndescent: a graph of neighbours made by descent, searched by compiled Python in one thread.

Its inner product expects vectors of length 1, as the cosine metric has them. Its file is a pickle.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contender import Contender, Float32s, LeftOut, Rows
from .serving import serve

os.environ["NUMBA_NUM_THREADS"] = str(os.cpu_count())  # the most that a build can ask for, read on import
NNDescent: Any = importlib.import_module("pynndescent").NNDescent
set_num_threads: Any = importlib.import_module("numba").set_num_threads

N_NEIGHBORS, PRUNING, DIVERSIFY = 40, 2.0, 0.0
_METRICS = {"l2": "euclidean", "cosine": "dot"}
_FILE = "index.pickle"


class Descent(Contender):
    """Settings: epsilon."""

    settings: Sequence[str] = [f"epsilon {n}" for n in (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.14, 0.18, 0.24, 0.3, 0.4)]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        if metric not in _METRICS:
            raise LeftOut("its inner product is of vectors of length 1 only")
        self._index = NNDescent(
            vectors, metric=_METRICS[metric], n_neighbors=N_NEIGHBORS, pruning_degree_multiplier=PRUNING,
            diversify_prob=DIVERSIFY, random_state=1,
            n_jobs=min(n_threads, os.cpu_count() or 1), compressed=False,
        )  # fmt: skip
        self._index.prepare()
        set_num_threads(1)
        return f"n_neighbors {N_NEIGHBORS}, pruning {PRUNING}, diversify {DIVERSIFY}, {_METRICS[metric]}"

    def use(self, setting: str) -> None:
        self._epsilon = float(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.query(query[np.newaxis], k, self._epsilon)[0][0]
        return found

    def save(self, folder: Path) -> bool:
        (folder / _FILE).write_bytes(pickle.dumps(self._index, protocol=5))
        return True

    def load(self, folder: Path) -> None:
        self._index = pickle.loads((folder / _FILE).read_bytes())  # its own, of a moment ago
        set_num_threads(1)


if __name__ == "__main__":
    serve(Descent())
