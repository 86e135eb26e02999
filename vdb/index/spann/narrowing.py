"""Readings narrowed to the rows that a filter allows: temporary ones, over the layout and what came after it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator import narrowing as late_narrowing
from vdb.index.curator.layout import cut
from vdb.index.curator.state import (
    LIST_FIRST,
    LIST_STOP,
    N_SPANS,
    NO_PLACES,
    NOTHING,
    OWN_FIRST,
    OWN_STOP,
    Reading,
)
from vdb.index.spann.layout import ENTRY_ROWS, LIST_WHOLE, OWN_WHOLE
from vdb.index.spann.state import NO_ROW, Laid, State
from vdb.kernels import current
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import UInt8s, UInt32s
from vdb.kernels.tables import Table
from vdb.types import EVERYONE_ID


@dataclass(frozen=True, slots=True, eq=False)
class Narrowed:
    """What a search reads in place of a tenant's readings and everyone's: tables over the layout, readings of late
    rows. `n_rows` are named, dead ones included."""

    tables: tuple[Table, Table]
    late: tuple[Reading, Reading]
    n_laid: int
    n_late: int
    nbytes: int

    @property
    def n_rows(self) -> int:
        return self.n_laid + self.n_late


def narrowed(state: State, tenant: int, flags: UInt8s) -> Narrowed:
    """The rows whose pid has 1 in `flags` uint8 (pids,), whose last is 0 and stands for all beyond."""
    laid, late = state.laid, state.late
    pids = np.flatnonzero(flags[: len(laid.row_of_pid)])
    rows = laid.row_of_pid[pids]
    rows = np.sort(rows[rows != NO_ROW])
    is_allowed = np.zeros(laid.n_rows + 1, np.bool_)
    is_allowed[rows] = True
    found = [_narrowed(laid, laid.reading(of), rows, is_allowed) for of in (tenant, EVERYONE_ID)]
    readings = [
        late_narrowing.narrowed(late.reading(of), late.rows, late.model, flags, current())
        for of in (tenant, EVERYONE_ID)
    ]
    n_laid, n_late = sum(reading.n_rows for reading in found), sum(reading.n_rows for reading in readings)
    nbytes = sum(reading.nbytes for reading in (*found, *readings))
    tables = laid.table_of(found[0]), laid.table_of(found[1])
    return Narrowed(tables, (readings[0], readings[1]), n_laid, n_late, nbytes)


def n_seen(state: State, tenant: int, sequence: int, now_ms: int) -> int:
    """How many rows the tenant's reading and everyone's show at `sequence` and `now_ms`, each once.

    Of the layout expired rows count until they are purged: when a row expires its page says.
    """
    laid, late = state.laid, state.late
    named = [NO_PLACES]
    for of in (tenant, EVERYONE_ID):
        spans = laid.reading(of).spans
        listed = laid.directories.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
        named += np.arange(spans[OWN_FIRST], spans[OWN_STOP], dtype=np.uint32), listed[listed < laid.n_rows]
    is_named = np.zeros(laid.n_rows, np.bool_)
    is_named[np.concatenate(named)] = True
    pids = np.flatnonzero(laid.ended_at)
    gone = pids[laid.ended_at[pids] <= sequence - laid.base_sequence + 1]
    rows = laid.row_of_pid[gone]
    is_named[rows[rows != NO_ROW]] = False
    both = [late.reading(of) for of in (tenant, EVERYONE_ID)]
    seen = late_narrowing.rows_seen(both, late.rows, sequence, now_ms)
    twins = laid.rows_of(late.rows.pids[seen])
    is_twin = np.zeros(len(seen), np.bool_)
    known = np.flatnonzero(twins != NO_ROW)
    is_twin[known] = is_named[twins[known]]
    return int(np.count_nonzero(is_named)) + len(seen) - int(np.count_nonzero(is_twin))


def _narrowed(laid: Laid, reading: Reading, rows: UInt32s, is_allowed: NDArray[np.bool_]) -> Reading:
    spans = reading.spans
    own = rows[np.searchsorted(rows, spans[OWN_FIRST]) : np.searchsorted(rows, spans[OWN_STOP])]
    listed = reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
    listed = listed[is_allowed[np.minimum(listed, np.uint32(laid.n_rows))]]  # revoked ones lie beyond
    found = np.concatenate((own, listed)) if len(listed) else own
    if not len(found):
        return NOTHING
    if len(listed):
        found = distinct(found)
        found = found[np.lexsort((found, laid.cells[found]))]
    spans = np.zeros((1, N_SPANS), np.int64)
    spans[0, LIST_STOP] = len(found)
    bounds = ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE
    made = cut(laid.model, NO_PLACES, spans, np.ascontiguousarray(found), laid.cells, current(), bounds)
    return Reading(made.spans[0], made.entries, made.listed, NO_PLACES)
