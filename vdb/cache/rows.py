"""Rows of one partition as arrays: where a reader needs no lock and a writer may use a row again.

vectors float32 (capacity, d), of unit length; numbers uint64 (capacity,); stamps uint32 (capacity,): odd while the row
is live, one more with every beginning and end. A row is written only while its stamp is even. So a reader that finds a
stamp odd, reads the row, and then finds the same stamp, has read one row, whole, that was live all the while; the
interpreter's lock, which it takes in between, orders what the two see of each other. A stamp comes again after 2^31
lives of its row.

Growth and compaction make other arrays; a reader that began in the old ones looks again (`vdb/cache/partition.py`).
"""

from typing import Final

import numpy as np

from vdb.cache.candidates import Codes, Indexes
from vdb.kernels.reference import Float32s, UInt32s
from vdb.kernels.reference_layout import UInt64s

SMALLEST_CAPACITY: Final = 4
DOUBLED_BELOW_ROWS: Final = 4_096
"""Smaller arrays are doubled when they are full, larger ones get half of what they have."""
COMPACT_FROM_ROWS: Final = 64
CODED_FROM_BYTES: Final = 1 << 20
"""Of vectors: as many as a core's own cache holds are compared as fast as codes would choose among them."""


class Rows:
    """One writer at a time (the partition's lock); readers need none. Nothing to close."""

    __slots__ = ("_free", "_indexes", "codes", "n_live", "numbers", "stamps", "stop", "vectors")

    def __init__(self, vectors: Float32s, numbers: UInt64s, n_live: int, indexes: Indexes) -> None:
        """Takes over both arrays; the first `n_live` rows are live."""
        self.vectors: Final = vectors
        self.numbers: Final = numbers
        self.stamps: Final[UInt32s] = np.zeros(len(numbers), np.uint32)
        self.stamps[:n_live] = 1
        self.stop = n_live
        """Rows from here on have never been used."""
        self.n_live = n_live
        self.codes: Codes | None = None
        self._free: list[int] = []
        self._indexes: Final = indexes
        if n_live:
            self._code()

    @classmethod
    def empty(cls, dimension: int, capacity: int, indexes: Indexes) -> "Rows":
        return cls(np.empty((capacity, dimension), np.float32), np.empty(capacity, np.uint64), 0, indexes)

    @property
    def nbytes(self) -> int:
        """Of the arrays, room for more rows included."""
        of_codes = 0 if self.codes is None else self.codes.nbytes
        return self.vectors.nbytes + self.numbers.nbytes + self.stamps.nbytes + of_codes

    @property
    def is_full(self) -> bool:
        return not self._free and self.stop == len(self.numbers)

    @property
    def should_compact(self) -> bool:
        return self.stop >= COMPACT_FROM_ROWS and 2 * self.n_live < self.stop

    def live(self) -> UInt32s:
        """The rows that are live now, ascending."""
        return np.flatnonzero(self.stamps[: self.stop] & 1).astype(np.uint32)

    def vacant(self) -> int:
        """A row that is not live; there is one unless `is_full`."""
        return self._free[-1] if self._free else self.stop

    def begin(self, row: int, number: int, vector: Float32s) -> None:
        """The vacant row becomes `number`'s: seen from here on."""
        self.vectors[row] = vector
        self.numbers[row] = number
        if self.codes is not None:
            self.codes.put(row, self.vectors[row : row + 1])
        self.stamps[row] += 1
        if row == self.stop:
            self.stop = row + 1
        else:
            self._free.pop()
        self.n_live += 1

    def end(self, row: int) -> None:
        """The row is not seen any more."""
        self.stamps[row] += 1
        self._free.append(row)
        self.n_live -= 1

    def grown(self) -> "Rows":
        """Larger arrays in which every row has its place and its stamp."""
        capacity = len(self.numbers)
        added = capacity if capacity < DOUBLED_BELOW_ROWS else capacity // 2
        larger = Rows.empty(self.vectors.shape[1], max(SMALLEST_CAPACITY, capacity + added), self._indexes)
        larger.vectors[: self.stop] = self.vectors[: self.stop]
        larger.numbers[: self.stop] = self.numbers[: self.stop]
        larger.stamps[: self.stop] = self.stamps[: self.stop]
        larger.stop, larger.n_live = self.stop, self.n_live
        larger._free = self._free
        if self.codes is None:
            larger._code()
        else:
            larger.codes = self.codes.grown(len(larger.numbers), self.stop)
        return larger

    def compacted(self) -> "Rows":
        """The live rows alone, in other places, with room for a few more."""
        live = self.live()
        capacity = max(SMALLEST_CAPACITY, len(live) + len(live) // 8)
        smaller = Rows.empty(self.vectors.shape[1], capacity, self._indexes)
        np.take(self.vectors, live, axis=0, out=smaller.vectors[: len(live)], mode="clip")
        smaller.numbers[: len(live)] = self.numbers[live]
        smaller.stamps[: len(live)] = 1
        smaller.stop = smaller.n_live = len(live)
        smaller._code()
        return smaller

    def _code(self) -> None:
        """Codes of all rows, from so many on that they pay."""
        if self._indexes.make_codes is not None and self.vectors.nbytes >= CODED_FROM_BYTES:
            self.codes = self._indexes.make_codes(self.vectors.shape[1], len(self.numbers))
            self.codes.put(0, self.vectors[: self.stop])
