"""A device that is a GPU: its memory, and the launchers of its kernels, over whatever driver runs them."""

from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.device import Block, Candidates, DeviceFound, Queries, ResidentModel, ResidentRows, Wanted
from vdb.kernels.gpu import launch_building
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.gpu.launch_nearest import find_nearest
from vdb.kernels.gpu.launch_readings import ReadingLauncher
from vdb.kernels.reference import Float32s, Int64s, UInt32s

__all__ = ["CudaDevice"]

_SCATTER_THREADS: Final = 256


class CudaDevice:
    """A `Device`; used by one thread at a time, closed by whoever made it, and the driver with it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._readings = ReadingLauncher(driver)

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

    # Searching

    def candidates(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int
    ) -> Candidates:
        return self._readings.candidates(rows, model, queries, wanted, m)

    def search(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> DeviceFound:
        return self._readings.search(rows, model, queries, wanted, m, k)

    # Searching all rows, and building

    def nearest(
        self, queries: NDArray[np.float16], vectors: Block, norms: Block | None, visible: Block | None, metric: int,
        k: int,
    ) -> tuple[Float32s, Int64s]:  # fmt: skip
        return find_nearest(self._driver, queries, vectors, norms, visible, metric, k)

    def assign(self, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
        return launch_building.assign(self._driver, rows, centroids)

    def kmeans(self, rows: Block, centroids: Float32s, n_iterations: int) -> Float32s:
        return launch_building.kmeans(self._driver, rows, centroids, n_iterations)

    def project(self, rows: Block, matrix: Float32s) -> Float32s:
        return launch_building.project(self._driver, rows, matrix)

    def close(self) -> None:
        self._driver.close()
