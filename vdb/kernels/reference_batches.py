"""NumPy twins of what a device does over whole blocks of rows: the nearest of many queries at once, and building.

Shapes: q queries, n rows, c centroids, D components, d kept ones. Distances are as kernels state them (squared for L2,
1 - cosine of normalised rows, minus the product). Everything is finite. Memory: blocks of `CHUNK_BYTES`.

`kmeans` sums in fixed point: each component times a power of two, rounded to an integer. Integers may be added in any
order, so a machine that adds thousands at once gets the same centroids each time, to the last bit.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import CHUNK_BYTES, COSINE, L2, Float32s, Int64s, UInt8s

__all__ = ["assign", "fixed_point", "kmeans", "nearest", "project"]

_SUM_BITS = 62
"""Of a sum in fixed point, its sign apart."""
_LARGEST_EXPONENT = 126
"""Of a power of two that is a float32, as its inverse is."""


def nearest(
    queries: NDArray[np.float16],
    vectors: NDArray[np.float16],
    norms: Float32s | None,
    visible: UInt8s | None,
    metric: int,
    k: int,
) -> tuple[Float32s, Int64s]:
    """The k nearest of all rows (n, d) that `visible` uint8 (n,) keeps: distance float32 (q, k), row int64 (q, k)."""
    distance = np.full((len(queries), k), np.inf, np.float32)
    row = np.full((len(queries), k), -1, np.int64)
    asked = queries.astype(np.float32)
    squares = np.einsum("ij,ij->i", asked, asked)[:, None]
    for first, stop in _blocks(len(vectors), 2 * len(queries) + vectors.shape[1]):
        product: Float32s = asked @ vectors[first:stop].astype(np.float32).T
        if metric == L2:
            assert norms is not None, "distances of L2 need the rows' squared norms"
            product = np.maximum(norms[first:stop] + squares - 2 * product, np.float32(0))
        else:
            product = np.maximum(1 - product, np.float32(0)) if metric == COSINE else -product
        rows = np.arange(first, stop) if visible is None else first + np.flatnonzero(visible[first:stop])
        _keep(distance, row, product[:, rows - first], rows)
    return distance, row


def _keep(distance: Float32s, row: Int64s, found: Float32s, rows: Int64s) -> None:
    """Fold distances (q, c) of `rows`, which come after all before, into the nearest so far."""
    k = distance.shape[1]
    both = np.concatenate((distance, found), axis=1)
    named = np.concatenate((row, np.broadcast_to(rows, found.shape)), axis=1)
    best = np.argsort(both, axis=1, kind="stable")[:, :k]
    distance[:] = np.take_along_axis(both, best, axis=1)
    row[:] = np.take_along_axis(named, best, axis=1)


def assign(rows: Float32s, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
    """The nearest centroid of each row, int32 (n,), the lower of equals, and its squared distance, float32 (n,)."""
    labels = np.empty(len(rows), np.int32)
    distances = np.empty(len(rows), np.float32)
    norms = np.einsum("ij,ij->i", centroids, centroids)
    for first, stop in _blocks(len(rows), len(centroids) + rows.shape[1]):
        block = rows[first:stop]
        partial: Float32s = norms - 2 * (block @ centroids.T)
        labels[first:stop] = partial.argmin(axis=1)
        best = np.take_along_axis(partial, labels[first:stop, None].astype(np.intp), axis=1)[:, 0]
        distances[first:stop] = np.maximum(best + np.einsum("ij,ij->i", block, block), 0)
    return labels, distances


def kmeans(rows: Float32s, centroids: Float32s, n_iterations: int) -> Float32s:
    """Centroids float32 (c, d) after so many iterations of Lloyd's; one without rows stays."""
    moved = centroids.copy()
    largest = float(np.abs(rows).max(initial=0))
    exponent = fixed_point(largest, len(rows))
    fixed = np.rint(np.ldexp(rows, exponent)).astype(np.int64)
    for _ in range(n_iterations):
        labels, _distances = assign(rows, moved)
        counts = np.bincount(labels, minlength=len(moved))
        sums = np.zeros(moved.shape, np.int64)
        np.add.at(sums, labels, fixed)
        held = counts > 0
        moved[held] = np.ldexp(sums[held].astype(np.float64) / counts[held, None], -exponent)
    return moved


def fixed_point(largest: float, n_rows: int) -> int:
    """The exponent of the power of two that components are multiplied with: so many of at most `largest` in magnitude
    have a sum below 2**62."""
    if not largest > 0:
        return 0
    bits = math.frexp(largest)[1] + max(n_rows, 1).bit_length()
    return min(_SUM_BITS - bits, _LARGEST_EXPONENT)


def project(rows: Float32s, matrix: Float32s) -> Float32s:
    """rows (n, D) · matrix (d, D)ᵀ, float32 (n, d)."""
    projected: Float32s = rows @ matrix.T
    return projected


def _blocks(n: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose float32 work of `width` numbers each fits a chunk."""
    n_block = max(1, CHUNK_BYTES // (4 * max(1, width)))
    for first in range(0, n, n_block):
        yield first, min(first + n_block, n)
