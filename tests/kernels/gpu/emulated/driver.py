"""A driver whose GPU is this CPU: launches run the CUDA sources thread by thread, and what is wrong with them raises.

Arguments are held against the kernel's own: a real launch would read whatever lies there. New blocks are full of 0xCD
and stand between pages that cannot be touched.
"""

import ctypes
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tests.kernels.gpu.emulated.build import kernels_of, library
from vdb.kernels.device import Block, DeviceLost, OutOfDeviceMemory
from vdb.kernels.gpu import sources
from vdb.kernels.gpu.driver import Argument

__all__ = ["EmulatedDriver", "KernelFault"]

_MOST_GRID_Y: Final = 65_535
_C_TYPES: Final[dict[type, Any]] = {
    np.int32: ctypes.c_int32,
    np.uint32: ctypes.c_uint32,
    np.int64: ctypes.c_int64,
    np.uint64: ctypes.c_uint64,
    np.float32: ctypes.c_float,
}
_MOAT_BYTES: Final = 1 << 20  # of `launch.h`
_RUNNING: Final = threading.Lock()  # the fibers of a library are one set


class KernelFault(AssertionError):
    """A kernel did what a GPU does not define, or was launched with what it does not take."""


class _Block:
    """Memory of its own, seen as an array by this module only."""

    def __init__(self, loaded: "_Library", array_like: tuple[tuple[int, ...], np.dtype[Any]], driver: "EmulatedDriver"):
        self.shape, self.dtype = array_like
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        driver.check(self.nbytes)
        self.address = loaded.allocate(self.nbytes)
        weakref.finalize(self, loaded.free, self.address, self.nbytes)
        weakref.finalize(self, driver.give_back, self.nbytes)
        driver.n_bytes += self.nbytes
        bytes_there = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
        self.array: NDArray[Any] = np.ndarray(self.shape, self.dtype, buffer=memoryview(bytes_there))

    def __bool__(self) -> bool:
        raise ValueError("an array of an accelerator has no truth value")


class _Library:
    """The functions of `launch.h` in a library that `build` made, and the kernels in it by name."""

    def __init__(self, path: Path, kernels: tuple[str, ...]) -> None:
        self._functions = ctypes.CDLL(str(path))
        self._functions.emulated_allocate.restype = ctypes.c_void_p
        self._functions.emulated_message.restype = ctypes.c_char_p
        self._functions.emulated_fault_address.restype = ctypes.c_ulonglong
        self.numbers = {name: number for number, name in enumerate(kernels)}

    def allocate(self, n_bytes: int) -> int:
        address = self._functions.emulated_allocate(ctypes.c_size_t(n_bytes))
        if not address:
            raise OutOfDeviceMemory(f"{n_bytes:,} bytes")
        return int(address)

    def free(self, address: int, n_bytes: int) -> None:
        self._functions.emulated_free(ctypes.c_void_p(address), ctypes.c_size_t(n_bytes))

    def is_intact(self, block: _Block) -> bool:
        asked = ctypes.c_void_p(block.address), ctypes.c_size_t(block.nbytes)
        return bool(self._functions.emulated_is_intact(*asked))

    @cache  # noqa: B019 (libraries stay)
    def signature(self, kernel: str) -> tuple[str, ...]:
        text = ctypes.create_string_buffer(4096)
        self._functions.emulated_signature(ctypes.c_int(self.numbers[kernel]), text)
        return tuple(text.value.decode().split())

    def launch(
        self, kernel: str, grid: tuple[int, int], n_threads: int, shared_bytes: int, backwards: bool, values: list[Any]
    ) -> tuple[str, int] | None:
        """Runs a kernel. Returns what went wrong, and the address that was touched where one must not be, or 0."""
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        with _RUNNING:
            is_done = self._functions.emulated_launch(
                self.numbers[kernel], (ctypes.c_uint * 2)(*grid), n_threads, shared_bytes, int(backwards), pointers
            )
            if is_done:
                return None
            message = self._functions.emulated_message().decode(errors="replace")
            return message, int(self._functions.emulated_fault_address())


@cache
def _load(text: str | None) -> _Library:
    path = library(text)
    return _Library(path, kernels_of(sources.text(without=sources.PRIMITIVES) if text is None else text))


