"""Carries a tree deeper: cells of a model are split into posting lists, then lists are refined over all rows.

A split sees all rows of its cell, one group of cells at a time. Where lists meet at the border of cells they are not
the best, so all rows are assigned anew and heads moved to their means, twice. On a million arXiv vectors, lists that
hold 1,400 rows have .933 of the neighbours after the split, .963 after one round, .970 after two, no more after three.

Vectors come prepared, float32 (n, D), and may be a mapped file larger than RAM: in RAM are the heads, 12 bytes per row,
and a group or block of vectors. Row i is slot i.
Source: SPANN (arXiv 2111.08566) §3.2; instead of its closure copies, the refinement.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import Model
from vdb.index.curator.training import bounded, grow
from vdb.index.kmeans import LEAF, Check, unasked
from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, UInt32s

LIST_LIMIT = 81
"""Rows from which a list is split while it is made: lists of a million vectors then hold 50 on average."""
ROUNDS = 2
GROUP_BYTES = 64 << 20
"""Of vectors whose cells are split together."""
BLOCK_ROWS = 16_384

Float64s = NDArray[np.float64]


def deepened(
    model: Model, vectors: Float32s, kernels: Kernels, check: Check = unasked, limit: int = LIST_LIMIT
) -> tuple[Model, UInt32s]:
    """The model with lists of at most about `limit` rows in place of its cells, and the list of each row, uint32 (n,).

    A list of identical vectors holds them all, however many they are. Codes mean what they meant.
    """
    deep = _split(model, vectors, lists_of(model, vectors, kernels, check), limit, check)
    for _ in range(ROUNDS):
        deep = _moved(deep, vectors, lists_of(deep, vectors, kernels, check), check)
    return replace(deep, n_trained=len(vectors)), lists_of(deep, vectors, kernels, check)


def lists_of(model: Model, vectors: Float32s, kernels: Kernels, check: Check = unasked) -> UInt32s:
    """The nearest list of each vector, uint32 (n,)."""
    lists = np.empty(len(vectors), np.uint32)
    for first in range(0, len(vectors), BLOCK_ROWS):
        check()
        block = np.array(vectors[first : first + BLOCK_ROWS])
        lists[first : first + BLOCK_ROWS] = model.cells_of(block, kernels)
    return lists


def _split(model: Model, vectors: Float32s, cells: UInt32s, limit: int, check: Check) -> Model:
    """Cells are split from the last on, a group at a time: those before keep their numbers."""
    order = np.argsort(cells, kind="stable").astype(np.uint32)
    ends = np.cumsum(np.bincount(cells, minlength=len(model.leaves)))
    n_group = max(1, GROUP_BYTES // (4 * vectors.shape[1]))
    stop = len(ends)
    while stop > 0:
        check()
        end = int(ends[stop - 1])
        first = min(int(np.searchsorted(ends, end - n_group, side="right")), stop - 1)
        begin = int(ends[first - 1]) if first else 0
        rows = np.sort(order[begin:end])
        if len(rows):
            model = grow(model, vectors[rows], cells[rows], limit, check=check).model
        stop = first
    return model


def _moved(model: Model, vectors: Float32s, lists: UInt32s, check: Check) -> Model:
    """Each list's head at the mean of its rows, and nodes above at those of theirs; an empty list's stays."""
    leaves = model.leaves.astype(np.intp)
    counts, squares = np.zeros(len(model.children)), np.zeros(len(model.children))
    sums = np.zeros((len(model.children), vectors.shape[1]), np.float32)
    for first in range(0, len(vectors), BLOCK_ROWS):
        check()
        block = bounded(np.array(vectors[first : first + BLOCK_ROWS]))
        mine = lists[first : first + BLOCK_ROWS]
        order = np.argsort(mine, kind="stable")
        starts = np.flatnonzero(np.append(True, np.diff(mine[order]) != 0))
        nodes = leaves[mine[order][starts]]
        sums[nodes] += np.add.reduceat(block[order], starts, axis=0)
        norms = np.einsum("ij,ij->i", block, block, dtype=np.float64)
        squares += np.bincount(leaves[mine], norms, minlength=len(squares))
        counts += np.bincount(leaves[mine], minlength=len(counts))
    for node in range(len(model.children) - 1, -1, -1):
        left, right = model.children[node]
        if left != LEAF:
            counts[node] = counts[left] + counts[right]
            squares[node] = squares[left] + squares[right]
            sums[node] = sums[left] + sums[right]
    check()
    held = counts > 0
    centroid = np.where(held[:, None], sums / np.maximum(counts, 1)[:, None], model.centroid).astype(np.float32)
    spread = squares / np.maximum(counts, 1) - np.einsum("ij,ij->i", centroid, centroid, dtype=np.float64)
    radius = np.sqrt(np.maximum(spread, 0) * (counts + 1) / np.maximum(counts - 1, 1))
    return replace(model, centroid=centroid, radius=np.where(counts > 1, radius, model.radius).astype(np.float32))
