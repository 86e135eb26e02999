"""usearch: a graph in RAM, searched in one thread.

`python -m peers.usearch_graph f32|bf16`: how components are stored; bf16 is its own default where the processor has it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from usearch.index import Index

from .contender import Contender, Float32s, Rows
from .serving import serve

CONNECTIVITY, EXPANSION_ADD = 16, 128
_METRICS = {"l2": "l2sq", "cosine": "ip", "ip": "ip"}
_FILE = "index.usearch"


class Usearch(Contender):
    """Settings: expansion_search."""

    settings: Sequence[str] = [f"expansion {n}" for n in (10, 14, 20, 28, 40, 56, 80, 120, 180, 260, 400, 600)]

    def __init__(self, stored: str) -> None:
        self._stored = stored

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._index = Index(
            ndim=vectors.shape[1], metric=_METRICS[metric], dtype=self._stored, connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD, enable_key_lookups=False,
        )  # fmt: skip
        self._index.add(None, vectors, threads=n_threads)
        return f"connectivity {CONNECTIVITY}, expansion_add {EXPANSION_ADD}, {self._stored}, {_METRICS[metric]}"

    def use(self, setting: str) -> None:
        self._index.expansion_search = int(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        found: Rows = self._index.search(query, k, threads=1).keys
        return found

    def save(self, folder: Path) -> bool:
        self._index.save(str(folder / _FILE))
        return True

    def load(self, folder: Path) -> None:
        found = Index.restore(str(folder / _FILE))
        if found is None:
            raise RuntimeError("it does not know its own file")
        self._index = found


if __name__ == "__main__":
    serve(Usearch(sys.argv[1]))
