"""What the launchers of the CUDA kernels need of a machine: memory, launches, one product of matrices.

`cupy_driver` has it from CuPy, the only file that imports it. The tests have another that runs the same CUDA sources
on the CPU, thread by thread: what is launched, and with what, is checked where there is no GPU.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.device import Block

__all__ = ["Argument", "Driver"]

Argument = Block | np.int32 | np.uint32 | np.int64 | np.uint64 | np.float32
"""What a kernel is launched with: a block as a pointer to its first element, numbers as they are."""


class Driver(Protocol):
    """One GPU, one stream: all is done in order. Raises OutOfDeviceMemory and DeviceLost."""

    @property
    def name(self) -> str:
        """Of the GPU."""

    @property
    def n_processors(self) -> int:
        """Multiprocessors: blocks of a grid run on so many at once."""

    @property
    def shared_bytes(self) -> int:
        """Shared memory that a block may have, dynamic and static together."""

    def free_bytes(self) -> int:
        """Memory that is not taken, what the allocator keeps for later included."""

    def put(self, array: NDArray[Any]) -> Block:
        """A copy of an array, C order."""

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        """A new block, whatever is in it."""

    def fill(self, block: Block, byte: int) -> None:
        """Set every byte of a block."""

    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        """Overwrite rows [first, first + len(array)) of a block."""

    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        """A copy of rows [first, stop) on the host, once all before it is done."""

    def launch(
        self, kernel: str, grid: tuple[int, int], n_threads: int, shared_bytes: int, *arguments: Argument
    ) -> None:
        """Run an `extern "C"` kernel of `sources`: a grid of (x, y) blocks of so many threads each, with so much
        dynamic shared memory. Nothing waits for it."""

    def product(self, a: Block, b: Block, out: Block) -> None:
        """out (n, c) = a (n, d) · b (c, d)ᵀ in float32, not in a shorter format."""

    def synchronize(self) -> None:
        """Wait until all is done; raises what went wrong meanwhile."""

    def close(self) -> None: ...
