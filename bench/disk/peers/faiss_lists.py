"""faiss (faiss-cpu): an inverted file whose lists of full vectors lie in one mapped file (`OnDiskInvertedLists`)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .asking import main
from .contender import Float32s, Peer, Rows
from .pages import read_no_further

faiss: Any = importlib.import_module("faiss")  # what types it has differ by release

TRAIN_ROWS_PER_LIST = 40
BLOCK_ROWS = 50_000
_INDEX, _LISTS = "index.faiss", "lists.ivfdata"


class FaissLists(Peer):
    efforts = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)

    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        faiss.omp_set_num_threads(n_threads)
        rows = np.load(vectors, mmap_mode="r")
        n, d = rows.shape
        n_lists = max(1, round(4 * n**0.5))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, n_lists)
        index.cp.seed, index.cp.min_points_per_centroid = 1, 1
        sample = np.random.default_rng(1).permutation(n)[: TRAIN_ROWS_PER_LIST * n_lists]
        index.train(np.array(rows[np.sort(sample)]))
        for first in range(0, n, BLOCK_ROWS):
            index.add(np.array(rows[first : first + BLOCK_ROWS]))
        lists = faiss.OnDiskInvertedLists(n_lists, index.code_size, str(folder / _LISTS))
        in_ram = faiss.InvertedListsPtrVector()
        in_ram.push_back(index.invlists)
        lists.merge_from_multiple(in_ram.data(), 1)
        index.replace_invlists(lists, False)
        faiss.write_index(index, str(folder / _INDEX))
        return {"parameters": f"IVF{n_lists},Flat"}

    def open(self, folder: Path, ram_bytes: int) -> None:
        faiss.omp_set_num_threads(1)
        flags = faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY
        self._index: Any = faiss.read_index(str(folder / _INDEX), flags)
        read_no_further((folder / _LISTS).resolve())

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        self._index.nprobe = effort
        found: Rows = self._index.search(query[np.newaxis], k)[1][0]
        return found

    def close(self) -> None:
        del self._index


if __name__ == "__main__":
    main(FaissLists(), sys.argv[1:])
