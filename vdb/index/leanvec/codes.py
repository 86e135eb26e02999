"""LVQ codes: every vector scaled to its own range and rounded to 8 or 4 bits.

    x is about bias + step · code, for each component; bias and step are the vector's own

Codes of 4 bits lie two to a byte: byte j holds component j in its low half and component j + ceil(d/2) in its high
half, so a kernel reads whole runs of components and never an odd nibble. A second level quantizes what the first left
on [-step/2, step/2] with 8 bits more and needs no constants of its own.

Shapes: n rows of d components; codes uint8 (n, d) or (n, ceil(d/2)); step, bias float32 (n,): the paper's float16 would
save 4 bytes a row and lose vectors of small or large scale.
Source: LVQ (arXiv 2304.04759) §3.
"""

from dataclasses import dataclass

import numpy as np

from vdb.errors import InvalidArgument
from vdb.kernels.reference import LARGEST, Float32s, UInt8s

BITS = (8, 4)
_LEAST_STEP = np.finfo(np.float32).tiny


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """n coded vectors of `dimension` components; `second` uint8 (n, d) where there is a second level."""

    codes: UInt8s
    step: Float32s
    bias: Float32s
    bits: int
    dimension: int
    second: UInt8s | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        second = self.second.nbytes if self.second is not None else 0
        return int(self.codes.nbytes + self.step.nbytes + self.bias.nbytes) + second


def encode(vectors: Float32s, bits: int = 8, has_second: bool = False) -> Codes:
    """Code (n, d) float32 vectors, finite; raises InvalidArgument for `bits` other than 8 and 4."""
    if bits not in BITS:
        raise InvalidArgument(f"codes have {' or '.join(map(str, BITS))} bits")
    n_steps = (1 << bits) - 1
    bias = vectors.min(axis=1, initial=LARGEST)
    high = vectors.max(axis=1, initial=-LARGEST)
    step = np.maximum(high / n_steps - bias / n_steps, _LEAST_STEP).astype(np.float32)
    scaled = (vectors - bias[:, None]) / step[:, None]
    levels = np.clip(np.rint(scaled), 0, n_steps).astype(np.uint8)
    second = None
    if has_second:
        rest = scaled - levels + 0.5
        second = np.clip(np.rint(rest * 255), 0, 255).astype(np.uint8)
    return Codes(levels if bits == 8 else pack(levels), step, bias, bits, vectors.shape[1], second)


def decode(coded: Codes) -> Float32s:
    """The vectors that the codes stand for, float32 (n, d); with the second level where there is one."""
    levels = coded.codes if coded.bits == 8 else unpack(coded.codes, coded.dimension)
    steps = levels.astype(np.float32)
    if coded.second is not None:
        steps += coded.second.astype(np.float32) / 255 - 0.5
    decoded: Float32s = coded.bias[:, None] + coded.step[:, None] * steps
    return decoded


def pack(levels: UInt8s) -> UInt8s:
    """(n, d) of 0–15 → (n, ceil(d/2)): component j low, component j + ceil(d/2) high."""
    half = (levels.shape[1] + 1) // 2
    packed = levels[:, :half].copy()
    packed[:, : levels.shape[1] - half] |= levels[:, half:] << 4
    return packed


def unpack(packed: UInt8s, dimension: int) -> UInt8s:
    """The inverse of `pack`."""
    half = packed.shape[1]
    return np.concatenate((packed & 15, packed[:, : dimension - half] >> 4), axis=1)
