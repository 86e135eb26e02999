"""A reading narrowed to the rows that a filter allows: a temporary directory, cut along cells like any other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.layout import ENTRY_ROWS, LIST_WHOLE, OWN_WHOLE
from vdb.index.curator.model import Model
from vdb.index.curator.state import (
    LIST_FIRST,
    LIST_STOP,
    N_SPANS,
    N_TAIL,
    NO_ENTRIES,
    NO_PLACES,
    NOTHING,
    OWN_FIRST,
    OWN_STOP,
    Reading,
    Rows,
)
from vdb.kernels import Kernels
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import UInt32s


def n_seen(readings: Sequence[Reading], rows: Rows, sequence: int, now_ms: int) -> int:
    """How many rows the readings show at `sequence` and `now_ms`, each once."""
    return len(rows_seen(readings, rows, sequence, now_ms))


def rows_seen(readings: Sequence[Reading], rows: Rows, sequence: int, now_ms: int) -> UInt32s:
    """The rows that the readings show at `sequence` and `now_ms`, ascending, each once."""
    named = [NO_PLACES]
    for reading in readings:
        spans = reading.spans
        named.append(np.arange(spans[OWN_FIRST], spans[OWN_STOP], dtype=np.uint32))
        named += reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]], reading.tail[: spans[N_TAIL]]
    found = np.concatenate(named)
    found = distinct(found[found < rows.capacity])  # others are revoked
    since = sequence - rows.base_sequence
    is_seen = rows.dead_at[found] > since
    late = np.flatnonzero(found >= rows.n_laid)
    is_seen[late] &= rows.added_at[found[late] - rows.n_laid] <= since
    if len(rows.expires_at):
        ends = rows.expires_at[found]
        is_seen &= (ends == 0) | (ends > now_ms // 1000)
    seen: UInt32s = found[is_seen]
    return seen


def narrowed(reading: Reading, rows: Rows, model: Model, allowed: NDArray[np.uint8], kernels: Kernels) -> Reading:
    """The rows of `reading` whose pid has 1 in `allowed` uint8 (pids,), whose last is 0 and stands for all beyond."""
    spans = reading.spans
    first, stop = int(spans[OWN_FIRST]), int(spans[OWN_STOP])
    own = np.flatnonzero(_among(allowed, rows.pids[first:stop])).astype(np.uint32) + np.uint32(first)
    listed = reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
    shared = np.concatenate((listed, reading.tail[: spans[N_TAIL]]))
    shared = shared[shared < rows.capacity]  # others are revoked
    shared = shared[_among(allowed, rows.pids[shared])]
    found = np.concatenate((own, shared)) if len(shared) else own
    if len(found) == 0:
        return NOTHING
    spans = np.zeros((1, N_SPANS), np.int64)
    spans[0, LIST_STOP] = len(found)
    if len(found) <= LIST_WHOLE:
        return Reading(spans[0], NO_ENTRIES, found, NO_PLACES)
    if len(shared):  # the run, the list and the tail are each in their own order
        found = found[np.lexsort((found, rows.cells[found]))]
    how = (found, rows.cells, model.children, *model.cell_ranges, ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE)
    entries = np.empty((2, kernels.cut_entries(spans, *how, NO_ENTRIES)), np.uint32)
    kernels.cut_entries(spans, *how, entries)
    return Reading(spans[0], entries, found, NO_PLACES)


def _among(allowed: NDArray[np.uint8], pids: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.take(allowed, pids, mode="clip").view(np.bool_)
