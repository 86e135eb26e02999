"""A graph beside the rows of a large partition, made and filled on another thread, never in the way of the rest.

Rows that began or ended since the graph was told of them are *late*: noted by the writer, scanned by every search, and
told to the graph a few hundred at a time. A search takes the late rows before it asks the graph, so none falls
between. The graph may return rows that have ended or were used again, as codes may: whoever searches compares stamps
and vectors.

When half of a graph is rows that were dropped, another is built beside it. Where one fails, codes are scanned.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from vdb.cache.candidates import Graph, Indexes
from vdb.cache.rows import Rows
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import Float32s, UInt32s

log = logging.getLogger(__name__)

FILLED_FROM_LATE: Final = 256
"""So many late rows have the graph's thread started."""
BLOCK_ROWS: Final = 256
ROOM: Final = 1.25
"""Of a new graph, times the rows that there are."""
SCANNED_FROM_LATE: Final = 0.25
"""Share of late rows from which all rows are scanned at once."""
SCAN_S_PER_ROW: Final = 3.5e-9
"""What a scan takes: a search waits no longer than that for a graph that is being filled."""


class Late:
    """Rows in the order in which they changed, some of them more than once. One writer; readers take `n` first."""

    __slots__ = ("n", "rows")

    def __init__(self, rows: UInt32s) -> None:
        self.n = len(rows)
        self.rows = rows

    def note(self, row: int) -> None:
        if self.n == len(self.rows):
            self.rows = np.concatenate((self.rows, np.empty(max(self.n, FILLED_FROM_LATE), np.uint32)))
        self.rows[self.n] = row
        self.n += 1

    def first(self, n: int) -> UInt32s:
        return self.rows[:n]

    def after(self, n: int) -> "Late":
        return Late(self.rows[n : self.n].copy())


class GraphKeeper:
    """`note` is called with the partition's lock, `candidates` with none. Ended by `close`."""

    def __init__(self, rows: Rows, indexes: Indexes, lock: threading.Lock) -> None:
        """With the lock; `indexes` have a graph."""
        assert indexes.make_graph is not None
        self._rows = rows
        self._make: Final[Callable[[int, int], Graph]] = indexes.make_graph
        self._beside: Final = indexes.beside
        self._lock: Final = lock
        self._view: tuple[Graph | None, Late] = None, Late(np.empty(0, np.uint32))
        self._told: UInt32s = np.zeros(0, np.uint32)
        """The stamp of each row when the graph was told of it."""
        self._is_filling = True
        self._is_over = False
        self._beside(self._fill)

    @property
    def nbytes(self) -> int:
        """About the bytes of the graph."""
        graph = self._view[0]
        return 0 if graph is None else graph.nbytes + self._told.nbytes

    @property
    def is_filling(self) -> bool:
        """Whether its thread is at work."""
        return self._is_filling

    def close(self) -> None:
        """With the lock: the graph goes, and its thread ends soon."""
        self._is_over = True
        self._view = None, Late(np.empty(0, np.uint32))

    def moved(self, rows: Rows) -> None:
        """With the lock: the rows are in these arrays now, in their places."""
        self._rows = rows

    def note(self, row: int) -> None:
        """With the lock: a row has begun or ended."""
        if self._is_over:
            return
        late = self._view[1]
        late.note(row)
        if late.n >= FILLED_FROM_LATE and not self._is_filling:
            self._is_filling = True
            self._beside(self._fill)

    def candidates(self, rows: Rows, query: Float32s, m: int) -> UInt32s | None:
        """About the `m` nearest of `rows`, and late ones; None where a scan of all is better."""
        graph, late = self._view
        n_late = late.n
        if graph is None or rows.codes is None or n_late > SCANNED_FROM_LATE * rows.stop:
            return None
        near = graph.nearest(query, m, SCAN_S_PER_ROW * rows.stop)
        if near is None:
            return None
        if n_late:
            changed = _within(rows, distinct(late.first(n_late)))
            near = distinct(np.concatenate((near, rows.codes.nearest(query, changed, rows.stamps, m))))
        return _within(rows, near)

    # On the thread beside

    def _fill(self) -> None:
        try:
            while self._fill_once():
                pass
        except Exception:  # a partition does without its graph; the thread must not end in silence
            log.warning("the graph of a partition failed: its codes are scanned", exc_info=True)
            with self._lock:
                self.close()
                self._is_filling = False

    def _fill_once(self) -> bool:
        """Tell the graph what is late, or build one; whether there may be more to do."""
        with self._lock:
            rows, (graph, late) = self._rows, self._view
            n_late = late.n
            if self._is_over or (graph is not None and n_late == 0):
                self._is_filling = False
                return False
        if graph is None or graph.n_dropped > graph.n_rows + BLOCK_ROWS:
            graph = self._make(rows.vectors.shape[1], int(ROOM * rows.n_live) + BLOCK_ROWS)
            told, changed = np.zeros(len(rows.stamps), np.uint32), rows.live()
        else:
            told, changed = np.zeros(len(rows.stamps), np.uint32), distinct(late.first(n_late))
            told[: len(self._told)] = self._told
        is_told = self._tell(graph, rows, changed, told)
        with self._lock:
            if not is_told:
                self.close()
            elif not self._is_over:
                self._told = told
                self._view = graph, late.after(n_late)
        return True

    def _tell(self, graph: Graph, rows: Rows, changed: UInt32s, told: UInt32s) -> bool:
        """Put and drop until the graph has these rows as they are; False where it or the process ends before.

        A row that a writer changes meanwhile is late again.
        """
        for first in range(0, len(changed), BLOCK_ROWS):
            if self._is_over or not threading.main_thread().is_alive():
                return False
            block = changed[first : first + BLOCK_ROWS]
            stamps = rows.stamps[block]
            block, stamps = block[stamps != told[block]], stamps[stamps != told[block]]
            is_live = stamps & 1 != 0
            graph.drop(block[~is_live])
            vectors = rows.vectors[block[is_live]]
            is_whole = rows.stamps[block[is_live]] == stamps[is_live]
            graph.put(block[is_live][is_whole], vectors[is_whole])
            told[block] = stamps
        return True


def _within(rows: Rows, named: UInt32s) -> UInt32s:
    """Without what came after these arrays."""
    return named[named < len(rows.stamps)]
