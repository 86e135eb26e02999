"""What a device offers: memory that holds arrays, and kernels over it that answer many queries in one launch.

`vdb.kernels.gpu` has the one that is an accelerator, `vdb.kernels.numpy_device` one of plain arrays, with the same
answers: whoever keeps a device's memory in step, batches for it or goes on without it is tested on every machine.

One thread at a time uses a device. Everything it is told is done in that order; what returns arrays has waited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vdb.kernels.reference import Float32s, Int64s, UInt32s

__all__ = [
    "CODE_BYTES",
    "COLUMNS",
    "ENTRIES_AT",
    "LIST_AT",
    "LIST_BASE",
    "LIST_ENTRIES",
    "LIST_N",
    "NO_PAGE",
    "N_TAIL",
    "OWN_ENTRIES",
    "OWN_FIRST",
    "OWN_STOP",
    "PAGE_ROWS",
    "TAIL_AT",
    "Block",
    "Candidates",
    "Device",
    "DeviceFailed",
    "DeviceFound",
    "DeviceLost",
    "OutOfDeviceMemory",
    "Queries",
    "ResidentModel",
    "ResidentRows",
    "Wanted",
    "coded_width",
    "pages_of",
]

PAGE_ROWS: Final = 4_096
"""Rows of a page: device memory is taken, filled and given back by pages of an index's rows."""
NO_PAGE: Final = -1
"""In a table of pages: this one is not on the device."""
CODE_BYTES: Final = 16
"""Bytes that the width of codes on a device is a multiple of: a thread reads as many at once."""

OWN_FIRST, OWN_STOP, OWN_ENTRIES, LIST_AT, LIST_N, LIST_ENTRIES, LIST_BASE, ENTRIES_AT, TAIL_AT, N_TAIL = range(10)
COLUMNS: Final = 10
"""Columns of a reading on a device, int64: rows of the own run [first, stop) and how many entries cut it; where the
list begins among `places`, its length and how many entries cut it; what is added to a start of those to get its place;
where the entries begin (own, then the list's); where the tail begins and its length."""


class DeviceFailed(Exception):
    """A device could not do what it was told; whoever asked goes on without it."""


class OutOfDeviceMemory(DeviceFailed):
    """Its memory does not hold this: with less there it may."""


class DeviceLost(DeviceFailed):
    """It answers no more; nothing that it held is there."""


class Block(Protocol):
    """An array in a device's memory, in C order; freed with its last reference."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class ResidentRows:
    """Rows of an index, as `vdb.index.curator.state.Rows` says, in pages.

    Row r of the index is row `pages[r // PAGE_ROWS] * PAGE_ROWS + r % PAGE_ROWS` of the blocks: `codes` uint8 (c, W),
    W a multiple of `CODE_BYTES`, zeros behind the codes; `heads` uint32 (c, 4): step, bias and offset as the bits of
    float32 (0 where rows have none), `dead_at`; `times` uint32 (c, 2): added_at and expires_at, both since the state's
    base and in seconds, 0 for never; `pids` uint32 (c,); `vectors` float32 (c, D), None where re-ranking is not done
    here. `pages` int32 (p,), `NO_PAGE` where there is none.

    `places` uint32: lists and tails of readings, rows of the index, the highest bit set where one is revoked; `entries`
    uint32 (2, e): nodes, and their starts. `has_times`: whether any row was added or ends after its layout, else
    `times` need not be read.
    """

    codes: Block
    heads: Block
    times: Block
    pids: Block
    vectors: Block | None
    pages: Block
    places: Block
    entries: Block
    has_times: bool


@dataclass(frozen=True, slots=True, eq=False)
class ResidentModel:
    """What rows and nodes mean: `metric` and `form` are the numbers of kernels, `dimension` what rows keep.

    node_codes uint8 (v, W), LVQ8, W a multiple of `CODE_BYTES`; node_heads uint32 (v, 4): step, bias and offset as the
    bits of float32, 0.
    """

    metric: int
    form: int
    dimension: int
    node_codes: Block
    node_heads: Block


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Queries on the host: `full` float32 (q, D) as compared (normalised for cosine); `kept` float32 (q, d) projected,
    finite; `coded` int8 (q, d) of it, `step` float32 (q,) what one of its steps is worth, `total` float32 (q,) the sum
    of `kept`; `norm` float32 (q,), 1 for cosine. See `reference_cells.prepare` and `quantize`."""

    full: Float32s
    kept: Float32s
    coded: NDArray[np.int8]
    step: Float32s
    total: Float32s
    norm: Float32s

    def __len__(self) -> int:
        return len(self.full)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What each of q queries searches: `readings` int64 (q, 2, COLUMNS), a tenant's and everyone's; `sequence` int64
    (q,) since the state's base; `now_s` int64 (q,); `budget` int64 (q,): rows that entries are visited for, those
    scanned whole included. `is_exact`: all rows of the readings are compared by their vectors, entries play no part; of
    equal distances the lowest pids are found."""

    readings: Int64s
    sequence: Int64s
    now_s: Int64s
    budget: Int64s
    is_exact: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The m best rows of each query by estimate: score float32 (q, m) ascending, ties by row, +inf and row −1 (int64)
    where there are no more. A row that two readings name stands once. statistics int64 (q, 4): entries scored, entries
    scanned, rows scored, 0."""

    score: Float32s
    row: Int64s
    statistics: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class DeviceFound:
    """The k nearest of each query: distance float32 (q, k) ascending, as kernels state it (squared for L2), ties by
    pid; row int64 (q, k); +inf and −1 where there are no more. statistics int64 (q, 4): entries scored, entries
    scanned, rows scored, rows compared by their vectors."""

    distance: Float32s
    row: Int64s
    statistics: Int64s


