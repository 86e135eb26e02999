"""Inner products of one coded row with a query, for kernels to inline: bytes, nibbles, half floats.

On x86-64 with VNNI a byte product is a loop of `vpdpbusd` over 64 (AVX-512) or 32 (AVX-VNNI) bytes; anywhere else a
plain loop that LLVM vectorizes. Both give the same integers. `LANES` says which one this process compiles; numba's
cache keeps one entry per CPU, so a data directory that moves to another machine is compiled anew there.

Rows are `width` bytes, a multiple of `ALIGNED`, codes uint8, queries int8: |sum| < 2^31 up to 65,536 components.
llvmlite and numba's code generation have no types, so what touches them is `Any`.
"""

import platform
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba import njit, types
from numba.core import cgutils, codegen, config
from numba.extending import intrinsic
from numpy.typing import NDArray

from vdb.kernels.reference import UInt8s
from vdb.kernels.reference_cells import Int8s

_BUILD: Any = cgutils
_CODEGEN: Any = codegen
_CONFIG: Any = config

ALIGNED = 32
"""Bytes that the width of a code row is a multiple of: one step of the narrower instruction."""

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def lanes_of(features: str) -> int:
    """int32 lanes of the widest `vpdpbusd` in a list of features (`+avx2,-avx512f`, …); 0 where there is none."""
    has = set(features.split(","))
    if {"+avx512vnni", "+avx512bw", "+avx512vl"} <= has:
        return 16
    return 8 if "+avxvnni" in has else 0


# What numba compiles for, which a user may have set below what the machine has (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES).
_FEATURES: str = _CODEGEN.get_host_cpu_features() if _CONFIG.CPU_FEATURES is None else _CONFIG.CPU_FEATURES
LANES = lanes_of(_FEATURES)
CONVERTS_HALVES = "+f16c" in _FEATURES.split(",") or platform.machine() in ("aarch64", "arm64")
"""Elsewhere LLVM calls a function of a library that is not there, which ends the process."""
HALF_SCALE = np.float32(2.0**112)
"""Of the bits of a half, read as those of a float32: between the biases of their exponents."""


DotBytes = Callable[[UInt8s, np.uint64, Int8s, np.uint64], np.int32]
"""(codes, row, query, width) → Σ code · component of codes[row]."""
DotNibbles = Callable[[UInt8s, np.uint64, Int8s, Int8s, np.uint64], np.int32]
"""(codes, row, low, high, width) → Σ low half · low + high half · high."""


def _address(builder: Any, array: Any, row: Any) -> Any:
    """Pointer to the first byte of `row` of a 2-D C array of bytes."""
    strides = _BUILD.unpack_tuple(builder, array.strides, 2)
    return builder.gep(array.data, [builder.mul(row, strides[0])])


def _load(builder: Any, pointer: Any, offset: Any, n_bytes: int, lanes: int) -> Any:
    """`n_bytes` from `offset` on, followed by zeros up to four bytes per lane."""
    part = ir.VectorType(_I8, n_bytes)
    loaded = builder.load(builder.bitcast(builder.gep(pointer, [offset]), part.as_pointer()), align=1)
    if n_bytes == 4 * lanes:
        return loaded
    places = ir.Constant(ir.VectorType(_I32, 4 * lanes), [min(i, n_bytes) for i in range(4 * lanes)])
    return builder.shuffle_vector(loaded, ir.Constant(part, None), places)


def _multiply_add(builder: Any, total: Any, codes: Any, query: Any, lanes: int) -> Any:
    """total + Σ of 4 neighbouring products, in `lanes` int32 lanes."""
    wide = ir.VectorType(_I32, lanes)
    operand = ir.VectorType(_I8, 4 * lanes) if llvm_version_info[0] >= 21 else wide
    name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
    function = _BUILD.get_or_insert_function(builder.module, ir.FunctionType(wide, [wide, operand, operand]), name)
    return builder.call(function, [total, builder.bitcast(codes, operand), builder.bitcast(query, operand)])


def _sum(builder: Any, lanes_of: Any, lanes: int) -> Any:
    function = _BUILD.get_or_insert_function(
        builder.module,
        ir.FunctionType(_I32, [ir.VectorType(_I32, lanes)]),
        f"llvm.vector.reduce.add.v{lanes}i32",
    )
    return builder.call(function, [lanes_of])


