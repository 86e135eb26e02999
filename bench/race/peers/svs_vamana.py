"""SVS, Scalable Vector Search (scalable-vs): a Vamana graph over float32 vectors, searched in one thread.

`python -m peers.svs_vamana DEGREE`: the most links of a point.

Its compressed vectors (LVQ, LeanVec) are refused on processors that are not Intel's, by ending the process: float32
runs everywhere.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contender import Contender, Float32s, Rows
from .serving import serve

svs: Any = importlib.import_module("svs")

WINDOW = 200
_ALPHA = {"l2": 1.2, "cosine": 0.95, "ip": 0.95}
"""Its own defaults."""
_PLACES = ("config", "graph", "data")


class Vamana(Contender):
    """Settings: the search window."""

    settings: Sequence[str] = [f"window {n}" for n in (10, 12, 15, 20, 25, 32, 42, 56, 75, 100, 150, 220, 320)]

    def __init__(self, degree: int) -> None:
        self._degree = degree

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        parameters = svs.VamanaBuildParameters(
            alpha=_ALPHA[metric], graph_max_degree=self._degree, window_size=WINDOW, prune_to=self._degree - 4
        )
        self._metric = metric
        self._index = svs.Vamana.build(parameters, vectors, _distance(metric), num_threads=n_threads)
        self._index.num_threads = 1
        return f"degree {self._degree}, window {WINDOW}, alpha {_ALPHA[metric]}, float32"

    def use(self, setting: str) -> None:
        self._index.search_window_size = int(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query, k)[0][0]
        return found

    def save(self, folder: Path) -> bool:
        self._index.save(*(str(folder / name) for name in _PLACES))
        (folder / "metric.txt").write_text(self._metric)
        return True

    def load(self, folder: Path) -> None:
        config, graph, data = (str(folder / name) for name in _PLACES)
        metric = _distance((folder / "metric.txt").read_text())
        vectors = svs.VectorDataLoader(data, svs.DataType.float32)
        self._index = svs.Vamana(config, svs.GraphLoader(graph), vectors, metric, num_threads=1)


def _distance(metric: str) -> Any:
    return svs.DistanceType.L2 if metric == "l2" else svs.DistanceType.MIP


if __name__ == "__main__":
    serve(Vamana(int(sys.argv[1])))