class Device(Protocol):
    """Every method raises OutOfDeviceMemory or DeviceLost where that happens; after the first nothing has changed."""

    @property
    def name(self) -> str:
        """Of the hardware, for people."""

    # Memory

    def free_bytes(self) -> int:
        """Memory that is not taken, about."""

    def put(self, array: NDArray[Any]) -> Block:
        """A copy of an array on the device."""

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> Block:
        """A new block of zeros."""

    def write(self, block: Block, first: int, array: NDArray[Any]) -> None:
        """Overwrite rows [first, first + len(array)) of a block, of the same dtype."""

    def scatter(self, block: Block, places: Int64s, values: UInt32s) -> None:
        """Set words of a uint32 block, counted through it in C order: different `places` (n,), `values` (n,)."""

    def take(self, block: Block, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        """A copy of rows [first, stop) of a block on the host."""

    # Searching

    def candidates(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int
    ) -> Candidates:
        """The best by the codes: what `search_cells` scans, every query's in one launch. 1 ≤ m ≤ 1,024.

        All rows that `wanted` names must be in pages that are there. Not with `is_exact`.
        """

    def search(
        self, rows: ResidentRows, model: ResidentModel, queries: Queries, wanted: Wanted, m: int, k: int
    ) -> DeviceFound:
        """The k nearest of the m candidates, all compared by `rows.vectors`. 1 ≤ k ≤ m ≤ 1,024."""

    def nearest(
        self, queries: NDArray[np.float16], vectors: Block, norms: Block | None, visible: Block | None, metric: int,
        k: int,
    ) -> tuple[Float32s, Int64s]:  # fmt: skip
        """The k nearest, 1 ≤ k ≤ 1,024, of all rows of float16 `vectors` (n, d): distance float32 (q, k) as kernels
        state it, products summed in float32, row int64 (q, k), ties by row, padded with +inf and −1.

        Rows of a cosine collection come normalised. `norms` float32 (n,): squared norms, for L2. `visible` uint8 (n,):
        0 for rows left out. Never more than a part of the q · n distances is in memory.
        """

    # Building

    def assign(self, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
        """The nearest of c centroids (c, d) of float32 rows (n, d): int32 (n,), the lower of equals, and its squared
        distance float32 (n,)."""

    def kmeans(self, rows: Block, centroids: Float32s, n_iterations: int) -> Float32s:
        """Centroids (c, d) after so many iterations of Lloyd's; one without rows stays. The same rows give the same,
        to the last bit."""

    def project(self, rows: Block, matrix: Float32s) -> Float32s:
        """rows (n, D) · matrix (d, D)ᵀ, float32 (n, d)."""

    def close(self) -> None:
        """Free what is held; blocks are not used after this."""


def coded_width(n_bytes: int) -> int:
    """The width of so many bytes of codes on a device."""
    return -(-n_bytes // CODE_BYTES) * CODE_BYTES


def pages_of(row_sets: Sequence[UInt32s | Int64s]) -> Int64s:
    """The pages that rows lie in, ascending, int64."""
    if not row_sets:
        return np.zeros(0, np.int64)
    return np.unique(np.concatenate([np.unique(rows.astype(np.int64) // PAGE_ROWS) for rows in row_sets]))
