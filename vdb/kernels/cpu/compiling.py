"""How kernels are compiled: ahead of the first call, without the GIL, cached on disk where there is a place for it.

numba's cache sees changes of the file a kernel stands in, not of the parts it inlines from others. So the names that
it caches under carry a sum of all sources of `vdb/kernels`: after any edit everything is compiled anew.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit, types

P = ParamSpec("P")
R = TypeVar("R")

FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
"""Without `nnan` and `ninf`: comparisons with +inf and nan must stay true to IEEE 754."""


def _sum_of_sources() -> str:
    total = 0
    for source in sorted(Path(__file__).parent.parent.rglob("*.py")):
        total = zlib.crc32(source.read_bytes(), total)
    return f"{total:08x}"


SOURCES = _sum_of_sources()


def input_array(dtype: types.Type, n_dimensions: int = 1) -> types.Array:
    """A read-only array: numba passes writable ones to it too, so one signature serves both."""
    return types.Array(dtype, n_dimensions, "C", readonly=True)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of a kernel, compiled into it. Forced: left to LLVM, distance loops stay calls and cost 4 ns a row."""
    return cast(Callable[P, R], njit(nogil=True, fastmath=FASTMATH, forceinline=True)(function))


def compiled(signature: object) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile for `signature` alone, from numba's disk cache where there is a place for one."""
    return _compiled(signature, FASTMATH)


def compiled_exactly(signature: object) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same, every operation rounded on its own, as NumPy does: results agree to the last bit."""
    return _compiled(signature, False)


def _compiled(signature: Any, fastmath: bool | set[str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        function.__qualname__ += f"_{SOURCES}"
        try:
            kernel = njit(signature, cache=True, nogil=True, fastmath=fastmath)(function)
        except (RuntimeError, OSError):  # no writable place for the cache, or its disk is full
            kernel = njit(signature, nogil=True, fastmath=fastmath)(function)
        return cast(Callable[P, R], kernel)

    return decorate
