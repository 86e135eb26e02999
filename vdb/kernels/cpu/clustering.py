"""Kernels of the clustering: sums of rows by label, and a 2-means. They compile what NumPy does in hundreds of short
calls, between which it holds the interpreter's lock.

n = rows, d = components, k = labels. Sums are float64. Twins: `vdb/kernels/reference_clustering.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled, input_array
from vdb.kernels.reference import Float32s
from vdb.kernels.reference_clustering import Float64s
from vdb.kernels.reference_layout import Int32s

SUM_ROWS = types.void(
    input_array(types.float32, 2),  # rows (n, d)
    input_array(types.int32),  # labels (n,), below k
    types.float64[:, ::1],  # sums (k, d)
)
TWO_MEANS = types.void(
    input_array(types.float32, 2),  # rows (n, d)
    types.int64,  # n_iterations
    types.float32[:, ::1],  # pair (2, d): two centroids to begin with, and those that were found
)


@compiled(SUM_ROWS)
def sum_rows(rows: Float32s, labels: Int32s, sums: Float64s) -> None:
    """Add each row to the sum of its label."""
    for i in range(rows.shape[0]):
        label = labels[i]
        for j in range(rows.shape[1]):
            sums[label, j] += rows[i, j]


@compiled(TWO_MEANS)
def two_means(rows: Float32s, n_iterations: int, pair: Float32s) -> None:
    """Lloyd's iterations of two centroids: ties go to the first; they stay where one would have all rows."""
    sums = np.empty((2, rows.shape[1]), np.float64)
    for _ in range(n_iterations):
        sums[:] = 0
        n_second = 0
        middle = np.float32(0)
        for j in range(rows.shape[1]):
            middle += pair[1, j] * pair[1, j] - pair[0, j] * pair[0, j]
        for i in range(rows.shape[0]):
            first, second = np.float32(0), np.float32(0)
            for j in range(rows.shape[1]):
                first += rows[i, j] * pair[0, j]
                second += rows[i, j] * pair[1, j]
            label = 1 if middle < np.float32(2) * (second - first) else 0
            n_second += label
            for j in range(rows.shape[1]):
                sums[label, j] += rows[i, j]
        if n_second == 0 or n_second == rows.shape[0]:
            return
        for j in range(rows.shape[1]):
            pair[0, j] = np.float32(sums[0, j] / (rows.shape[0] - n_second))
            pair[1, j] = np.float32(sums[1, j] / n_second)
