"""Finds the live row of a pid: by binary search among the rows of the layout, those that ascend after it, and the rest.

New points have the highest pids, so late rows ascend until a point is replaced. What comes from then on is in a small
dict, which is emptied into sorted blocks; a block that is not much larger than the next is merged with it.
"""

import numpy as np

from vdb.index.curator.state import ALIVE, Rows
from vdb.kernels.reference import Int64s, UInt32s

MOST_LOOSE = 1_024
"""Pids in the dict, of some 100 bytes each."""
MERGED = 4
"""A block is merged with a later one until it has more than this many times its pids: there are few, and each pid is
moved a few times."""


class Finder:
    """Used by the writer alone. 8 bytes per laid row, nothing per new point until one is replaced, then 8 per point."""

    def __init__(self, rows: Rows) -> None:
        self._by_pid = np.argsort(rows.pids[: rows.n_laid], kind="stable").astype(np.uint32)
        self._sorted = rows.pids[: rows.n_laid][self._by_pid]
        self._n_run = 0
        self._blocks: list[tuple[UInt32s, UInt32s]] = []
        self._loose: dict[int, int] = {}

    @property
    def laid(self) -> tuple[UInt32s, UInt32s]:
        """Pids of the layout, ascending, and their rows; never written to, so that readers may use them."""
        return self._sorted, self._by_pid

    @property
    def nbytes(self) -> int:
        in_blocks = sum(pids.nbytes + rows.nbytes for pids, rows in self._blocks)
        return self._by_pid.nbytes + self._sorted.nbytes + in_blocks + 100 * len(self._loose)

    def find(self, rows: Rows, pids: UInt32s) -> Int64s:
        """Live rows, −1 where there is none."""
        found = np.full(len(pids), -1, np.int64)
        run = rows.pids[rows.n_laid : rows.n_laid + self._n_run]
        for known, its_rows in ((self._sorted, self._by_pid), (run, None), *self._blocks):
            if len(known):
                places = np.minimum(np.searchsorted(known, pids), len(known) - 1)
                there = rows.n_laid + places if its_rows is None else its_rows[places].astype(np.int64)
                found = np.where(known[places] == pids, there, found)
        if self._loose:
            get = self._loose.get
            found = np.array([get(pid, row) for pid, row in zip(pids.tolist(), found.tolist(), strict=True)], np.int64)
        return np.where((found >= 0) & (rows.dead_at[found] == ALIVE), found, -1)

    def add(self, rows: Rows, first: int, stop: int) -> None:
        """Enter late rows [first, stop)."""
        pids = rows.pids[max(rows.n_laid, first - 1) : stop].astype(np.int64)
        is_next = self._n_run == first - rows.n_laid and bool(np.all(pids[1:] > pids[:-1]))
        if is_next and (first > rows.n_laid or not len(self._sorted) or pids[0] > self._sorted[-1]):
            self._n_run = stop - rows.n_laid
            return
        self._loose.update(zip(rows.pids[first:stop].tolist(), range(first, stop), strict=True))
        if len(self._loose) > MOST_LOOSE:
            self._settle()

    def _settle(self) -> None:
        """Empty the dict into a block. Of a pid that is in several the newest row stays."""
        n = len(self._loose)
        pids, rows = np.fromiter(self._loose, np.uint32, n), np.fromiter(self._loose.values(), np.uint32, n)
        self._loose = {}
        while self._blocks and len(self._blocks[-1][0]) <= MERGED * len(pids):
            earlier_pids, earlier_rows = self._blocks.pop()
            pids, rows = np.concatenate((earlier_pids, pids)), np.concatenate((earlier_rows, rows))
        order = np.argsort(pids, kind="stable")
        pids, rows = pids[order], rows[order]
        is_newest = np.append(pids[1:] != pids[:-1], True)
        self._blocks.append((pids[is_newest], rows[is_newest]))
