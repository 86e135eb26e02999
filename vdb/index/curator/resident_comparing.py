"""Candidates that a device found, compared on the host by full vectors: where the device has codes only."""

import numpy as np

from vdb.index.curator.state import State
from vdb.kernels import METRIC_NUMBER, Kernels
from vdb.kernels.device import Candidates, DeviceFound, Queries
from vdb.kernels.reference import COSINE, L2, Float32s, UInt32s
from vdb.kernels.reference_cells import settled


def compared(state: State, queries: Queries, found: Candidates, k: int, kernels: Kernels) -> DeviceFound:
    """The k nearest of each query's candidates, as `Device.search` says them; `state` names all the rows."""
    metric = METRIC_NUMBER[state.model.metric]
    is_there = found.row >= 0
    row = np.where(is_there, found.row, 0)
    pids, slots = state.rows.pids[row], state.rows.slots[row]
    distance = np.full(found.row.shape, np.inf, np.float32)
    n_each = is_there.sum(axis=1)
    for i, n in enumerate(n_each.tolist()):  # padding is behind
        _compare(queries.full[i], state.vectors, slots[i, :n], metric, kernels, distance[i, :n])
    order = np.lexsort((pids, ~is_there, distance), axis=1)[:, :k]
    statistics = found.statistics.copy()
    statistics[:, 3] = n_each
    return DeviceFound(
        np.take_along_axis(distance, order, axis=1), np.take_along_axis(found.row, order, axis=1), statistics
    )


def _compare(
    full: Float32s, vectors: Float32s, slots: UInt32s, metric: int, kernels: Kernels, distance: Float32s
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if metric == L2:
            apart = vectors[slots] - full
            np.einsum("ij,ij->i", apart, apart, out=distance)
        else:
            kernels.compare_rows(full, vectors, slots, distance)
            np.subtract(np.float32(1 if metric == COSINE else 0), distance, out=distance)
            if metric == COSINE:
                np.maximum(distance, np.float32(0), out=distance)
    settled(distance)
