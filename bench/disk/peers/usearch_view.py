"""usearch: an HNSW graph with its vectors in one file, viewed through a mapping."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from usearch.index import Index

from .asking import main
from .contender import Float32s, Peer, Rows
from .pages import read_no_further

CONNECTIVITY, EXPANSION = 16, 100
_FILE = "graph.usearch"


class UsearchView(Peer):
    efforts = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)

    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        rows = np.load(vectors, mmap_mode="r")
        index = Index(
            ndim=rows.shape[1], metric="l2sq", dtype="f32", connectivity=CONNECTIVITY, expansion_add=EXPANSION
        )
        for first in range(0, len(rows), 10_000):
            some = np.array(rows[first : first + 10_000])
            index.add(np.arange(first, first + len(some)), some, threads=n_threads)
        index.save(str(folder / _FILE))
        return {"parameters": f"connectivity {CONNECTIVITY}, expansion_add {EXPANSION}"}

    def open(self, folder: Path, ram_bytes: int) -> None:
        self._index = Index.restore(str(folder / _FILE), view=True)
        read_no_further((folder / _FILE).resolve())

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        if self._index.expansion_search != effort:
            self._index.expansion_search = effort
        found: Rows = self._index.search(query, k, threads=1).keys.astype(np.int64)
        return found

    def close(self) -> None:
        self._index.reset()
        del self._index


if __name__ == "__main__":
    main(UsearchView(), sys.argv[1:])
