"""Changes of one reading: a tail that rows are appended to, the fold that merges it into the list, revoked places."""

import numpy as np

from vdb.index.curator.layout import ENTRY_ROWS, LIST_WHOLE, OWN_WHOLE
from vdb.index.curator.model import Model
from vdb.index.curator.state import (
    ENTRIES_FIRST,
    LIST_FIRST,
    LIST_STOP,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
    Reading,
    Rows,
)
from vdb.kernels import Kernels
from vdb.kernels.reference import Int64s, UInt32s

LEAST_TAIL, MOST_TAIL = 64, 1_024
TAIL_SHARE = 1 / 16
"""A tail is always scanned: up to this share of the reading's rows, within these bounds."""


def tail_limit(n_rows: int) -> int:
    return int(min(max(n_rows * TAIL_SHARE, LEAST_TAIL), MOST_TAIL))


def should_fold(reading: Reading) -> bool:
    n_tail = int(reading.spans[N_TAIL])
    return n_tail > tail_limit(reading.n_rows - n_tail)


def appended(reading: Reading, rows: UInt32s) -> Reading:
    """The reading with rows at the end of its tail; in spare room where there is some."""
    n_tail = int(reading.spans[N_TAIL])
    n = n_tail + len(rows)
    tail = reading.tail
    if n > len(tail):
        tail = np.empty(max(n, 2 * len(tail), 16), np.uint32)
        tail[:n_tail] = reading.tail[:n_tail]
    tail[n_tail:n] = rows
    return reading.with_tail(tail, n)


def folded(reading: Reading, model: Model, rows: Rows, sequence: int, kernels: Kernels) -> Reading:
    """The reading with its tail merged into a list of its own; rows dead by `sequence` and revoked ones are dropped."""
    spans = reading.spans.copy()
    tail = reading.tail[: spans[N_TAIL]]
    places = tail & ~np.uint32(REVOKED)
    tail = tail[np.lexsort((places, rows.cells[places]))]
    merged = np.empty(int(spans[LIST_STOP] - spans[LIST_FIRST]) + len(tail), np.uint32)
    n = kernels.fold(
        reading.listed, int(spans[LIST_FIRST]), int(spans[LIST_STOP]), tail, rows.cells, rows.dead_at, sequence, merged
    )
    own = reading.entries[:, spans[ENTRIES_FIRST] : spans[ENTRIES_FIRST] + spans[OWN_ENTRIES]]
    mine = np.zeros((1, len(spans)), np.int64)
    mine[0, LIST_STOP] = n
    how = (merged, rows.cells, model.children, *model.cell_ranges, ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE)
    room = np.empty((2, n), np.uint32)  # an entry holds a row at least
    entries = np.concatenate((own, room[:, : kernels.cut_entries(mine, *how, room)]), axis=1)
    mine[0, OWN_FIRST], mine[0, OWN_STOP], mine[0, OWN_ENTRIES] = spans[OWN_FIRST], spans[OWN_STOP], own.shape[1]
    return Reading(mine[0], entries, merged, np.empty(0, np.uint32))


def revoked(reading: Reading, rows: Rows, gone: UInt32s) -> list[tuple[UInt32s, int, Int64s]]:
    """Mark the places of rows in the reading's list and tail; what is not there is left alone.

    Returns the arrays that were written to, where the reading's part of each begins, and the places int64.
    """
    first, stop = int(reading.spans[LIST_FIRST]), int(reading.spans[LIST_STOP])
    n_tail = int(reading.spans[N_TAIL])
    in_tail = np.flatnonzero(np.isin(reading.tail[:n_tail], gone))
    reading.tail[in_tail] |= np.uint32(REVOKED)
    marked = [(reading.tail, 0, in_tail)]
    if stop > first and len(gone):
        listed = reading.listed[first:stop]
        places = listed & np.uint32(REVOKED - 1)
        keys = (rows.cells[places].astype(np.uint64) << np.uint64(32)) | places
        wanted = (rows.cells[gone].astype(np.uint64) << np.uint64(32)) | gone
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        at = at[places[at] == gone]
        listed[at] |= np.uint32(REVOKED)
        marked.append((reading.listed, first, at + first))
    return marked
