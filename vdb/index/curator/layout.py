"""Lays rows out anew: (owner, cell, sharing list), and every tenant's reading over them, cut at tree nodes.

Input are rows in any order, what each tenant is granted of them, and the cell of each. Nothing is decoded or compared:
codes move as they are.
"""

from dataclasses import dataclass

import numpy as np

from vdb.index.curator.model import Model
from vdb.index.curator.state import (
    LIST_FIRST,
    LIST_STOP,
    N_SPANS,
    NO_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    Directories,
    Pairs,
    Rows,
)
from vdb.index.kmeans import Check, unasked
from vdb.kernels import Kernels
from vdb.kernels.distinct import distinct, is_first
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.types import Metric

ENTRY_ROWS = 16
"""Rows of a reading that an entry holds at most, unless its node is a leaf. Measured on arXiv grown to 120,000 rows,
100 tenants: with 64 a search for recall .99 takes 14 % longer, for more rows; with 8 a grant takes 4.6 bytes."""
OWN_WHOLE = 4_000
LIST_WHOLE = 2_000
"""Runs and lists up to this long have no entries: they are scanned whole."""

MOVED_ROWS = 65_536
"""Rows that are moved before it is asked whether to go on."""

SPARE_SHARE = 0.25
SPARE_ROWS = 1_024
"""Room for rows that arrive before the next layout; memory that is not written to is not taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Unordered:
    """Rows to lay out: arrays of n, as in `Rows`; expires_at (0,) where nothing expires."""

    codes: UInt8s
    offsets: Float32s
    pids: UInt32s
    slots: UInt32s
    owners: UInt32s
    cells: UInt32s
    dead_at: UInt32s
    expires_at: UInt32s


def lay_out(
    model: Model,
    given: Unordered,
    tenants: UInt32s,
    granted: Pairs,
    base_sequence: int,
    kernels: Kernels,
    check: Check = unasked,
) -> tuple[Rows, Directories]:
    """`tenants` ascending are those that `granted` is about: (t + 1,) starts and the rows of `given`, ascending."""
    starts, pairs = granted
    keys = np.zeros(len(given.pids), np.uint64)
    kernels.sharing_keys(starts, pairs, keys)
    check()
    order = np.lexsort((keys, given.cells, given.owners))
    rows = _ordered(given, order, base_sequence, model.metric is Metric.L2, check)
    place = np.empty(len(order), np.uint32)
    place[order] = np.arange(len(order), dtype=np.uint32)
    listed = np.empty(len(pairs), np.uint32)
    kernels.list_rows(starts, pairs, place, rows.cells, listed)
    check()
    everyone, spans = spans_of(rows.owners[: rows.n_laid], tenants, starts)
    return rows, cut(model, everyone, spans, listed, rows.cells, kernels)


def cut(
    model: Model,
    tenants: UInt32s,
    spans: Int64s,
    listed: UInt32s,
    cells: UInt32s,
    kernels: Kernels,
    bounds: tuple[int, int, int] | None = None,
) -> Directories:
    """The readings of `spans` (t, 9), whose runs and lists are known, with their entries.

    `bounds`: rows of an entry, and of a run and a list that have none, where they are not those of this module.
    """
    how = (listed, cells, model.children, *model.cell_ranges, *(bounds or (ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE)))
    entries = np.empty((2, kernels.cut_entries(spans, *how, NO_ENTRIES)), np.uint32)
    kernels.cut_entries(spans, *how, entries)
    return Directories(tenants, spans, entries, listed)


def room_for(n: int) -> int:
    """Capacity of the arrays of n laid rows."""
    return n + int(SPARE_SHARE * n) + SPARE_ROWS


def _ordered(given: Unordered, order: np.ndarray, base_sequence: int, has_offsets: bool, check: Check) -> Rows:
    n = len(order)
    capacity = room_for(n)

    def placed(values: np.ndarray) -> np.ndarray:
        room = np.empty((capacity, *values.shape[1:]), values.dtype)
        for first in range(0, n, MOVED_ROWS):
            check()
            here = slice(first, min(first + MOVED_ROWS, n))
            np.take(values, order[here], axis=0, out=room[here], mode="clip")  # "raise" would copy `out` first
        return room

    codes = placed(given.codes)
    return Rows(
        codes=codes,
        offsets=placed(given.offsets) if has_offsets else given.offsets,
        pids=placed(given.pids),
        slots=placed(given.slots),
        owners=placed(given.owners),
        cells=placed(given.cells),
        dead_at=placed(given.dead_at),
        added_at=np.empty(capacity - n, np.uint32),
        expires_at=placed(given.expires_at) if len(given.expires_at) else given.expires_at,
        n_laid=n,
        base_sequence=base_sequence,
    )


def spans_of(owners: UInt32s, grantees: UInt32s, starts: Int64s) -> tuple[UInt32s, Int64s]:
    """Tenants that own or are granted anything, and where: their run of rows and their part of the lists."""
    first = np.flatnonzero(is_first(owners))
    own = owners[first]
    tenants = distinct(np.append(own, grantees[starts[1:] > starts[:-1]]))
    spans = np.zeros((len(tenants), N_SPANS), np.int64)
    at = np.searchsorted(tenants, own)
    spans[at, OWN_FIRST] = first
    spans[at, OWN_STOP] = np.r_[first[1:], len(owners)][: len(first)]
    held = np.flatnonzero(starts[1:] > starts[:-1])
    at = np.searchsorted(tenants, grantees[held])
    spans[at, LIST_FIRST] = starts[held]
    spans[at, LIST_STOP] = starts[held + 1]
    return tenants, spans