class EmulatedDriver:
    """A `Driver`; one thread at a time. `text`: other kernels than those of `sources`.

    capacity_bytes: of its memory; is_lost: it answers no more; backwards: blocks, warps and lanes run from the last to
    the first, so that what depends on their order is seen; n_launches counts.
    """

    name = "emulated"

    def __init__(
        self, text: str | None = None, *, capacity_bytes: int = 1 << 40, n_processors: int = 4,
        shared_bytes: int = 99 * 1024, backwards: bool = False,
    ) -> None:  # fmt: skip
        self._library = _load(text)
        self.capacity_bytes, self.n_bytes = capacity_bytes, 0
        self.n_processors, self.shared_bytes = n_processors, shared_bytes
        self.backwards, self.is_lost = backwards, False
        self.n_launches = 0

    def check(self, n_bytes: int = 0) -> None:
        """Raises where the device is lost, or does not hold so much more."""
        if self.is_lost:
            raise DeviceLost("the device is gone")
        if self.n_bytes + n_bytes > self.capacity_bytes:
            raise OutOfDeviceMemory(f"{n_bytes:,} bytes of {self.capacity_bytes - self.n_bytes:,} that are free")

    def give_back(self, n_bytes: int) -> None:
        """What a block took is free."""
        self.n_bytes -= n_bytes

    def free_bytes(self) -> int:
        self.check()
        return self.capacity_bytes - self.n_bytes

    def put(self, array: NDArray[Any]) -> Block:
        block = _Block(self._library, (array.shape, array.dtype), self)
        block.array[...] = array
        return block

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        return _Block(self._library, (shape, np.dtype(dtype)), self)

    def fill(self, block: Block, byte: int) -> None:
        ctypes.memset(self._own(block).address, byte, block.nbytes)

    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        held = self._own(block).array
        assert held.dtype == array.dtype and held.shape[1:] == array.shape[1:], "rows are the block's"
        assert first >= 0 and first + len(array) <= len(held), "rows are in the block"
        held[first : first + len(array)] = array

    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        return self._own(block).array[first:stop].copy()

    def launch(
        self, kernel: str, grid: tuple[int, int], n_threads: int, shared_bytes: int, *arguments: Argument
    ) -> None:
        self.check()
        if kernel not in self._library.numbers:
            raise KernelFault(f"no kernel {kernel}: there are {', '.join(self._library.numbers)}")
        if not (1 <= grid[0] < 1 << 31 and 1 <= grid[1] <= _MOST_GRID_Y and 1 <= n_threads <= 1024):
            raise KernelFault(f"{kernel}: a grid of {grid} blocks of {n_threads} threads")
        if not 0 <= shared_bytes <= self.shared_bytes:
            raise KernelFault(f"{kernel}: {shared_bytes:,} bytes of shared memory of {self.shared_bytes:,}")
        values = [self._value(argument) for argument in arguments]
        self._check_arguments(kernel, arguments)
        self.n_launches += 1
        fault = self._library.launch(kernel, grid, n_threads, shared_bytes, self.backwards, values)
        blocks = {f"argument {i}": block for i, block in enumerate(arguments) if isinstance(block, _Block)}
        if fault is not None:
            raise KernelFault(fault[0] + _nearest(fault[1], blocks))
        for where, block in blocks.items():
            if not self._library.is_intact(block):
                raise KernelFault(f"{kernel}: a write around the block of {where}, {block.shape} {block.dtype}")

    def product(self, a: Block, b: Block, out: Block) -> None:
        np.matmul(self._float32(a), self._float32(b).T, out=self._float32(out))

    def synchronize(self) -> None:
        self.check()

    def close(self) -> None:
        self.is_lost = True

    def _own(self, block: Block) -> _Block:
        self.check()
        assert isinstance(block, _Block), "a block of this driver"
        return block

    def _float32(self, block: Block) -> NDArray[np.float32]:
        held = self._own(block).array
        assert held.dtype == np.float32 and held.ndim == 2, "matrices of float32"
        return held

    def _value(self, argument: Argument) -> Any:
        if isinstance(argument, np.generic):
            return _C_TYPES[type(argument)](argument.item())
        return ctypes.c_void_p(self._own(argument).address)

    def _check_arguments(self, kernel: str, arguments: tuple[Argument, ...]) -> None:
        takes = self._library.signature(kernel)
        if len(takes) != len(arguments):
            raise KernelFault(f"{kernel} takes {len(takes)} arguments, not {len(arguments)}")
        for i, (wanted, argument) in enumerate(zip(takes, arguments, strict=True)):
            is_scalar = isinstance(argument, np.generic)
            given = f"{argument.dtype.kind}{argument.dtype.itemsize}" if is_scalar else f"p{argument.dtype.itemsize}"
            if given != wanted and not (wanted == "p0" and not is_scalar):
                raise KernelFault(f"{kernel}: argument {i} is {given}, the kernel takes {wanted}")


def _nearest(address: int, blocks: dict[str, _Block]) -> str:
    """Where an address lies next to one of the blocks, in words."""
    if not address or not blocks:
        return ""
    offset, where = min(((address - block.address, name) for name, block in blocks.items()), key=lambda at: abs(at[0]))
    if not -_MOAT_BYTES <= offset <= blocks[where].nbytes + _MOAT_BYTES:
        return ""
    return f": byte {offset:,} of the block of {where}, which has {blocks[where].nbytes:,}"
