"""Larger arrays of rows, and expiries as they hold them."""

from dataclasses import replace

import numpy as np

from vdb.index.curator.state import Rows
from vdb.kernels.reference import Int64s, UInt32s


def grown(rows: Rows, capacity: int) -> Rows:
    """The rows in arrays of `capacity`; whoever holds the old ones keeps them."""

    def enlarged(values: np.ndarray, n: int) -> np.ndarray:
        larger = np.empty((n, *values.shape[1:]), values.dtype)
        larger[: len(values)] = values
        return larger

    return replace(
        rows,
        codes=enlarged(rows.codes, capacity),
        offsets=enlarged(rows.offsets, capacity) if len(rows.offsets) else rows.offsets,
        pids=enlarged(rows.pids, capacity),
        slots=enlarged(rows.slots, capacity),
        owners=enlarged(rows.owners, capacity),
        cells=enlarged(rows.cells, capacity),
        dead_at=enlarged(rows.dead_at, capacity),
        added_at=enlarged(rows.added_at, capacity - rows.n_laid),
        expires_at=enlarged(rows.expires_at, capacity) if len(rows.expires_at) else rows.expires_at,
    )


def seconds_of(expires_at_ms: Int64s) -> UInt32s:
    """Epoch seconds, rounded up: a row is never taken for expired before it is. 0 stays never."""
    return np.minimum(-(-expires_at_ms // 1000), 0xFFFF_FFFF).astype(np.uint32)
