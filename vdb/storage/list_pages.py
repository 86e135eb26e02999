"""Pages of posting lists: rows of one generation, as the kernels read them, in values that fill a page of LMDB's.

A value is 4,080 bytes: LMDB puts it behind the 16 bytes of its own page head, and what follows our 48 at a multiple of
64. All pages of a generation have the same number of rows, r, but for the last: row i lies in page i // r.

Layout (integers little-endian), for rows of W bytes of codes and c columns:

    0    u64      checksum of bytes 8 to 4,079
    8    4 bytes  magic, `vdbl`
    12   u16      layout, 1
    14   u16      number of rows
    16   u64      generation
    24   u32      number of the page
    28   20 bytes zeros
    48   r × W    codes, row by row
    …    c × r    u32: the columns, one behind the other; zeros up to the end

The checksum is NH (UMAC, RFC 4418 §5.2) of one block: with words w of 32 bits and keys k, both in two halves of 509,
the sum of ((w[i] + k[i]) mod 2³²) · ((w[509 + i] + k[509 + i]) mod 2³²), modulo 2⁶⁴. Every read checks it, also of a
page that is in RAM: NH takes 50 ns of it, less than the scan of its codes, where CRC-32 (zlib) takes 750.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData, InternalError

MAGIC = b"vdbl"
LAYOUT = 1
VALUE_BYTES = 4080
HEAD_BYTES = 48
N_WORDS = (VALUE_BYTES - 8) // 4
"""Of 32 bits, that the checksum is of."""

GENERATION_AT, PAGE_AT = 16, 24

_HEAD = struct.Struct("<Q4sHHQI20x")
_MASK = (1 << 64) - 1

UInt8s = NDArray[np.uint8]
UInt32s = NDArray[np.uint32]
UInt64s = NDArray[np.uint64]


def _keys() -> UInt32s:
    """The upper halves of the first numbers of SplitMix64 from 0."""
    keys = np.empty(N_WORDS, np.uint32)
    state = 0
    for i in range(N_WORDS):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        keys[i] = (mixed ^ (mixed >> 31)) >> 32
    return keys


SUM_KEYS: UInt32s = _keys()
"""uint32 (1,018,), read-only."""
SUM_KEYS.setflags(write=False)


@dataclass(frozen=True)
class Shape:
    """What a generation's pages hold: rows of `row_bytes` of codes, a multiple of 4, and `n_columns` of u32."""

    row_bytes: int
    n_columns: int

    def __post_init__(self) -> None:
        if self.row_bytes % 4 or self.n_rows < 1:
            raise InternalError(f"rows of {self.row_bytes} bytes and {self.n_columns} columns do not fit a page")

    @cached_property
    def n_rows(self) -> int:
        """r, rows of a full page."""
        return (VALUE_BYTES - HEAD_BYTES) // (self.row_bytes + 4 * self.n_columns)

    def n_pages(self, n_rows: int) -> int:
        """Pages of so many rows."""
        return -(-n_rows // self.n_rows)

    def column_at(self, column: int) -> int:
        """Where a column begins in a value."""
        return HEAD_BYTES + self.n_rows * (self.row_bytes + 4 * column)


def sums_of(values: UInt8s) -> UInt64s:
    """What the checksums of values (n, 4080) ought to be, uint64 (n,)."""
    words = np.ascontiguousarray(values[:, 8:]).view("<u4")
    half = N_WORDS // 2
    first = (words[:, :half] + SUM_KEYS[:half]).astype(np.uint64)
    second = words[:, half:] + SUM_KEYS[half:]
    sums: UInt64s = np.einsum("ij,ij->i", first, second.astype(np.uint64))
    return sums


def packed(shape: Shape, generation: int, first_page: int, codes: UInt8s, columns: Sequence[UInt32s]) -> UInt8s:
    """Values (n, 4080) of pages from `first_page` on with these rows; all full but perhaps the last."""
    n_rows, r = len(codes), shape.n_rows
    if codes.shape != (n_rows, shape.row_bytes) or [len(column) for column in columns] != [n_rows] * shape.n_columns:
        raise InternalError("rows and columns are not of the shape of their pages")
    n_pages = shape.n_pages(n_rows)
    values = np.zeros((n_pages, VALUE_BYTES), np.uint8)
    _put(values, HEAD_BYTES, shape.row_bytes, r, np.ascontiguousarray(codes))
    for i, column in enumerate(columns):
        rows = np.ascontiguousarray(column, "<u4")[:, None].view(np.uint8)
        _put(values, shape.column_at(i), 4, r, rows)
    for i in range(n_pages):
        head = _HEAD.pack(0, MAGIC, LAYOUT, min(r, n_rows - i * r), generation, first_page + i)
        values[i, :HEAD_BYTES] = np.frombuffer(head, np.uint8)
    values[:, :8] = sums_of(values)[:, None].astype("<u8").view(np.uint8)
    return values


def _put(values: UInt8s, at: int, width: int, r: int, rows: UInt8s) -> None:
    n_full = len(rows) // r
    values[:n_full, at : at + r * width] = rows[: n_full * r].reshape(n_full, r * width)
    rest = rows[n_full * r :].reshape(-1)
    if len(rest):
        values[n_full, at : at + len(rest)] = rest


def check(values: UInt8s, shape: Shape, generation: int, pages: UInt32s, n_rows: int) -> None:
    """Raise CorruptData unless values (n, 4080) are those pages of a generation of `n_rows` rows."""
    is_right = values[:, :8].copy().view("<u8")[:, 0] == sums_of(values)
    first = pages.astype(np.int64) * shape.n_rows
    held = np.minimum(shape.n_rows, n_rows - first)
    heads = np.zeros((len(values), HEAD_BYTES), np.uint8)
    for i, (page, n) in enumerate(zip(pages.tolist(), held.tolist(), strict=True)):
        heads[i] = np.frombuffer(_HEAD.pack(0, MAGIC, LAYOUT, max(0, n), generation, page), np.uint8)
    is_right &= (values[:, 8:HEAD_BYTES] == heads[:, 8:]).all(axis=1)
    if not is_right.all():
        wrong = int(pages[np.flatnonzero(~is_right)[0]])
        raise CorruptData(f"page {wrong} of generation {generation} is damaged, or is another one")


def rows_of(values: UInt8s, shape: Shape) -> tuple[UInt8s, list[UInt32s]]:
    """Codes uint8 (n · r, W) and columns uint32 (n · r,) of values (n, 4080): those beyond a last short page are 0."""
    codes = values[:, HEAD_BYTES : shape.column_at(0)].reshape(-1, shape.row_bytes)
    columns = []
    for i in range(shape.n_columns):
        at = shape.column_at(i)
        columns.append(np.ascontiguousarray(values[:, at : at + 4 * shape.n_rows]).view("<u4").reshape(-1))
    return codes, columns
