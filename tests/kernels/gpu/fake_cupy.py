"""A stand-in for the module `cupy`, as far as `cupy_driver` uses it: arrays on the host, launches written down.

What is checked with it is the driver's own part: what it calls in which order, and what it makes of errors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["CUBLASError", "CUDAError", "CompileError", "FakeArray", "FakeCupy", "MemoryIsFull"]


class CUDAError(RuntimeError):
    """CUDARuntimeError and CUDADriverError."""

    def __init__(self, status: int) -> None:
        super().__init__(f"cudaError {status}: in words\nand more lines")
        self.status = status


class CUBLASError(RuntimeError):
    """cuBLAS's, of which the driver knows the name only."""

    def __init__(self, status: int) -> None:
        super().__init__(f"CUBLAS_STATUS {status}")
        self.status = status


class MemoryIsFull(MemoryError):
    """OutOfMemoryError."""


class CompileError(Exception):
    """CompileException."""


class FakeArray(np.ndarray[Any, Any]):
    """An array "on the device"."""

    def set(self, array: np.ndarray[Any, Any], stream: object) -> None:
        assert array.flags.c_contiguous and array.dtype == self.dtype and array.shape == self.shape
        self[...] = array

    def get(self, stream: object) -> np.ndarray[Any, Any]:
        return np.array(self)

    @property
    def data(self) -> Any:
        def memset_async(byte: int, size: int, stream: object) -> None:
            self.reshape(-1).view(np.uint8)[:size] = byte

        return SimpleNamespace(memset_async=memset_async)


class FakeCupy:
    """`launches`: what was launched, (kernel, grid, block, arguments, shared bytes, those that were allowed before).

    `fail`: called where memory is asked for, at launches and where a stream is waited for, with what is done.
    """

    ndarray = FakeArray

    def __init__(self, fail: Callable[[str], None] = lambda what: None, capability: str = "90", n_devices: int = 1):
        self.fail, self.entered = fail, 0
        self.launches: list[tuple[Any, ...]] = []
        self.limit: int | None = None
        self.n_freed = 0
        self._capability, self._n_devices = capability, n_devices
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDAError, getDeviceCount=self._count, getDeviceProperties=lambda i: {"name": b"GPU"}
            ),
            driver=SimpleNamespace(CUDADriverError=CUDAError),
            memory=SimpleNamespace(OutOfMemoryError=MemoryIsFull),
            compiler=SimpleNamespace(CompileException=CompileError),
            Device=self._device, Stream=self._stream, MemoryPool=self._pool, using_allocator=self._within,
        )  # fmt: skip

    def _count(self) -> int:
        self.fail("count")
        return self._n_devices

    @contextmanager
    def _within(self, *_: object) -> Iterator[None]:
        self.entered += 1
        yield
        self.entered -= 1

    def _context(self, **fields: Any) -> Any:
        fake = self

        class Context(SimpleNamespace):
            def __enter__(self) -> None:
                fake.entered += 1

            def __exit__(self, *_: object) -> None:
                fake.entered -= 1

        return Context(**fields)

    def _device(self, number: int) -> Any:
        attributes = {"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 232_448}
        return self._context(compute_capability=self._capability, attributes=attributes, mem_info=(1_000, 2_000))

    def _stream(self, *, non_blocking: bool) -> Any:
        assert non_blocking
        return self._context(synchronize=lambda: self.fail("synchronize"))

    def _pool(self) -> Any:
        def set_limit(*, size: int) -> None:
            self.limit = size

        def free_all_blocks() -> None:
            self.n_freed += 1

        return SimpleNamespace(
            set_limit=set_limit, free_bytes=lambda: 50, used_bytes=lambda: 300, malloc=None,
            free_all_blocks=free_all_blocks,
        )  # fmt: skip

    def empty(self, shape: tuple[int, ...], dtype: Any) -> FakeArray:
        self.fail("empty")
        assert self.entered == 3, "on the device, the stream and with the pool"
        return np.full(shape, 205, dtype).view(FakeArray)

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert backend == "nvrtc" and "--std=c++17" in options and "scatter_words" in code
        return SimpleNamespace(compile=lambda: self.fail("compile"), get_function=self._function)

    def _function(self, kernel: str) -> Any:
        fake = self

        class Function:
            shared_size_bytes, max_dynamic_shared_size_bytes = 1_024, 0

            def __call__(self, grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
                fake.fail("launch")
                allowed = self.max_dynamic_shared_size_bytes
                fake.launches.append((kernel, grid, block, arguments, shared_mem, allowed))

        return Function()
