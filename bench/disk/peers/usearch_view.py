"""usearch: an HNSW graph with its vectors in one file, viewed through a mapping."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
from usearch.index import Index

from .asking import main
from .contender import Contender, Float32s, Rows

CONNECTIVITY, EXPANSION = 16, 100
_FILE = "graph.usearch"
_MADV_RANDOM = 1


class UsearchView(Contender):
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
        self._read_no_further(folder / _FILE)

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        if self._index.expansion_search != effort:
            self._index.expansion_search = effort
        found: Rows = self._index.search(query, k, threads=1).keys.astype(np.int64)
        return found

    def close(self) -> None:
        self._index.reset()
        del self._index

    @staticmethod
    def _read_no_further(path: Path) -> None:
        """A favour: without it each fault reads as far ahead as the disk is set to, megabytes of nothing it needs."""
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            if line.endswith(str(path)):
                first, last = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
                ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_RANDOM)


if __name__ == "__main__":
    main(UsearchView(), sys.argv[1:])
