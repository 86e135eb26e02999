"""Codes of one audience's rows, in the places that the rows have: they choose candidates, exact vectors decide.

LVQ codes of 4 bits, all components kept: half a byte each, in runs of 32, and 8 bytes of constants beside them. Rows
begin with a line of the cache, which halves what a scan takes. Of 50,000 sentences of 384 components the 16 nearest
were always among the 32 best by code.
"""

from typing import Final

import numpy as np

from vdb.index.curator.model import ALIGNED, BLOCK_ROWS
from vdb.index.leanvec.codes import encode
from vdb.kernels import current
from vdb.kernels.reference import Float32s, UInt8s, UInt32s

BITS: Final = 4
LINE_BYTES: Final = 64

_FIRST_ONES: UInt32s = np.empty(0, np.uint32)


class CodedRows:
    """`capacity` rows of `dimension` components. One writer at a time; readers need no lock: a row that is written
    while they read may be missed by them or be among their candidates, whichever. Nothing to close."""

    def __init__(self, dimension: int, capacity: int) -> None:
        self._dimension: Final = dimension
        self._codes: Final = _aligned(capacity, -(-((dimension + 1) // 2) // ALIGNED) * ALIGNED)
        self._constants: Final[Float32s] = np.empty((2, capacity), np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self._codes.nbytes + self._constants.nbytes

    def put(self, first: int, vectors: Float32s) -> None:
        """Code vectors float32 (n, d), finite, for the rows from `first` on."""
        for start in range(0, len(vectors), BLOCK_ROWS):
            coded = encode(vectors[start : start + BLOCK_ROWS], BITS)
            rows = slice(first + start, first + start + len(coded))
            self._codes[rows, : coded.codes.shape[1]] = coded.codes
            self._constants[0, rows] = coded.step
            self._constants[1, rows] = coded.bias

    def grown(self, capacity: int, n: int) -> "CodedRows":
        """The first `n` rows in arrays of `capacity`."""
        larger = CodedRows(self._dimension, capacity)
        larger._codes[:n] = self._codes[:n]
        larger._constants[:, :n] = self._constants[:, :n]
        return larger

    def nearest(self, query: Float32s, rows: UInt32s | int, stamps: UInt32s, m: int) -> UInt32s:
        """The `m` of `rows`, or of so many first ones, whose codes are nearest to `query` and whose stamp is odd;
        uint32 (m,) or fewer, in any order. A row that is named twice may be there twice."""
        asked, n = (_FIRST_ONES, rows) if isinstance(rows, int) else (rows, len(rows))
        score, row = np.empty(m, np.float32), np.empty(m, np.uint32)
        n_found = current().scan_codes(query, self._codes, self._constants, stamps, asked, n, score, row)
        return row[:n_found]


def _aligned(n: int, width: int) -> UInt8s:
    """Zeros uint8 (n, width) that begin with a line of the cache; pages that nothing is written to take no memory."""
    memory = np.zeros(n * width + LINE_BYTES, np.uint8)
    skipped = -memory.__array_interface__["data"][0] % LINE_BYTES
    return memory[skipped : skipped + n * width].reshape(n, width)
