"""DiskANN (diskannpy): a Vamana graph on disk, read by O_DIRECT; product-quantized vectors in RAM."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diskannpy
import numpy as np

from .asking import main
from .contender import Float32s, Peer, Rows

DEGREE, COMPLEXITY, BEAM = 64, 75, 4
BUILD_GIB = 4.0
SEARCH_THREADS = 2
"""With one it waits for ever while it opens."""
NO_CACHE = 0
"""Of nodes in RAM. Those that fit would be found by asking a tenth of the points at every opening."""


class DiskAnn(Peer):
    efforts = (10, 15, 20, 25, 30, 35, 40, 50, 60, 75, 100, 150, 200)
    needs_a_question = True

    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        rows = np.ascontiguousarray(np.load(vectors, mmap_mode="r"))
        how = (COMPLEXITY, DEGREE, ram_bytes / 2**30, BUILD_GIB, n_threads)
        diskannpy.build_disk_index(rows, "l2", str(folder), *how)
        for left in (
            "ann_vectors.bin",
            "ann_mem.index.data",
        ):  # a copy of what it was given, and a graph without vectors
            (folder / left).unlink(missing_ok=True)  # no search reads them
        return {"parameters": f"R {DEGREE}, L {COMPLEXITY}, beam {BEAM}"}

    def open(self, folder: Path, ram_bytes: int) -> None:
        how = {"num_threads": SEARCH_THREADS, "num_nodes_to_cache": 0, "cache_mechanism": NO_CACHE}
        self._index: Any = diskannpy.StaticDiskIndex(str(folder), **how)

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        found: Rows = self._index.search(query, k, complexity=effort, beam_width=BEAM).identifiers.astype(np.int64)
        return found

    def close(self) -> None:
        del self._index


if __name__ == "__main__":
    main(DiskAnn(), sys.argv[1:])
