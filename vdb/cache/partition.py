"""The entries of one partition: those that are eligible together, found by cosine.

A search compares the float32 vectors of its candidates, so its similarities are exact; in a partition that is small all
rows are candidates. Vectors are of unit length and finite: who calls has refused zero vectors and what has no length.

A row takes 4 d bytes for its vector and 12 for number and stamp, and about 100 for finding it by its number; up to half
as much again is room for more.
"""

import threading
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vdb.cache.rows import Rows
from vdb.kernels.reference import Float32s
from vdb.kernels.reference_layout import UInt64s

Scalar = TypeVar("Scalar", bound=np.generic)

Found = tuple[UInt64s, Float32s]
"""Numbers uint64 (n,) and similarities float32 (n,), descending."""

PARTED_ABOVE: Final = 4
"""Times k: from so many candidates on, the best are parted from the rest before they are sorted."""


class Partition:
    """Any thread may call anything: writers take turns, searches wait for nobody. Nothing to close.

    What `add` has added is found, and what `remove` has removed is not, by every search that begins after it returned.
    """

    __slots__ = ("_lock", "_places", "_rows")

    def __init__(self, dimension: int) -> None:
        self._rows = Rows.empty(dimension)
        self._places: dict[int, int] = {}
        self._lock = threading.Lock()

    @classmethod
    def bulk(cls, numbers: UInt64s, vectors: Float32s) -> Self:
        """A partition of these entries; numbers differ. Arrays of the right dtype and order are kept, not copied."""
        partition = cls(vectors.shape[1])
        partition._rows = Rows(_own(vectors, np.float32), _own(numbers, np.uint64), len(numbers))
        partition._places = dict(zip(numbers.tolist(), range(len(numbers)), strict=True))
        return partition

    @property
    def n_rows(self) -> int:
        """Live entries."""
        return self._rows.n_live

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, room for more rows included."""
        return self._rows.nbytes

    def add(self, number: int, vector: Float32s) -> None:
        """Enter `number` with `vector` float32 (d,), of unit length; in place of what had that number."""
        with self._lock:
            self._end(number)
            if self._rows.is_full:
                self._rows = self._rows.grown()
            row = self._rows.vacant()
            self._rows.begin(row, number, vector)
            self._places[number] = row

    def remove(self, number: int) -> bool:
        """Take `number` out; whether it was there."""
        with self._lock:
            was_there = self._end(number)
            if self._rows.should_compact:
                self._rows = self._rows.compacted()
                numbers = self._rows.numbers[: self._rows.stop].tolist()
                self._places = dict(zip(numbers, range(len(numbers)), strict=True))
            return was_there

    def _end(self, number: int) -> bool:
        row = self._places.pop(number, None)
        if row is None:
            return False
        self._rows.end(row)
        return True

    def vector_of(self, number: int) -> Float32s | None:
        """A copy of the vector of an entry, float32 (d,); None where there is no such entry."""
        with self._lock:
            row = self._places.get(number)
            return None if row is None else self._rows.vectors[row].copy()

    def search(self, query: Float32s, k: int) -> Found:
        """The `k` entries nearest to `query` float32 (d,), of unit length; all of them where there are fewer.

        Equal similarities stand in any order.
        """
        while True:
            rows = self._rows
            found = _nearest(rows, query, k)
            if found is not None and self._rows is rows:
                return found


def _nearest(rows: Rows, query: Float32s, k: int) -> Found | None:
    """None where writers took away so many candidates that there are not `k` left: look again."""
    candidates = rows.live()
    stamps = rows.stamps[candidates]
    similarities: Float32s = rows.vectors[candidates] @ query
    numbers = rows.numbers[candidates]
    is_whole = (rows.stamps[candidates] == stamps) & (stamps & 1 != 0)
    if not is_whole.all():
        if np.count_nonzero(is_whole) < k:
            return None
        similarities, numbers = similarities[is_whole], numbers[is_whole]
    best = _best(similarities, k)
    return numbers[best], similarities[best]


def _own(array: NDArray[Scalar], dtype: type[Scalar]) -> NDArray[Scalar]:
    """In C order and writable: rows will be used again."""
    return np.require(array, dtype, ("C", "W"))


def _best(similarities: Float32s, k: int) -> NDArray[np.intp]:
    """Places of the `k` greatest, descending."""
    if len(similarities) > PARTED_ABOVE * k > 0:
        parted = np.argpartition(similarities, len(similarities) - k)[-k:]
        return parted[np.argsort(similarities[parted])[::-1]]
    return np.argsort(similarities)[::-1][:k]
