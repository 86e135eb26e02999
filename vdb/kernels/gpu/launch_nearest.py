"""The nearest of all rows for many queries: products on tensor cores, of which hardly any leaves the registers.

Rows are taken in chunks of tiles, each chunk greater than the one before, the first small enough that the lists of keys
hold all of it. After a chunk a query's list is cut to its k smallest keys, the last of which bounds what the next chunk
appends. Tiles are taken by a stride through all rows, so that a chunk is a sample whatever the order of rows. A list
that a chunk overfills still gives a bound, a lower one, and the chunk is done again for its query. Answers are those
of all rows, the same each time.

What it costs, q queries (a multiple of 128 counts), n rows of d components (a multiple of 64 counts):
operations   2 · q · n · d on tensor cores, one comparison for each of the q · n products
bytes        2 · n · d of rows (+ 4 · n of norms) from memory, once; each tile of 128 queries reads them from the cache
lists        8 · q · (k + capacity): `MOST_QUERIES` at once, so 32 MiB for k = 10
appended     about 16 · k for each query and chunk, the first chunk's `capacity` apart
chunks       4 for ten million rows and k = 10, 8 for k = 1,024, and those done again
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.device import Block, DeviceFailed
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.reference import L2, Float32s, Int64s

__all__ = [
    "CAPACITY",
    "MOST_GROWTH",
    "MOST_HELD",
    "MOST_QUERIES",
    "NO_KEY",
    "N_THREADS",
    "SLICE",
    "STAGES",
    "TILE",
    "find_nearest",
]

TILE: Final = 128
"""Queries of a block, rows of a step: `TILE` of nearest.cu."""
SLICE: Final = 64
"""Components of a step."""
N_THREADS: Final = 128
STAGES: Final = 3
MOST_HELD: Final = 3
"""Slices of the queries' tile that stay in shared memory; with more, two blocks would not share a multiprocessor."""
MOST_QUERIES: Final = 1_024
"""Of a launch: their lists take memory."""
CAPACITY: Final = 4_096
"""Keys that a list takes beyond its k, or 8 · k: a chunk is planned to fill a quarter of it at most."""
MOST_GROWTH: Final = 16
"""Of a chunk beside all before it. A product that is appended stalls its warp for a microsecond."""
NO_KEY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """What is kept of q queries, the tile filled up: see nearest.cu."""

    squares: Block
    limits: Block
    bounds: Block
    is_open: Block
    counts: Block
    lists: Block
    n_overflows: Block
    no_mask: Block


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    vectors: Block
    norms: Block | None
    visible: Block | None
    metric: int

    @property
    def n_tiles(self) -> int:
        return -(-self.vectors.shape[0] // TILE)


def find_nearest(
    driver: Driver, queries: NDArray[np.float16], vectors: Block, norms: Block | None, visible: Block | None,
    metric: int, k: int,
) -> tuple[Float32s, Int64s]:  # fmt: skip
    """`Device.nearest`: distance float32 (q, k), row int64 (q, k). Raises DeviceFailed where a block's shared memory is
    below 100 KB."""
    assert metric != L2 or norms is not None, "distances of L2 need the rows' squared norms"
    distance = np.full((len(queries), k), np.inf, np.float32)
    row = np.full((len(queries), k), -1, np.int64)
    rows = _Rows(vectors, norms, visible, metric)
    if rows.n_tiles:
        for first in range(0, len(queries), MOST_QUERIES):
            part = slice(first, first + MOST_QUERIES)
            keys = _smallest(driver, queries[part], rows, k)
            _decode(keys, distance[part], row[part])
    return distance, row


def _smallest(driver: Driver, queries: NDArray[np.float16], rows: _Rows, k: int) -> NDArray[np.uint64]:
    """The k smallest keys of each query, uint64 (q, k) ascending, `NO_KEY` where there are no more."""
    capacity = max(CAPACITY, 8 * k)
    padded = _padded(queries)
    held = driver.put(padded)
    kept = _lists(driver, queries, len(padded), k, capacity)
    step = _stride(rows.n_tiles)
    first, stop = 0, capacity // TILE
    while first < rows.n_tiles:
        stop = min(stop, rows.n_tiles)
        driver.fill(kept.is_open, 1)
        while True:
            _look(driver, held, rows, kept, k, capacity, first, stop, step)
            driver.fill(kept.n_overflows, 0)
            driver.launch(
                "keep_nearest", (len(queries), 1), N_THREADS, 0, kept.squares, kept.limits, kept.bounds, kept.is_open,
                kept.counts, kept.lists, kept.n_overflows, np.int32(rows.metric), np.int32(k), np.int32(capacity),
            )  # fmt: skip
            if stop * TILE <= capacity or not int(driver.take(kept.n_overflows)[0]):
                break
        # Of the next rows about one in stop · TILE / k is among the k nearest so far: what is appended costs, too.
        first, stop = stop, stop + max(1, stop * min(MOST_GROWTH, capacity // (4 * k)))
    return _first_keys(driver, kept, len(queries), k, capacity)


def _look(
    driver: Driver, queries: Block, rows: _Rows, kept: _Lists, k: int, capacity: int, first: int, stop: int, step: int
) -> None:
    """Append what tiles at [first, stop) have for the queries that are open."""
    n_rows, dimension = rows.vectors.shape
    n_slices = queries.shape[1] // SLICE
    is_held = n_slices <= MOST_HELD
    stage = TILE * (SLICE * 2 * (1 if is_held else 2) + 4)
    shared_bytes = STAGES * stage + (n_slices * TILE * SLICE * 2 if is_held else 0)
    if shared_bytes > driver.shared_bytes:
        raise DeviceFailed(f"{driver.name} has {driver.shared_bytes:,} bytes of shared memory, not {shared_bytes:,}")
    n_query_tiles = queries.shape[0] // TILE
    n_groups = min(stop - first, max(1, 2 * driver.n_processors // n_query_tiles))
    kernel = ("nearest_held" if is_held else "nearest_streamed") + ("" if dimension % 8 == 0 else "_unaligned")
    driver.launch(
        kernel, (n_query_tiles, n_groups), N_THREADS, shared_bytes,
        queries, rows.vectors, rows.norms if rows.norms is not None else kept.squares,
        rows.visible if rows.visible is not None else kept.no_mask,
        kept.squares, kept.limits, kept.bounds, kept.is_open, kept.counts, kept.lists,
        np.uint32(n_rows), np.int32(dimension), np.int32(n_slices), np.int32(rows.metric),
        np.int32(rows.visible is not None), np.int32(k), np.int32(capacity),
        np.uint32(rows.n_tiles), np.uint32(first), np.uint32(stop), np.uint32(step),
    )  # fmt: skip


def _padded(queries: NDArray[np.float16]) -> NDArray[np.float16]:
    """With zeros to whole tiles and slices."""
    n, dimension = queries.shape
    padded = np.zeros((-(-n // TILE) * TILE, -(-dimension // SLICE) * SLICE), np.float16)
    padded[:n, :dimension] = queries
    return padded


def _lists(driver: Driver, queries: NDArray[np.float16], n_padded: int, k: int, capacity: int) -> _Lists:
    asked = queries.astype(np.float32)
    squares = np.zeros(n_padded, np.float32)
    squares[: len(queries)] = np.einsum("ij,ij->i", asked, asked)
    limits = np.full(n_padded, np.inf, np.float32)
    limits[: len(queries)] = -np.inf
    lists = driver.make((n_padded, k + capacity), np.uint64)
    kept = _Lists(
        driver.put(squares),
        driver.put(limits),
        driver.put(np.full(n_padded, NO_KEY)),
        driver.make((n_padded,), np.int32),
        driver.make((n_padded,), np.int32),
        lists,
        driver.make((1,), np.int32),
        driver.make((1,), np.uint8),
    )
    driver.fill(lists, 0xFF)
    driver.fill(kept.counts, 0)
    return kept


def _first_keys(driver: Driver, kept: _Lists, n_queries: int, k: int, capacity: int) -> NDArray[np.uint64]:
    """The first k of each list, without the rest crossing to the host."""
    keys = driver.make((n_queries, k), np.uint64)
    driver.launch(
        "first_keys", (n_queries, 1), N_THREADS, 0, kept.lists, keys, np.int32(k), np.int32(k + capacity)
    )  # fmt: skip
    found: NDArray[np.uint64] = driver.take(keys)
    return found


def _decode(keys: NDArray[np.uint64], distance: Float32s, row: Int64s) -> None:
    """Keys to distances and rows; those that are none leave +inf and −1."""
    is_there = keys != NO_KEY
    bits = (keys[is_there] >> np.uint64(32)).astype(np.uint32)
    sign = np.uint32(0x80000000)
    distance[is_there] = np.where(bits & sign, bits ^ sign, ~bits).view(np.float32)
    row[is_there] = (keys[is_there] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _stride(n_tiles: int) -> int:
    """About 0.618 of the tiles, with no divisor in common with their number: each is met once."""
    stride = max(1, int(0.6180339887 * n_tiles))
    while math.gcd(stride, n_tiles) > 1:
        stride += 1
    return stride % n_tiles if n_tiles > 1 else 0
