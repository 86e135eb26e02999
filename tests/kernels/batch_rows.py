"""Rows that the exact search and builds are tested with, and what the search must find among them."""

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import COSINE, L2, Float32s, Int64s, UInt8s


def whole_numbers(rng: np.random.Generator, n: int, d: int, largest: int = 2) -> NDArray[np.float16]:
    """Rows of small integers: sums of their products are exact in float32, so any two devices agree to the bit."""
    return rng.integers(-largest, largest + 1, (n, d)).astype(np.float16)


def squared_norms(rows: NDArray[np.float16]) -> Float32s:
    """What `nearest` takes for L2."""
    wide = rows.astype(np.float32)
    norms: Float32s = np.einsum("ij,ij->i", wide, wide)
    return norms


def brute_nearest(
    queries: NDArray[np.float16], rows: NDArray[np.float16], visible: UInt8s | None, metric: int, k: int
) -> tuple[Float32s, Int64s]:
    """All distances in float64, sorted by (distance, row)."""
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    product = asked @ wide.T
    if metric == L2:
        product = np.square(asked).sum(1)[:, None] + np.square(wide).sum(1) - 2 * product
    else:
        product = np.maximum(1 - product, 0) if metric == COSINE else -product
    if visible is not None:
        product[:, visible == 0] = np.inf
    order = np.argsort(product, axis=1, kind="stable")[:, :k]
    distance = np.full((len(queries), k), np.inf, np.float32)
    row = np.full((len(queries), k), -1, np.int64)
    found = np.take_along_axis(product, order, axis=1)
    n = order.shape[1]
    distance[:, :n] = found
    row[:, :n] = np.where(np.isinf(found), -1, order)
    return distance, row
