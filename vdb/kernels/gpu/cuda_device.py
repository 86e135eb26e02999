"""A device that is a GPU: its memory, and the launchers of its kernels, over whatever driver runs them."""

from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.device import Block
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.reference import Int64s, UInt32s

__all__ = ["CudaDevice"]

_SCATTER_THREADS: Final = 256


class CudaDevice:
    """A `Device`; used by one thread at a time, closed by whoever made it, and the driver with it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def name(self) -> str:
        return self._driver.name

    # Memory

    def free_bytes(self) -> int:
        return self._driver.free_bytes()

    def put(self, array: NDArray[Any]) -> Block:
        return self._driver.put(array)

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        block = self._driver.make(shape, dtype)
        self._driver.fill(block, 0)
        return block

    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        assert block.dtype == array.dtype, "rows are the block's"
        assert first >= 0 and first + len(array) <= block.shape[0], "rows are in the block"
        self._driver.write(block, first, array)

    def scatter(self, block: Block, places: Int64s, values: UInt32s) -> None:
        assert block.dtype == np.uint32 and len(places) == len(values), "words are uint32, one for each place"
        if not len(places):
            return
        sent = self._driver.put(places.astype(np.int64)), self._driver.put(values.astype(np.uint32))
        grid = -(-len(places) // _SCATTER_THREADS), 1
        self._driver.launch("scatter_words", grid, _SCATTER_THREADS, 0, block, *sent, np.int64(len(places)))

    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        return self._driver.take(block, first, stop)

    def close(self) -> None:
        self._driver.close()
