"""Arrays behind the addresses of a table (`vdb/kernels/tables.py`). Nobody counts references to them: a kernel's caller
holds what they lie in."""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s

MOST_WORDS = 32
"""Of a table; nothing is read beyond those that there are."""


@intrinsic
def _as_pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


carray: Any = vars(numba)["carray"]  # its stubs do not export it
_pointer = cast(Callable[[int], Any], _as_pointer)


@inlined
def words_at(address: int) -> Int64s:
    """The words of a table, or the spans of a reading."""
    found: Int64s = carray(_pointer(address), (MOST_WORDS,), np.int64)
    return found


@inlined
def bytes_of(words: Int64s, place: int) -> UInt8s:
    """uint8, two dimensions."""
    found: UInt8s = carray(_pointer(words[3 * place]), (words[3 * place + 1], words[3 * place + 2]), np.uint8)
    return found


@inlined
def constants_of(words: Int64s, place: int) -> Float32s:
    """The memory of `bytes_of` as float32."""
    found: Float32s = carray(_pointer(words[3 * place]), (words[3 * place + 1], words[3 * place + 2] // 4), np.float32)
    return found


@inlined
def vectors_of(words: Int64s, place: int) -> Float32s:
    """float32, two dimensions."""
    found: Float32s = carray(_pointer(words[3 * place]), (words[3 * place + 1], words[3 * place + 2]), np.float32)
    return found


@inlined
def floats_of(words: Int64s, place: int) -> Float32s:
    """float32."""
    found: Float32s = carray(_pointer(words[3 * place]), (words[3 * place + 1],), np.float32)
    return found


@inlined
def integers_of(words: Int64s, place: int) -> UInt32s:
    """uint32; one after the other where there are two dimensions."""
    found: UInt32s = carray(_pointer(words[3 * place]), (words[3 * place + 1] * words[3 * place + 2],), np.uint32)
    return found
