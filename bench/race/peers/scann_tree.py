"""ScaNN: a tree of partitions, anisotropic 4-bit codes in them, exact distances after; searched in one thread.

Parameters are those of its documentation for so many vectors: some root of their number in leaves, threshold 0.2;
centroids in 8 bits and, for products, partitions of directions, as its entry in ann-benchmarks has it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contender import Contender, Float32s, Rows
from .serving import serve

operations: Any = importlib.import_module("scann.scann_ops.py.scann_ops_pybind")

LEAVES_PER_ROOT = 2.0
DIMENSIONS_PER_CODE = 2
THRESHOLD = 0.2
LEAVES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
REORDERED = (20, 40, 80, 160, 320)


class Scann(Contender):
    """Settings: leaves searched, and candidates compared by their vectors."""

    settings: Sequence[str] = [f"leaves {n}, reorder {kept}" for kept in REORDERED for n in LEAVES if n >= kept // 40]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        n_leaves = max(1, round(LEAVES_PER_ROOT * len(vectors) ** 0.5))
        measure = "squared_l2" if metric == "l2" else "dot_product"
        threshold = float("nan") if metric == "l2" else THRESHOLD
        self._index = (
            operations.builder(vectors, 10, measure)
            .set_n_training_threads(n_threads)
            .tree(
                num_leaves=n_leaves,
                num_leaves_to_search=16,
                training_sample_size=len(vectors),
                quantize_centroids=True,
                spherical=measure == "dot_product",
            )
            .score_ah(DIMENSIONS_PER_CODE, anisotropic_quantization_threshold=threshold)
            .reorder(100)
            .build()
        )
        return f"{n_leaves} leaves, {DIMENSIONS_PER_CODE} dimensions a code, threshold {threshold}, {measure}"

    def use(self, setting: str) -> None:
        leaves, reordered = (int(one.split()[1]) for one in setting.split(", "))
        self._leaves, self._reordered = leaves, reordered

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query, k, self._reordered, self._leaves)[0]
        return found

    def save(self, folder: Path) -> bool:
        self._index.serialize(str(folder))
        return True

    def load(self, folder: Path) -> None:
        self._index = operations.load_searcher(str(folder))


if __name__ == "__main__":
    serve(Scann())
