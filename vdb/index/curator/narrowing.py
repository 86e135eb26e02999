"""A reading narrowed to the rows that a filter allows: a temporary directory, cut along cells like any other."""

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


def narrowed(reading: Reading, rows: Rows, model: Model, allowed: NDArray[np.uint8], kernels: Kernels) -> Reading:
    """The rows of `reading` whose pid has 1 in `allowed` uint8 (pids,); pids beyond it are not allowed."""
    spans = reading.spans
    own = np.arange(spans[OWN_FIRST], spans[OWN_STOP], dtype=np.uint32)
    listed = reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
    found = np.concatenate((own, listed, reading.tail[: spans[N_TAIL]]))
    found = found[found < rows.capacity]  # others are revoked
    pids = rows.pids[found]
    if len(pids) and int(pids.max()) >= len(allowed):
        is_known = pids < len(allowed)
        found, pids = found[is_known], pids[is_known]
    found = found[allowed[pids] != 0]
    if len(found) == 0:
        return NOTHING
    spans = np.zeros((1, N_SPANS), np.int64)
    spans[0, LIST_STOP] = len(found)
    if len(found) <= LIST_WHOLE:
        return Reading(spans[0], NO_ENTRIES, found, NO_PLACES)
    if len(own) < reading.n_rows:  # the run, the list and the tail are each in their own order
        found = found[np.lexsort((found, rows.cells[found]))]
    how = (found, rows.cells, model.children, *model.cell_ranges, ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE)
    entries = np.empty((kernels.cut_entries(spans, *how, NO_ENTRIES), 3), np.uint32)
    kernels.cut_entries(spans, *how, entries)
    return Reading(spans[0], entries, found, NO_PLACES)
