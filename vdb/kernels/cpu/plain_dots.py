"""Inner products of coded rows for any processor, for where `dots.py` finds no VNNI or F16C; LLVM vectorizes them."""

import numpy as np
from numba import njit

from vdb.kernels.cpu.compiling import FASTMATH
from vdb.kernels.reference import Float32s, UInt8s, UInt32s
from vdb.kernels.reference_cells import Int8s
from vdb.kernels.reference_layout import Int32s

HALF_SCALE = np.float32(2.0**112)
"""Of the bits of a half, read as those of a float32: between the biases of their exponents."""


@njit(nogil=True, forceinline=True)
def plain_bytes(codes: UInt8s, row: np.uint64, query: Int8s, width: np.uint64) -> np.int32:
    """`dot_bytes` for any processor."""
    total = np.int32(0)
    mine = codes[row]
    for i in range(np.int64(width)):
        total += np.int32(mine[i]) * np.int32(query[i])
    return total


@njit(nogil=True, forceinline=True)
def plain_nibbles(codes: UInt8s, row: np.uint64, low: Int8s, high: Int8s, width: np.uint64) -> np.int32:
    """`dot_nibbles` for any processor."""
    total = np.int32(0)
    mine = codes[row]
    for i in range(np.int64(width)):
        packed = np.int32(mine[i])
        total += (packed & np.int32(15)) * np.int32(low[i]) + (packed >> np.int32(4)) * np.int32(high[i])
    return total


@njit(nogil=True, forceinline=True)
def plain_four_bytes(
    codes: UInt8s, rows: UInt32s, first: np.uint64, query: Int8s, width: np.uint64, levels: Int32s,
    place: np.uint64,
) -> None:  # fmt: skip
    """`four_bytes` for any processor."""
    for i in range(4):
        levels[place + np.uint64(i)] = plain_bytes(codes, np.uint64(rows[first + np.uint64(i)]), query, width)


@njit(nogil=True, forceinline=True)
def plain_four_nibbles(
    codes: UInt8s, rows: UInt32s, first: np.uint64, low: Int8s, high: Int8s, width: np.uint64, levels: Int32s,
    place: np.uint64,
) -> None:  # fmt: skip
    """`four_nibbles` for any processor."""
    for i in range(4):
        levels[place + np.uint64(i)] = plain_nibbles(codes, np.uint64(rows[first + np.uint64(i)]), low, high, width)


@njit(nogil=True, forceinline=True, fastmath=FASTMATH)
def plain_halves(codes: UInt8s, row: np.uint64, query: Float32s) -> np.float32:
    """`dot_halves` for any processor."""
    halves = codes[row].view(np.uint16)
    total = np.float32(0)
    for i in range(query.shape[0]):
        bits = np.uint32(halves[i])
        magnitude = np.uint32((bits & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32) * HALF_SCALE
        if bits & np.uint32(0x7C00) == np.uint32(0x7C00):
            magnitude = np.float32(np.inf)
        total += (-magnitude if bits >> np.uint32(15) else magnitude) * query[i]
    return total