def _accumulate(builder: Any, width: Any, lanes: int, step: Callable[[Any, Any, int], Any]) -> Any:
    """Σ over `width` bytes: whole vectors, then half of one where that is left. `step(total, offset, n_bytes)`."""
    n_bytes = 4 * lanes
    total = _BUILD.alloca_once_value(builder, ir.Constant(ir.VectorType(_I32, lanes), None))
    with _BUILD.for_range(builder, builder.udiv(width, ir.Constant(_I64, n_bytes))) as loop:
        offset = builder.mul(loop.index, ir.Constant(_I64, n_bytes))
        builder.store(step(builder.load(total), offset, n_bytes), total)
    if n_bytes > ALIGNED:
        rest = builder.urem(width, ir.Constant(_I64, n_bytes))
        with builder.if_then(builder.icmp_unsigned("!=", rest, ir.Constant(_I64, 0))):
            builder.store(step(builder.load(total), builder.sub(width, rest), ALIGNED), total)
    return _sum(builder, builder.load(total), lanes)


def wide_bytes(lanes: int) -> DotBytes:
    """`dot_bytes` by `vpdpbusd` of `lanes` int32 lanes, 8 or 16."""

    @intrinsic
    def dot(typing_context: Any, codes: Any, row: Any, query: Any, width: Any) -> Any:
        signature = types.int32(codes, types.uint64, query, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows = context.make_array(signature.args[0])(context, builder, args[0])
            queries = context.make_array(signature.args[2])(context, builder, args[2])
            codes_at = _address(builder, rows, args[1])

            def step(total: Any, offset: Any, n_bytes: int) -> Any:
                loaded = [_load(builder, at, offset, n_bytes, lanes) for at in (codes_at, queries.data)]
                return _multiply_add(builder, total, loaded[0], loaded[1], lanes)

            return _accumulate(builder, args[3], lanes, step)

        return signature, generate

    return cast(DotBytes, dot)


def wide_nibbles(lanes: int) -> DotNibbles:
    """`dot_nibbles` by `vpdpbusd` of `lanes` int32 lanes, 8 or 16."""

    @intrinsic
    def dot(typing_context: Any, codes: Any, row: Any, low: Any, high: Any, width: Any) -> Any:
        signature = types.int32(codes, types.uint64, low, high, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows = context.make_array(signature.args[0])(context, builder, args[0])
            lows = context.make_array(signature.args[2])(context, builder, args[2])
            highs = context.make_array(signature.args[3])(context, builder, args[3])
            codes_at = _address(builder, rows, args[1])

            def step(total: Any, offset: Any, n_bytes: int) -> Any:
                packed = _load(builder, codes_at, offset, n_bytes, lanes)
                mask = ir.Constant(packed.type, [15] * (4 * lanes))
                fours = ir.Constant(packed.type, [4] * (4 * lanes))
                for half, at in ((builder.and_(packed, mask), lows.data), (builder.lshr(packed, fours), highs.data)):
                    total = _multiply_add(builder, total, half, _load(builder, at, offset, n_bytes, lanes), lanes)
                return total

            return _accumulate(builder, args[4], lanes, step)

        return signature, generate

    return cast(DotNibbles, dot)


@intrinsic
def _half_at(typing_context: Any, row: Any, i: Any) -> Any:
    """Component `i` of a row of half floats, given as a uint16 array, as float32."""
    signature = types.float32(row, types.uint64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        half = builder.bitcast(builder.load(builder.gep(array.data, [args[1]])), ir.HalfType())
        return builder.fpext(half, ir.FloatType())

    return signature, generate


@intrinsic
def _prefetch(typing_context: Any, array: Any, row: Any, offset: Any) -> Any:
    """Ask for the cache line at byte `offset` of `row` of a 2-D array; a hint that never faults."""
    signature = types.void(array, types.uint64, types.uint64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, args[0])
        strides = _BUILD.unpack_tuple(builder, rows.strides, 2)
        bytes_at = builder.bitcast(rows.data, _I8.as_pointer())
        place = builder.gep(bytes_at, [builder.add(builder.mul(args[1], strides[0]), args[2])])
        function = _BUILD.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [place, ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)])
        return context.get_dummy_value()

    return signature, generate


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
def plain_half(row: NDArray[np.uint16], i: np.uint64) -> np.float32:
    """`half_at` for any processor."""
    bits = np.uint32(row[i])
    if bits & np.uint32(0x7C00) == np.uint32(0x7C00):
        return np.float32(-np.inf) if bits >> np.uint32(15) else np.float32(np.inf)
    magnitude = np.uint32((bits & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32) * HALF_SCALE
    return np.float32(-magnitude) if bits >> np.uint32(15) else np.float32(magnitude)


dot_bytes: DotBytes = wide_bytes(LANES) if LANES else plain_bytes
dot_nibbles: DotNibbles = wide_nibbles(LANES) if LANES else plain_nibbles
wide_half = cast(Callable[[NDArray[np.uint16], np.uint64], np.float32], _half_at)
half_at = wide_half if CONVERTS_HALVES else plain_half
prefetch = cast(Callable[[NDArray[Any], np.uint64, np.uint64], None], _prefetch)
