"""A GPU by CuPy: the only file that imports it.

CuPy 13.6 to 14, CUDA 13, GPUs of compute capability 8.0 and later. The sources are compiled by NVRTC for the GPU at
hand; CuPy keeps what was compiled on disk. Memory comes from a pool of this driver's own. Everything is done on one
stream of its own, whatever else the process does with CuPy.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.device import Block, DeviceFailed, DeviceLost, OutOfDeviceMemory
from vdb.kernels.gpu import sources
from vdb.kernels.gpu.driver import Argument

__all__ = ["CupyDriver", "open_driver"]

_OLDEST: Final = 80
"""Compute capability: asynchronous copies, and products of halves in tiles of 16 × 8 × 16."""
_PLAIN_SHARED_BYTES: Final = 48 * 1024
"""Shared memory that any kernel may have, static and dynamic together; for more it must be told first."""
_NO_MEMORY: Final = 2
_HARMLESS: Final = frozenset({1, 9, 98, 200, 209, 218, 222, 300, 301, 500, 701})
"""Errors of CUDA after which a device goes on: what was asked for was wrong, or could not be loaded. Any other (an
access outside of memory, a failed launch, ECC, a device that is gone) leaves the context unusable."""
_NO_CUBLAS_MEMORY: Final = 3

_P = ParamSpec("_P")
_R = TypeVar("_R")


def open_driver(most_bytes: int | None, text: str | None = None) -> "CupyDriver":
    """The first GPU of this machine, of whose memory at most `most_bytes` are taken.

    `text`: other kernels than those of `sources`. Raises DeviceFailed, which says in plain words what is missing.
    """
    cupy = _imported()
    with _translated(cupy):
        try:
            _check(cupy)
            return CupyDriver(cupy, most_bytes, sources.text() if text is None else text)
        except (ImportError, OSError) as missing:
            raise DeviceFailed(f"a library of CUDA is missing: {_first_line(missing)}") from missing


def _imported() -> ModuleType:
    try:
        import cupy
    except ImportError as missing:
        raise DeviceFailed(f"CuPy is not installed, or cannot be loaded: {_first_line(missing)}") from missing
    module: ModuleType = cupy
    return module


def _check(cupy: ModuleType) -> None:
    """Raises DeviceFailed where there is no GPU that will do."""
    try:
        n_devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as failure:
        reason = "no NVIDIA GPU is there, or its driver is missing or older than CuPy's CUDA needs"
        raise DeviceFailed(f"{reason}: {_first_line(failure)}") from failure
    if not n_devices:
        raise DeviceFailed("no NVIDIA GPU is there")
    capability = cupy.cuda.Device(0).compute_capability
    if int(capability) < _OLDEST:
        raise DeviceFailed(f"the GPU has compute capability {capability}; {_OLDEST} (Ampere) or later is needed")


@contextmanager
def _translated(cupy: ModuleType) -> Iterator[None]:
    """CuPy's errors as those of `vdb.kernels.device`."""
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as failure:
        raise OutOfDeviceMemory(_first_line(failure)) from failure
    except cupy.cuda.compiler.CompileException as failure:
        raise DeviceFailed(f"the kernels do not compile: {failure}") from failure
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as failure:
        if failure.status == _NO_MEMORY:
            raise OutOfDeviceMemory(_first_line(failure)) from failure
        kind = DeviceFailed if failure.status in _HARMLESS else DeviceLost
        raise kind(_first_line(failure)) from failure
    except RuntimeError as failure:
        if type(failure).__name__ != "CUBLASError":  # its module cannot be imported where cuBLAS is missing
            raise
        if getattr(failure, "status", None) == _NO_CUBLAS_MEMORY:
            raise OutOfDeviceMemory(_first_line(failure)) from failure
        raise DeviceFailed(_first_line(failure)) from failure


def _first_line(failure: BaseException) -> str:
    return (str(failure).strip() or type(failure).__name__).splitlines()[0]


