"""Lays an index out anew while it serves: dead rows go, late rows find their place, every reading is cut again.

The writer takes a `Moment` under its lock; all else happens beside it. What is written meanwhile is in the index's log
and is done again on the successor, in its order, so both give new rows the same slots.
"""

from dataclasses import dataclass

import numpy as np

from vdb.index.curator.layout import Unordered, lay_out
from vdb.index.curator.model import Model
from vdb.index.curator.state import (
    ALIVE,
    LIST_FIRST,
    LIST_STOP,
    N_TAIL,
    NO_PLACES,
    Bools,
    Directories,
    Pairs,
    Reading,
    Rows,
    State,
)
from vdb.index.kmeans import Check, unasked
from vdb.kernels import Kernels
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import Float32s, UInt8s, UInt32s

CODED_ROWS = 4_096
"""Rows that are coded before it is asked whether to go on."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An index as it stood at `sequence`: `n_rows` of its rows, the slots it had to give out, and the readings that had
    changed."""

    state: State
    n_rows: int
    n_slots: int
    free_slots: UInt32s
    changed: dict[int, Reading]
    sequence: int

    @property
    def is_kept(self) -> Bools:
        """Which of the rows somebody may still see at `sequence` or later; what ends meanwhile does not change it."""
        rows = self.state.rows
        return rows.dead_at[: self.n_rows] > self.sequence - rows.base_sequence

    @property
    def ended_slots(self) -> UInt32s:
        """Slots of the other rows."""
        return self.state.rows.slots[: self.n_rows][~self.is_kept]


def laid_out_anew(
    moment: Moment, model: Model, cells: UInt32s | None, is_recoded: bool, kernels: Kernels, check: Check = unasked
) -> tuple[Rows, Directories]:
    """The rows that somebody may still see from `moment.sequence` on, in a new layout whose base that is.

    `cells` uint32 (n_rows,) are the rows' cells in `model`, None where they are known; all are found anew with
    `is_recoded`, as are the codes.
    """
    rows = moment.state.rows
    n = moment.n_rows
    is_kept = moment.is_kept
    kept = np.flatnonzero(is_kept)
    if is_recoded:
        codes, offsets, its_cells = coded(model, moment.state.vectors, rows.slots[kept], kernels, check)
    else:
        codes, offsets = rows.codes[kept], rows.offsets[kept] if len(rows.offsets) else rows.offsets
        its_cells = (rows.cells[:n] if cells is None else cells)[kept]
    given = Unordered(
        codes=codes,
        offsets=offsets,
        pids=rows.pids[kept],
        slots=rows.slots[kept],
        owners=rows.owners[kept],
        cells=its_cells,
        dead_at=np.full(len(kept), ALIVE, np.uint32),  # what ended since is in the log, and ends again in its turn
        expires_at=rows.expires_at[kept] if len(rows.expires_at) else NO_PLACES,
    )
    place = np.zeros(n, np.uint32)
    place[kept] = np.arange(len(kept), dtype=np.uint32)
    check()
    tenants, granted = _granted(moment, is_kept, place, kernels)
    check()
    return lay_out(model, given, tenants, granted, moment.sequence, kernels, check)


def coded(
    model: Model, vectors: Float32s, slots: UInt32s, kernels: Kernels, check: Check = unasked
) -> tuple[UInt8s, Float32s, UInt32s]:
    """Codes, offsets and cells of the prepared vectors in `slots`, read a block at a time."""
    codes = np.empty((len(slots), model.encoding.row_bytes), np.uint8)
    cells = np.empty(len(slots), np.uint32)
    offsets = [np.zeros(0, np.float32)]
    for first in range(0, len(slots), CODED_ROWS):
        check()
        block = vectors[slots[first : first + CODED_ROWS]]
        here = slice(first, first + CODED_ROWS)
        codes[here], its_offsets, cells[here] = model.place_rows(block, kernels)
        offsets.append(its_offsets)
    return codes, np.concatenate(offsets), cells


def _granted(moment: Moment, is_kept: Bools, place: UInt32s, kernels: Kernels) -> tuple[UInt32s, Pairs]:
    """What each tenant sees beside its own, by the rows' new numbers."""
    directories, changed = moment.state.directories, moment.changed
    tenants = distinct(np.append(directories.tenants, np.fromiter(changed, np.uint32, len(changed))))
    lists = _lists(directories, changed, tenants)
    named = np.empty(sum(stop - first + len(tail) for _, first, stop, tail in lists), np.uint32)
    is_late = np.zeros(moment.n_rows, np.bool_)
    starts = np.zeros(len(tenants) + 1, np.int64)
    n = 0
    for i, (tenant, its_list) in enumerate(zip(tenants.tolist(), lists, strict=True)):
        n += kernels.name_rows(tenant, *its_list, is_kept, moment.state.rows.owners, place, is_late, named[n:])
        starts[i + 1] = n
    held = starts[1:] > starts[:-1]
    return tenants[held], (np.append(starts[:-1][held], n), named[:n])


def _lists(
    directories: Directories, changed: dict[int, Reading], tenants: UInt32s
) -> list[tuple[UInt32s, int, int, UInt32s]]:
    """Of each tenant an array of rows, where its list lies in it, and the tail."""
    first, stop = directories.spans[:, LIST_FIRST].tolist(), directories.spans[:, LIST_STOP].tolist()
    laid = dict(zip(directories.tenants.tolist(), zip(first, stop, strict=True), strict=True))
    found = []
    for tenant in tenants.tolist():
        reading = changed.get(tenant)
        if reading is None:
            found.append((directories.listed, *laid[tenant], NO_PLACES))
        else:
            spans = reading.spans
            its_list = reading.listed, int(spans[LIST_FIRST]), int(spans[LIST_STOP])
            found.append((*its_list, reading.tail[: spans[N_TAIL]]))
    return found
