"""Instructions that add up products of unsigned codes and signed query bytes, 4 neighbours to an int32 lane.

`vpdpbusd` does it at once: with 16 lanes on AVX-512 VNNI, with 8 on AVX-VNNI. AVX2 alone has two steps: `vpmaddubsw`
adds pairs to int16 and `vpmaddwd` pairs of those to int32. Pairs of products of bytes up to 255 do not fit into int16,
so bytes are widened first; those of nibbles do: 4 · 15 · 128 < 2^15. All give the same integers.
llvmlite and numba's code generation have no types, so what touches them is `Any`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from llvmlite.binding import llvm_version_info
from numba.core import cgutils, codegen, config

__all__ = ["AVX2", "AVX512_VNNI", "AVX_VNNI", "INSTRUCTION", "Instruction", "features", "instruction_of"]

_BUILD: Any = cgutils
_CODEGEN: Any = codegen
_CONFIG: Any = config

_I8, _I16, _I32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What multiplies in this process: `lanes` int32 sums at once, of 4 bytes each.

    `bytes`: (builder, total, codes, query) → total + codes · query, of codes up to 255. `nibbles`: (builder, total,
    lows, highs, low, high) → total + lows · low + highs · high, of codes up to 15. Vectors of 4 · lanes bytes.
    """

    name: str
    lanes: int
    bytes: Callable[[Any, Any, Any, Any], Any]
    nibbles: Callable[[Any, Any, Any, Any, Any, Any], Any]


def _call(builder: Any, name: str, result: Any, *operands: Any) -> Any:
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(_BUILD.get_or_insert_function(builder.module, kind, name), operands)


def _vnni(name: str, lanes: int) -> Instruction:
    """`vpdpbusd` of so many lanes."""

    def add(builder: Any, total: Any, codes: Any, query: Any) -> Any:
        wide = ir.VectorType(_I32, lanes)
        operand = ir.VectorType(_I8, 4 * lanes) if llvm_version_info[0] >= 21 else wide
        both = (builder.bitcast(codes, operand), builder.bitcast(query, operand))
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", wide, total, *both)

    def add_both(builder: Any, total: Any, lows: Any, highs: Any, low: Any, high: Any) -> Any:
        return add(builder, add(builder, total, lows, low), highs, high)

    return Instruction(name, lanes, add, add_both)


_AVX2_LANES = 8
_WORDS, _LANES = ir.VectorType(_I16, 16), ir.VectorType(_I32, _AVX2_LANES)


def _pairs_of_words(builder: Any, a: Any, b: Any) -> Any:
    return _call(builder, "llvm.x86.avx2.pmadd.wd", _LANES, a, b)


def _avx2_bytes(builder: Any, total: Any, codes: Any, query: Any) -> Any:
    for first in (0, 16):
        places = ir.Constant(ir.VectorType(_I32, 16), list(range(first, first + 16)))
        half = [builder.shuffle_vector(vector, vector, places) for vector in (codes, query)]
        words = builder.zext(half[0], _WORDS), builder.sext(half[1], _WORDS)
        total = builder.add(total, _pairs_of_words(builder, *words))
    return total


def _avx2_nibbles(builder: Any, total: Any, lows: Any, highs: Any, low: Any, high: Any) -> Any:
    of_lows, of_highs = (
        _call(builder, "llvm.x86.avx2.pmadd.ub.sw", _WORDS, codes, query)
        for codes, query in ((lows, low), (highs, high))
    )
    ones = ir.Constant(_WORDS, [1] * 16)
    return builder.add(total, _pairs_of_words(builder, builder.add(of_lows, of_highs), ones))


AVX512_VNNI = _vnni("VNNI of AVX-512", 16)
AVX_VNNI = _vnni("AVX-VNNI", 8)
AVX2 = Instruction("AVX2", _AVX2_LANES, _avx2_bytes, _avx2_nibbles)


def instruction_of(having: str) -> Instruction | None:
    """The best for a list of features (`+avx2,-avx512f`, …); None: a plain loop, which LLVM vectorizes."""
    has = set(having.split(","))
    if {"+avx512vnni", "+avx512bw", "+avx512vl"} <= has:
        return AVX512_VNNI
    if "+avxvnni" in has:
        return AVX_VNNI
    return AVX2 if "+avx2" in has else None


def features() -> str:
    """What numba compiles for, which a user may have set below what the machine has (NUMBA_CPU_NAME,
    NUMBA_CPU_FEATURES)."""
    given: str | None = _CONFIG.CPU_FEATURES
    return _CODEGEN.get_host_cpu_features() if given is None else given


INSTRUCTION = instruction_of(features())
"""Which one this process compiles."""
