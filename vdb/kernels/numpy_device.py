"""A device of plain arrays: what the accelerator's kernels are held against, and what stands in for it in tests."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels import reference_batches, reference_readings
from vdb.kernels.device import (
    Block,
    Candidates,
    DeviceFound,
    DeviceLost,
    OutOfDeviceMemory,
    Queries,
    ResidentModel,
    ResidentRows,
    Wanted,
)
from vdb.kernels.reference import Float32s, Int64s, UInt32s

__all__ = ["NumpyDevice"]

_LEAST_FREE = 1 << 40


class _Array:
    """A block: its `array` is only this module's to touch."""

    __slots__ = ("_owner", "array")

    def __init__(self, array: NDArray[Any], owner: "NumpyDevice") -> None:
        self.array = array
        self._owner = owner
        owner.n_bytes += array.nbytes

    def __bool__(self) -> bool:
        raise ValueError("whether a block is there is told by `is None`: arrays of an accelerator have no truth value")

    def __del__(self) -> None:
        self._owner.n_bytes -= self.array.nbytes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return self.array.nbytes


@dataclass(eq=False)
class NumpyDevice:
    """A `Device`. `capacity_bytes`: what its blocks may take together; `is_lost`: it answers no more."""

    capacity_bytes: int = _LEAST_FREE
    n_bytes: int = 0
    is_lost: bool = False
    name: str = field(default="numpy")

    def free_bytes(self) -> int:
        self._check(0)
        return self.capacity_bytes - self.n_bytes

    def put(self, array: NDArray[Any]) -> Block:
        self._check(array.nbytes)
        return _Array(np.array(array, order="C"), self)

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        self._check(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        return _Array(np.zeros(shape, dtype), self)

    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        held = self._held(block)
        assert held.dtype == array.dtype and first >= 0 and first + len(array) <= len(held), "rows are the block's"
        held[first : first + len(array)] = array

    def scatter(self, block: Block, places: Int64s, values: UInt32s) -> None:
        held = self._held(block)
        assert held.dtype == np.uint32, "words are uint32"
        held.reshape(-1)[places] = values

    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        return self._held(block)[first:stop].copy()

    # Searching

    def candidates(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int
    ) -> Candidates:
        return reference_readings.candidates(self._rows(rows), self._model(model), queries, wanted, m)

    def search(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> DeviceFound:
        return reference_readings.search(self._rows(rows), self._model(model), queries, wanted, m, k)

    # Searching all rows, and building

    def nearest(
        self, queries: NDArray[np.float16], vectors: Block, norms: Block | None, visible: Block | None, metric: int,
        k: int,
    ) -> tuple[Float32s, Int64s]:  # fmt: skip
        squares, kept = (None if block is None else self._held(block) for block in (norms, visible))
        return reference_batches.nearest(queries, self._held(vectors), squares, kept, metric, k)

    def assign(self, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
        return reference_batches.assign(self._held(rows), centroids)

    def kmeans(self, rows: Block, centroids: Float32s, n_iterations: int) -> Float32s:
        return reference_batches.kmeans(self._held(rows), centroids, n_iterations)

    def project(self, rows: Block, matrix: Float32s) -> Float32s:
        return reference_batches.project(self._held(rows), matrix)

    def close(self) -> None:
        self.is_lost = True

    def _rows(self, rows: ResidentRows) -> reference_readings.HeldRows:
        vectors = None if rows.vectors is None else self._held(rows.vectors)
        return reference_readings.HeldRows(
            self._held(rows.codes), self._held(rows.heads), self._held(rows.times), self._held(rows.pids), vectors,
            self._held(rows.pages), self._held(rows.places), self._held(rows.entries), rows.has_times,
        )  # fmt: skip

    def _model(self, model: ResidentModel) -> reference_readings.HeldModel:
        nodes = self._held(model.node_codes), self._held(model.node_heads)
        return reference_readings.HeldModel(model.metric, model.form, model.dimension, *nodes)

    def _held(self, block: Block) -> NDArray[Any]:
        self._check(0)
        assert isinstance(block, _Array), "a block of this device"
        return block.array

    def _check(self, n_bytes: int) -> None:
        if self.is_lost:
            raise DeviceLost("the device is gone")
        if self.n_bytes + n_bytes > self.capacity_bytes:
            raise OutOfDeviceMemory(f"{n_bytes:,} bytes of {self.capacity_bytes - self.n_bytes:,} that are free")
