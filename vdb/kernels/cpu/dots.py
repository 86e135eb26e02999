"""Inner products of one coded row with a query, for kernels to inline: bytes, nibbles, half floats.

On x86-64 a byte product is a loop over the 64 (AVX-512 VNNI) or 32 bytes (AVX-VNNI, AVX2) of an `INSTRUCTION`; anywhere
else a plain loop that LLVM vectorizes. All give the same integers. numba's cache keeps one entry per CPU, so a data
directory that moves to another machine is compiled anew there.

Rows are `width` bytes, a multiple of `ALIGNED`, codes uint8, queries int8: |sum| < 2^31 up to 65,536 components.
llvmlite and numba's code generation have no types, so what touches them is `Any`.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from vdb.kernels.cpu.plain_dots import plain_bytes, plain_four_bytes, plain_four_nibbles, plain_halves, plain_nibbles
from vdb.kernels.cpu.products import INSTRUCTION, Instruction, features
from vdb.kernels.reference import Float32s, UInt8s, UInt32s
from vdb.kernels.reference_cells import Int8s
from vdb.kernels.reference_layout import Int32s

_BUILD: Any = cgutils

ALIGNED = 32
"""Bytes that the width of a code row is a multiple of: one step of the narrower instructions."""

_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()

LINE_BYTES = 64
FLOATS = 16
"""Components of a vector of floats: LLVM makes of it what the processor has."""


CONVERTS_HALVES = "+f16c" in features().split(",") or platform.machine() in ("aarch64", "arm64")
"""Elsewhere LLVM calls a function of a library that is not there, which ends the process."""


DotBytes = Callable[[UInt8s, np.uint64, Int8s, np.uint64], np.int32]
"""(codes, row, query, width) → Σ code · component of codes[row]."""
DotNibbles = Callable[[UInt8s, np.uint64, Int8s, Int8s, np.uint64], np.int32]
"""(codes, row, low, high, width) → Σ low half · low + high half · high."""


DotFloats = Callable[[UInt8s, np.uint64, Float32s], np.float32]
"""(codes, row, query) → Σ component · query of codes[row], whose bytes are floats or halves."""
FourBytes = Callable[[UInt8s, UInt32s, np.uint64, Int8s, np.uint64, Int32s, np.uint64], None]
"""(codes, rows, first, query, width, levels, place): `dot_bytes` of rows[first : first + 4] to levels[place:]."""
FourNibbles = Callable[[UInt8s, UInt32s, np.uint64, Int8s, Int8s, np.uint64, Int32s, np.uint64], None]
"""(codes, rows, first, low, high, width, levels, place): `dot_nibbles` of four rows likewise."""


def _arrays(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """What of the arguments are arrays, in their places; None for numbers."""
    return [
        context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else None
        for kind, value in zip(signature.args, args, strict=True)
    ]


def _four_places(builder: Any, arrays: list[Any], first: Any) -> list[Any]:
    """Addresses of the four rows that the second array names from `first` on."""
    at = [builder.gep(arrays[1].data, [builder.add(first, ir.Constant(_I64, i))]) for i in range(4)]
    return [_address(builder, arrays[0], builder.zext(builder.load(place), _I64)) for place in at]


def _store_sums(builder: Any, totals: list[Any], lanes: int, levels: Any) -> None:
    """Sums of the lanes of four vectors, by halves and then in pairs, to four places from the pointer `levels` on."""

    def picked(a: Any, b: Any, places: list[int]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(places)), places))

    def paired(a: Any, b: Any) -> Any:
        return builder.add(picked(a, b, [0, 2, 4, 6]), picked(a, b, [1, 3, 5, 7]))

    while lanes > 4:
        half = lanes // 2
        low, high = list(range(half)), list(range(half, lanes))
        totals = [builder.add(picked(total, total, low), picked(total, total, high)) for total in totals]
        lanes = half
    sums = paired(paired(totals[0], totals[1]), paired(totals[2], totals[3]))
    builder.store(sums, builder.bitcast(levels, sums.type.as_pointer()), align=4)


@contextmanager
def _rolled(builder: Any, stop: Any, stride: int) -> Iterator[Any]:
    """A loop over 0, stride, … below `stop` that LLVM leaves as it is: rows are a few vectors long, and unrolled by 32
    for longer ones they cost more time to choose the way through the copies than to multiply."""
    counter = _BUILD.alloca_once(builder, _I64)
    builder.store(ir.Constant(_I64, 0), counter)
    head, body, end = (builder.append_basic_block(name) for name in ("rolled.head", "rolled.body", "rolled.end"))
    builder.branch(head)
    builder.position_at_end(head)
    place = builder.load(counter)
    builder.cbranch(builder.icmp_unsigned("<", place, stop), body, end)
    builder.position_at_end(body)
    yield place
    builder.store(builder.add(place, ir.Constant(_I64, stride)), counter)
    disabled = [builder.module.add_metadata([f"llvm.loop.{what}"]) for what in ("unroll.disable", "mustprogress")]
    loop = builder.module.add_metadata([disabled[0], disabled[1]])
    loop.operands = (loop, *disabled)
    builder.branch(head).set_metadata("llvm.loop", loop)
    builder.position_at_end(end)


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


def _sum(builder: Any, lanes_of: Any, lanes: int) -> Any:
    function = _BUILD.get_or_insert_function(
        builder.module,
        ir.FunctionType(_I32, [ir.VectorType(_I32, lanes)]),
        f"llvm.vector.reduce.add.v{lanes}i32",
    )
    return builder.call(function, [lanes_of])


def _accumulate(builder: Any, width: Any, lanes: int, n: int, step: Callable[[list[Any], Any, int], list[Any]]) -> Any:
    """`n` sums over `width` bytes: whole vectors, then half of one if that is left. `step(totals, at, n_bytes)`."""
    n_bytes = 4 * lanes
    nothing = ir.Constant(ir.VectorType(_I32, lanes), None)
    totals = [_BUILD.alloca_once_value(builder, nothing) for _ in range(n)]

    def add(offset: Any, n_read: int) -> None:
        for total, sum_of in zip(totals, step([builder.load(total) for total in totals], offset, n_read), strict=True):
            builder.store(sum_of, total)

    rest = builder.urem(width, ir.Constant(_I64, n_bytes))
    with _rolled(builder, builder.sub(width, rest), n_bytes) as offset:
        add(offset, n_bytes)
    if n_bytes > ALIGNED:
        with builder.if_then(builder.icmp_unsigned("!=", rest, ir.Constant(_I64, 0))):
            add(builder.sub(width, rest), ALIGNED)
    return [builder.load(total) for total in totals]


def _bytes_step(builder: Any, places: list[Any], query: Any, instruction: Instruction) -> Callable[..., list[Any]]:
    lanes = instruction.lanes

    def step(totals: list[Any], offset: Any, n_bytes: int) -> list[Any]:
        asked = _load(builder, query, offset, n_bytes, lanes)
        codes = [_load(builder, place, offset, n_bytes, lanes) for place in places]
        return [instruction.bytes(builder, total, mine, asked) for total, mine in zip(totals, codes, strict=True)]

    return step


def _nibbles_step(
    builder: Any, places: list[Any], low: Any, high: Any, instruction: Instruction
) -> Callable[..., list[Any]]:
    lanes = instruction.lanes

    def step(totals: list[Any], offset: Any, n_bytes: int) -> list[Any]:
        asked = [_load(builder, at, offset, n_bytes, lanes) for at in (low, high)]
        sums = []
        for total, place in zip(totals, places, strict=True):
            packed = _load(builder, place, offset, n_bytes, lanes)
            lows = builder.and_(packed, ir.Constant(packed.type, [15] * (4 * lanes)))
            highs = builder.lshr(packed, ir.Constant(packed.type, [4] * (4 * lanes)))
            sums.append(instruction.nibbles(builder, total, lows, highs, *asked))
        return sums

    return step


def wide_bytes(instruction: Instruction) -> DotBytes:
    """`dot_bytes` by this instruction."""

    @intrinsic
    def dot(typing_context: Any, codes: Any, row: Any, query: Any, width: Any) -> Any:
        signature = types.int32(codes, types.uint64, query, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            step = _bytes_step(builder, [_address(builder, arrays[0], args[1])], arrays[2].data, instruction)
            return _sum(builder, _accumulate(builder, args[3], instruction.lanes, 1, step)[0], instruction.lanes)

        return signature, generate

    return cast(DotBytes, dot)


def wide_nibbles(instruction: Instruction) -> DotNibbles:
    """`dot_nibbles` by this instruction."""

    @intrinsic
    def dot(typing_context: Any, codes: Any, row: Any, low: Any, high: Any, width: Any) -> Any:
        signature = types.int32(codes, types.uint64, low, high, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            places = [_address(builder, arrays[0], args[1])]
            step = _nibbles_step(builder, places, arrays[2].data, arrays[3].data, instruction)
            return _sum(builder, _accumulate(builder, args[4], instruction.lanes, 1, step)[0], instruction.lanes)

        return signature, generate

    return cast(DotNibbles, dot)


def wide_four_bytes(instruction: Instruction) -> FourBytes:
    """`four_bytes` by this instruction: the query is loaded once, sums are added together."""

    @intrinsic
    def dots(
        typing_context: Any, codes: Any, rows: Any, first: Any, query: Any, width: Any, levels: Any, place: Any
    ) -> Any:
        signature = types.void(codes, rows, types.uint64, query, types.uint64, levels, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            step = _bytes_step(builder, _four_places(builder, arrays, args[2]), arrays[3].data, instruction)
            _store_sums(
                builder,
                _accumulate(builder, args[4], instruction.lanes, 4, step),
                instruction.lanes,
                builder.gep(arrays[5].data, [args[6]]),
            )
            return context.get_dummy_value()

        return signature, generate

    return cast(FourBytes, dots)


def wide_four_nibbles(instruction: Instruction) -> FourNibbles:
    """`four_nibbles` by this instruction."""

    @intrinsic
    def dots(
        typing_context: Any, codes: Any, rows: Any, first: Any, low: Any, high: Any, width: Any, levels: Any, place: Any
    ) -> Any:
        signature = types.void(codes, rows, types.uint64, low, high, types.uint64, levels, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            places = _four_places(builder, arrays, args[2])
            step = _nibbles_step(builder, places, arrays[3].data, arrays[4].data, instruction)
            _store_sums(
                builder,
                _accumulate(builder, args[5], instruction.lanes, 4, step),
                instruction.lanes,
                builder.gep(arrays[6].data, [args[7]]),
            )
            return context.get_dummy_value()

        return signature, generate

    return cast(FourNibbles, dots)


def _dot_of(component: Any) -> DotFloats:
    """Σ component · query of a row whose components are `component`, float or half, in vectors of `FLOATS`."""

    @intrinsic
    def dot(typing_context: Any, codes: Any, row: Any, query: Any) -> Any:
        signature = types.float32(codes, types.uint64, query)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = _arrays(context, builder, signature, args)
            mine = builder.bitcast(_address(builder, arrays[0], args[1]), component.as_pointer())
            n = _BUILD.unpack_tuple(builder, arrays[2].shape, 1)[0]
            return _dot_floats(builder, mine, arrays[2].data, n)

        return signature, generate

    return cast(DotFloats, dot)


def _dot_floats(builder: Any, mine: Any, query: Any, n: Any) -> Any:
    """Pairs of vectors, one vector, then one by one."""
    wide = ir.VectorType(_F32, FLOATS)
    totals = [_BUILD.alloca_once_value(builder, ir.Constant(wide, None)) for _ in range(2)]
    rest = _BUILD.alloca_once_value(builder, ir.Constant(_F32, 0.0))

    def product(offset: Any, total: Any, kind: Any) -> None:
        pair = []
        for place in (mine, query):
            at = builder.gep(place, [offset])
            scalar = place.type.pointee
            if kind is _F32:
                loaded = builder.load(at)
            else:
                loaded = builder.load(builder.bitcast(at, ir.VectorType(scalar, FLOATS).as_pointer()), align=1)
            pair.append(loaded if scalar is _F32 else builder.fpext(loaded, kind))
        flags = ("contract", "reassoc")
        builder.store(builder.fadd(builder.load(total), builder.fmul(*pair, flags=flags), flags=flags), total)

    left = builder.urem(n, ir.Constant(_I64, 2 * FLOATS))
    done = builder.sub(n, left)
    with _rolled(builder, done, 2 * FLOATS) as offset:
        product(offset, totals[0], wide)
        product(builder.add(offset, ir.Constant(_I64, FLOATS)), totals[1], wide)
    with _rolled(builder, left, 1) as offset:
        product(builder.add(done, offset), rest, _F32)
    function = _BUILD.get_or_insert_function(
        builder.module, ir.FunctionType(_F32, [_F32, wide]), f"llvm.vector.reduce.fadd.v{FLOATS}f32"
    )
    flags = ("contract", "reassoc")
    both = builder.fadd(builder.load(totals[0]), builder.load(totals[1]), flags=flags)
    return builder.call(function, [builder.load(rest), both], fastmath=flags)


@intrinsic
def _prefetch(typing_context: Any, rows: Any, row: Any) -> Any:
    """Ask for all cache lines of `row` of a 2-D array; a hint that never faults."""
    signature = types.void(rows, types.uint64)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = _arrays(context, builder, signature, args)[0]
        stride = _BUILD.unpack_tuple(builder, array.strides, 2)[0]
        start = builder.gep(builder.bitcast(array.data, _I8.as_pointer()), [builder.mul(args[1], stride)])
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = _BUILD.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        with _rolled(builder, stride, LINE_BYTES) as offset:
            how = [ir.Constant(_I32, number) for number in (0, 3, 1)]  # to read, into all caches, data
            builder.call(function, [builder.gep(start, [offset]), *how])
        # A row that does not begin with a line reaches into one more.
        last = builder.gep(start, [builder.sub(stride, ir.Constant(stride.type, 1))])
        builder.call(function, [last, *how])
        return context.get_dummy_value()

    return signature, generate


dot_bytes: DotBytes = wide_bytes(INSTRUCTION) if INSTRUCTION else plain_bytes
dot_nibbles: DotNibbles = wide_nibbles(INSTRUCTION) if INSTRUCTION else plain_nibbles
four_bytes: FourBytes = wide_four_bytes(INSTRUCTION) if INSTRUCTION else plain_four_bytes
four_nibbles: FourNibbles = wide_four_nibbles(INSTRUCTION) if INSTRUCTION else plain_four_nibbles
dot_floats = _dot_of(_F32)
dot_halves = _dot_of(ir.HalfType()) if CONVERTS_HALVES else plain_halves
prefetch = cast(Callable[[NDArray[Any], np.uint64], None], _prefetch)
