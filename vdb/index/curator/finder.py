"""Finds the live row of a pid: by binary search among the rows of the layout and those that ascend after it.

New points have the highest pids, so late rows usually ascend; of a replaced point the newest row is in a dict.
"""

import numpy as np

from vdb.index.curator.state import ALIVE, Rows
from vdb.kernels.reference import Int64s, UInt32s


class Finder:
    """Used by the writer alone. 4 bytes per laid row, nothing per new point, some 100 bytes per replaced one."""

    def __init__(self, rows: Rows) -> None:
        self._by_pid = np.argsort(rows.pids[: rows.n_laid], kind="stable").astype(np.uint32)
        self._sorted = rows.pids[: rows.n_laid][self._by_pid]
        self._n_run = 0
        self._others: dict[int, int] = {}

    @property
    def nbytes(self) -> int:
        return self._by_pid.nbytes + self._sorted.nbytes + 100 * len(self._others)

    def find(self, rows: Rows, pids: UInt32s) -> Int64s:
        """Live rows, −1 where there is none."""
        found = np.full(len(pids), -1, np.int64)
        if len(self._sorted):
            places = np.minimum(np.searchsorted(self._sorted, pids), len(self._sorted) - 1)
            found = np.where(self._sorted[places] == pids, self._by_pid[places].astype(np.int64), found)
        run = rows.pids[rows.n_laid : rows.n_laid + self._n_run]
        if len(run):
            places = np.minimum(np.searchsorted(run, pids), len(run) - 1)
            found = np.where(run[places] == pids, rows.n_laid + places, found)
        if self._others:
            get = self._others.get
            found = np.array([get(pid, row) for pid, row in zip(pids.tolist(), found.tolist(), strict=True)], np.int64)
        return np.where((found >= 0) & (rows.dead_at[found] == ALIVE), found, -1)

    def add(self, rows: Rows, first: int, stop: int) -> None:
        """Enter late rows [first, stop)."""
        pids = rows.pids[max(rows.n_laid, first - 1) : stop].astype(np.int64)
        is_next = self._n_run == first - rows.n_laid and bool(np.all(pids[1:] > pids[:-1]))
        if is_next and (first > rows.n_laid or not len(self._sorted) or pids[0] > self._sorted[-1]):
            self._n_run = stop - rows.n_laid
        else:
            self._others.update(zip(rows.pids[first:stop].tolist(), range(first, stop), strict=True))
