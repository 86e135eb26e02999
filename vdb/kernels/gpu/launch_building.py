"""Building on a GPU: rows to the nearest of centroids, centroids to the means of their rows, rows projected.

Products are the library's, in float32, a chunk of rows at a time: as many as `PRODUCT_BYTES` holds products of. What
an iteration over n rows of d components and c centroids costs:
operations   2 · n · c · d in float32
bytes        8 · n · c of products, written and read; 12 · n · d of rows, read three times and copied once
additions    n · d of 64-bit integers, in `copies` of the sums so that few centroids do not make threads queue
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.device import Block
from vdb.kernels.gpu.driver import Driver
from vdb.kernels.reference import Float32s
from vdb.kernels.reference_batches import fixed_point

__all__ = [
    "BLOCKS_PER_PROCESSOR",
    "MOST_COPIES",
    "N_THREADS",
    "PRODUCT_BYTES",
    "ROWS_PER_BLOCK",
    "SPREAD_SUMS",
    "assign",
    "kmeans",
    "project",
]

PRODUCT_BYTES: Final = 256 << 20
N_THREADS: Final = 256
ROWS_PER_BLOCK: Final = N_THREADS // 32
"""Where a warp has a row."""
BLOCKS_PER_PROCESSOR: Final = 8
SPREAD_SUMS: Final = 1 << 18
"""Sums, all copies together, from which more copies are not worth their memory."""
MOST_COPIES: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Assignment:
    """Rows, centroids (on the device), and what assigning them fills."""

    rows: Block
    centroids: Block
    norms: Block
    labels: Block
    distances: Block


def assign(driver: Driver, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
    """`Device.assign`."""
    if rows.shape[0] == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    work = _assignment(driver, rows, centroids)
    _assign(driver, work)
    return driver.take(work.labels), driver.take(work.distances)


def kmeans(driver: Driver, rows: Block, centroids: Float32s, n_iterations: int) -> Float32s:
    """`Device.kmeans`."""
    n_rows, dimension = rows.shape
    if n_rows == 0 or n_iterations == 0:
        return centroids.copy()
    work = _assignment(driver, rows, centroids)
    exponent = fixed_point(_largest(driver, rows), n_rows)
    n_copies = min(MOST_COPIES, max(1, SPREAD_SUMS // centroids.size))
    sums = driver.make((n_copies, *centroids.shape), np.uint64)
    counts = driver.make((n_copies, len(centroids)), np.uint32)
    shape = (np.int32(len(centroids)), np.int32(dimension), np.int32(n_copies))
    for _ in range(n_iterations):
        _assign(driver, work)
        driver.fill(sums, 0)
        driver.fill(counts, 0)
        driver.launch(
            "add_rows", (_grid(driver, n_rows, ROWS_PER_BLOCK), 1), N_THREADS, 0, rows, work.labels, sums, counts,
            np.int64(n_rows), *shape, np.float32(np.ldexp(1.0, exponent)),
        )  # fmt: skip
        driver.launch(
            "move_centroids", (-(-centroids.size // N_THREADS), 1), N_THREADS, 0, sums, counts, work.centroids, *shape,
            np.float32(np.ldexp(1.0, -exponent)),
        )  # fmt: skip
    moved: Float32s = driver.take(work.centroids)
    return moved


def project(driver: Driver, rows: Block, matrix: Float32s) -> Float32s:
    """`Device.project`."""
    n_rows, dimension = rows.shape
    projected = np.empty((n_rows, len(matrix)), np.float32)
    held = driver.put(matrix)
    n_chunk = _chunk(n_rows, len(matrix) + dimension)
    part, out = _parts(driver, rows, n_chunk, len(matrix))
    for first in range(0, n_rows, n_chunk):
        stop = min(first + n_chunk, n_rows)
        driver.product(_copied(driver, rows, part, first, stop), held, out)
        projected[first:stop] = driver.take(out, 0, stop - first)
    return projected


def _assignment(driver: Driver, rows: Block, centroids: Float32s) -> _Assignment:
    n_rows = rows.shape[0]
    return _Assignment(
        rows,
        driver.put(centroids),
        driver.make((len(centroids),), np.float32),
        driver.make((n_rows,), np.int32),
        driver.make((n_rows,), np.float32),
    )


def _assign(driver: Driver, work: _Assignment) -> None:
    """Labels and squared distances of all rows."""
    n_rows, dimension = work.rows.shape
    n_centroids = work.centroids.shape[0]
    driver.launch(
        "square_norms", (-(-n_centroids // ROWS_PER_BLOCK), 1), N_THREADS, 0, work.centroids, work.norms,
        np.int32(n_centroids), np.int32(dimension),
    )  # fmt: skip
    n_chunk = _chunk(n_rows, n_centroids + dimension)
    part, products = _parts(driver, work.rows, n_chunk, n_centroids)
    for first in range(0, n_rows, n_chunk):
        stop = min(first + n_chunk, n_rows)
        chunk = _copied(driver, work.rows, part, first, stop)
        driver.product(chunk, work.centroids, products)
        driver.launch(
            "nearest_centroid", (-(-(stop - first) // ROWS_PER_BLOCK), 1), N_THREADS, 0, chunk, products, work.norms,
            work.labels, work.distances, np.int64(first), np.int32(stop - first), np.int32(n_centroids),
            np.int32(dimension),
        )  # fmt: skip


def _parts(driver: Driver, rows: Block, n_chunk: int, width: int) -> tuple[Block, Block]:
    """Room for a chunk of rows (the rows themselves where they are one), and for its products."""
    is_whole = rows.shape[0] <= n_chunk
    part = rows if is_whole else driver.make((n_chunk, rows.shape[1]), np.float32)
    return part, driver.make((part.shape[0], width), np.float32)


def _copied(driver: Driver, rows: Block, part: Block, first: int, stop: int) -> Block:
    """Rows [first, stop) at the start of `part`; what is behind them there is multiplied in vain."""
    if part is not rows:
        n_words = (stop - first) * rows.shape[1]
        driver.launch(
            "copy_words", (_grid(driver, n_words, N_THREADS), 1), N_THREADS, 0, rows, part,
            np.int64(first * rows.shape[1]), np.int64(n_words),
        )  # fmt: skip
    return part


def _largest(driver: Driver, rows: Block) -> float:
    """The largest magnitude of any component."""
    n = rows.shape[0] * rows.shape[1]
    largest = driver.make((1,), np.uint32)
    driver.fill(largest, 0)
    driver.launch(
        "largest_component", (_grid(driver, n, N_THREADS), 1), N_THREADS, 0, rows, largest, np.int64(n)
    )  # fmt: skip
    return float(driver.take(largest).view(np.float32)[0])


def _grid(driver: Driver, n: int, n_per_block: int) -> int:
    """Blocks that go over n things in turn: enough to fill the machine, no more than there are things for."""
    return max(1, min(BLOCKS_PER_PROCESSOR * driver.n_processors, -(-n // n_per_block)))


def _chunk(n_rows: int, width: int) -> int:
    return max(1, min(n_rows, PRODUCT_BYTES // (4 * width)))
