"""A graph over rows (HNSW by hnswlib, which only this file knows): candidates among very many rows, in a hundred µs.

Labels are numbers of our own, one for each time that a row is put, never used again: hnswlib mends the links of a
label that it is given again, which takes longer than a new one and leaves nodes that no path leads to. What was
dropped stays in the graph, passed through and not returned, until whoever holds it builds another.

A graph of n rows takes n × (4 d + 150) bytes for vectors and links, and 2.6 MiB for hnswlib's locks.
Source: Malkov, Yashunin (TPAMI 2020).
"""

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InternalError
from vdb.kernels.reference import Float32s, UInt32s

try:
    import hnswlib
except ImportError:  # the extra `index` is not installed
    hnswlib = None

M: Final = 16
EF_CONSTRUCTION: Final = 200
LEAST_EF: Final = 256
"""Of 50,000 sentences of 384 components it finds all of the nearest and .997 of the 16 nearest, in 310 µs."""
GROWTH: Final = 1.5

_NONE: Final = np.int64(-1)
"""The label of a row that is not in the graph."""


def is_available() -> bool:
    """Whether hnswlib is installed."""
    return hnswlib is not None


class RowGraph:
    """Any thread may call anything: hnswlib's searches and insertions exclude each other, so they take turns. A search
    does not wait long for its turn. Nothing to close."""

    def __init__(self, dimension: int, capacity: int) -> None:
        self._lock: Final = threading.Lock()
        self._index: Final[Any] = hnswlib.Index(space="ip", dim=dimension)
        self._index.init_index(max_elements=max(1, capacity), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
        self._row_of: UInt32s = np.empty(max(1, capacity), np.uint32)
        self._label_of: NDArray[np.int64] = np.full(max(1, capacity), _NONE)
        self._dimension: Final = dimension
        self._n_labels = 0
        self._ef = 0
        self.n_dropped = 0

    @property
    def n_rows(self) -> int:
        """Rows that can be found."""
        return self._n_labels - self.n_dropped

    @property
    def nbytes(self) -> int:
        """About what it takes, room for more rows included."""
        per_row = 4 * self._dimension + 8 * M + 24
        return len(self._row_of) * (per_row + 4) + self._label_of.nbytes + (5 << 19)

    def put(self, rows: UInt32s, vectors: Float32s) -> None:
        """Enter rows (n,), each once, with vectors (n, d) of unit length; one that is there is dropped first.

        Raises InternalError where hnswlib fails, as without memory.
        """
        self.drop(rows)
        for i in range(len(rows)):
            with self._lock:
                self._enter(int(rows[i]), vectors[i])

    def _enter(self, row: int, vector: Float32s) -> None:
        label = self._n_labels
        try:
            if label == len(self._row_of):
                capacity = int(GROWTH * label) + 1
                self._index.resize_index(capacity)
                self._row_of = np.concatenate((self._row_of, np.empty(capacity - label, np.uint32)))
            self._index.add_items(vector, label, num_threads=1)
        except RuntimeError as exc:
            raise InternalError("the graph takes no more rows") from exc
        if row >= len(self._label_of):
            more = np.full(max(row + 1, int(GROWTH * len(self._label_of))) - len(self._label_of), _NONE)
            self._label_of = np.concatenate((self._label_of, more))
        self._row_of[label], self._label_of[row] = row, label
        self._n_labels += 1

    def drop(self, rows: UInt32s) -> None:
        """These rows are not found any more; those that are not there are left alone."""
        with self._lock:
            known = rows[rows < len(self._label_of)]
            for row in known[self._label_of[known] != _NONE].tolist():
                self._index.mark_deleted(int(self._label_of[row]))
                self._label_of[row] = _NONE
                self.n_dropped += 1

    def nearest(self, query: Float32s, m: int, patience_s: float) -> UInt32s | None:
        """About the `m` rows nearest to `query`, uint32 (n <= m,). None where the turn does not come within
        `patience_s`, or the graph finds too few: look another way."""
        if not self._lock.acquire(timeout=patience_s):
            return None
        try:
            wanted = min(m, self.n_rows)
            if wanted == 0:
                return np.empty(0, np.uint32)
            if self._ef != max(LEAST_EF, wanted):
                self._ef = max(LEAST_EF, wanted)
                self._index.set_ef(self._ef)
            labels, _ = self._index.knn_query(query, k=wanted, num_threads=1)
            found: UInt32s = self._row_of[labels[0]]
        except RuntimeError:  # fewer than `wanted` can be reached
            return None
        finally:
            self._lock.release()
        return found
