"""NumPy twins of the kernels of the clustering; contracts in `vdb/kernels/cpu/clustering.py`."""

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.distinct import is_first
from vdb.kernels.reference import CHUNK_BYTES, Float32s
from vdb.kernels.reference_layout import Int32s

Float64s = NDArray[np.float64]


def sum_rows(rows: Float32s, labels: Int32s, sums: Float64s) -> None:
    """Add each row to the sum of its label."""
    order = np.argsort(labels, kind="stable")
    n_block = max(1, CHUNK_BYTES // (8 * max(1, rows.shape[1])))
    for first in range(0, len(rows), n_block):
        part = order[first : first + n_block]
        mine = labels[part]
        starts = np.flatnonzero(is_first(mine))
        sums[mine[starts]] += np.add.reduceat(rows[part], starts, axis=0, dtype=np.float64)


def two_means(rows: Float32s, n_iterations: int, pair: Float32s) -> None:
    """Lloyd's iterations of two centroids: ties go to the first; they stay where one would have all rows."""
    for _ in range(n_iterations):
        first, second = np.einsum("ij,ij->i", pair, pair)
        products = rows @ pair.T
        labels = (second - first < 2 * (products[:, 1] - products[:, 0])).astype(np.int32)
        n_second = int(labels.sum())
        if not 0 < n_second < len(rows):
            return
        sums = np.zeros(pair.shape)
        sum_rows(rows, labels, sums)
        pair[:] = sums / np.array([[len(rows) - n_second], [n_second]])