def _on_device(
    method: Callable[Concatenate["CupyDriver", _P], _R],
) -> Callable[Concatenate["CupyDriver", _P], _R]:
    """A method on the driver's device, stream and pool, its errors translated."""

    @functools.wraps(method)
    def wrapped(self: "CupyDriver", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        if self.is_closed:
            raise DeviceLost("the device is closed")
        cupy = self.cupy
        with _translated(cupy), self.gpu, self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            return method(self, *args, **kwargs)

    return wrapped


class CupyDriver:
    """A `Driver`: blocks are arrays of CuPy. One thread at a time uses it; closed by whoever opened it."""

    def __init__(self, cupy: ModuleType, most_bytes: int | None, text: str) -> None:
        self.cupy = cupy
        self.is_closed = False
        self.gpu = cupy.cuda.Device(0)
        with self.gpu:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.pool = cupy.cuda.MemoryPool()
            self.pool.set_limit(size=most_bytes or 0)  # 0: none
            self._module = cupy.RawModule(code=text, options=sources.OPTIONS, backend="nvrtc")
            self._module.compile()
        attributes = self.gpu.attributes
        self.n_processors = int(attributes["MultiProcessorCount"])
        self.shared_bytes = int(attributes["MaxSharedMemoryPerBlockOptin"])
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self._most_bytes = most_bytes
        self._kernels: dict[str, Any] = {}
        self._allowed_bytes: dict[str, int] = {}

    @_on_device
    def free_bytes(self) -> int:
        in_pool = int(self.pool.free_bytes())
        free = int(self.gpu.mem_info[0]) + in_pool
        return free if self._most_bytes is None else max(0, min(free, self._most_bytes - int(self.pool.used_bytes())))

    @_on_device
    def put(self, array: NDArray[Any]) -> Block:
        block: Block = self.cupy.empty(array.shape, array.dtype)
        self._copy(block, array)
        return block

    @_on_device
    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        block: Block = self.cupy.empty(shape, dtype)
        return block

    @_on_device
    def fill(self, block: Block, byte: int) -> None:
        if block.nbytes:
            self._array(block).data.memset_async(byte, block.nbytes, self.stream)

    @_on_device
    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        self._copy(self._array(block)[first : first + len(array)], array)

    @_on_device
    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        rows = self._array(block)[first:stop]
        taken: NDArray[Any] = rows.get(stream=self.stream) if rows.size else np.empty(rows.shape, rows.dtype)
        return taken

    @_on_device
    def launch(
        self, kernel: str, grid: tuple[int, int], n_threads: int, shared_bytes: int, *arguments: Argument
    ) -> None:
        function = self._kernels.get(kernel)
        if function is None:
            function = self._kernels[kernel] = self._module.get_function(kernel)
            self._allowed_bytes[kernel] = _PLAIN_SHARED_BYTES - function.shared_size_bytes
        if shared_bytes > self._allowed_bytes[kernel]:
            function.max_dynamic_shared_size_bytes = shared_bytes
            self._allowed_bytes[kernel] = shared_bytes
        function(grid, (n_threads,), arguments, shared_mem=shared_bytes)

    @_on_device
    def product(self, a: Block, b: Block, out: Block) -> None:
        try:
            from cupy import cublas
        except ImportError as missing:
            raise DeviceFailed(f"cuBLAS is missing: {_first_line(missing)}") from missing
        # cublas.gemm calls sgemm, which is float32 all through; `matmul` may take TF32, where CUPY_TF32 is set.
        if out.nbytes:
            cublas.gemm("N", "T", self._array(a), self._array(b), out=self._array(out))

    @_on_device
    def synchronize(self) -> None:
        self.stream.synchronize()

    def close(self) -> None:
        """Gives memory back; that of blocks which are still referred to with their last reference."""
        if not self.is_closed:
            try:
                self._give_back()
            except DeviceFailed:
                self._kernels.clear()  # a device that is lost has nothing to give back
            self.is_closed = True

    @_on_device
    def _give_back(self) -> None:
        self.stream.synchronize()
        self.pool.free_all_blocks()

    def _array(self, block: Block) -> Any:
        assert isinstance(block, self.cupy.ndarray), "a block of this driver"
        return block

    def _copy(self, block: Any, array: NDArray[Any]) -> None:
        assert block.shape == array.shape and block.dtype == array.dtype, "rows are the block's"
        if array.size:
            block.set(np.ascontiguousarray(array), stream=self.stream)
