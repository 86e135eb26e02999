"""The arrays that `search_cells` is handed at every query, checked and addressed once.

A compiled function takes 30 ns to take an array over and more to count the references to it: a search of a small tenant
would spend a quarter of its time on the 18 that it reads. So these stand in four tables: model, rows, vectors, reading.
The twin is handed `arrays` and `numbers` of each, the compiled kernel `at`, the address of int64 words: three per array
in the order given here (its address, length, components of a row: 1 where it has one dimension), then the numbers. All
readings of a directory share a table and have a row of its spans each, whose address is handed over beside it.

A kernel does not keep what lies behind an address alive: its caller holds the table until it returns.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import Int64s

U1, U4, I8, F4 = (np.dtype(name) for name in ("u1", "u4", "i8", "f4"))

Layout = tuple[tuple[np.dtype[Any], int], ...]

MODEL: Final[Layout] = ((U1, 2), (U1, 2), (F4, 1))
"""of_queries, node_codes, node_offset; numbers: metric, encoding, width."""
ROWS: Final[Layout] = ((U1, 2), (F4, 1), (U4, 1), (U4, 1), (U4, 1), (U4, 1), (U4, 1))
"""codes, offsets, pids, slots, dead_at, added_at, expires_at; numbers: n_laid."""
VECTORS: Final[Layout] = ((F4, 2),)
"""vectors."""
DIRECTORY: Final[Layout] = ((U4, 2), (U4, 1), (U4, 1))
"""entries, listed, tail."""
_N_SPANS = 8
"""Fields of spans that kernels read; `vdb/kernels/reference_cells.py` names them."""

_WORD_BYTES = 4
"""Kernels read coded rows as float32 too."""


class Table:
    """Immutable, free for any thread; holds its arrays, and so must whoever uses `at` hold it."""

    __slots__ = ("_words", "arrays", "at", "numbers")

    def __init__(self, layout: Layout, arrays: tuple[NDArray[Any], ...], numbers: tuple[int, ...] = ()) -> None:
        """Raises TypeError for an array of another dtype or number of dimensions, or not in C order."""
        words: list[int] = []
        for (dtype, n_dimensions), array in zip(layout, arrays, strict=True):
            shape = array.shape
            if array.dtype != dtype or len(shape) != n_dimensions or not array.flags.c_contiguous:
                raise TypeError(
                    f"{array.dtype} {shape} where kernels take {dtype} of {n_dimensions} dimensions, C order"
                )
            at = array.__array_interface__["data"][0]
            if at % dtype.itemsize or (dtype is U1 and (at % _WORD_BYTES or shape[1] % _WORD_BYTES)):
                raise TypeError(f"{array.dtype} {shape} that are not aligned")
            words += at, shape[0], shape[1] if n_dimensions == 2 else 1
        self.arrays: Final = arrays
        self.numbers: Final = numbers
        self._words: Int64s = np.array((*words, *numbers), np.int64)
        self.at: Final[int] = self._words.__array_interface__["data"][0]


class ReadingTable:
    """`spans` int64 (9,), and the table of what they are about: `at` is its address, `spans_at` theirs."""

    __slots__ = ("arrays", "at", "directory", "spans_at")

    def __init__(self, spans: Int64s, directory: Table, spans_at: int | None = None) -> None:
        """`spans_at` where it is known, of a row of spans that `address_of` has looked at; raises TypeError."""
        self.arrays: Final[tuple[NDArray[Any], ...]] = (spans, *directory.arrays)
        self.directory: Final = directory
        self.at: Final = directory.at
        self.spans_at: Final = address_of(spans[None]) if spans_at is None else spans_at


def address_of(spans: NDArray[Any]) -> int:
    """Where spans int64 (t, 9) lie, in C order; raises TypeError."""
    if spans.dtype != I8 or spans.ndim != 2 or spans.shape[1] < _N_SPANS or not spans.flags.c_contiguous:
        raise TypeError(f"{spans.dtype} {spans.shape} where kernels take spans")
    found: int = spans.__array_interface__["data"][0]
    return found
