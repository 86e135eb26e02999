"""Lays an index out anew while it serves: dead rows go, late rows find their place, every reading is cut again.

The writer takes a `Moment` under its lock; all else happens beside it. What is written meanwhile is in the index's log
and is done again on the successor, in its order, so both give new rows the same slots.
"""

from dataclasses import dataclass

import numpy as np

from vdb.index.curator.layout import Unordered, lay_out
from vdb.index.curator.model import BLOCK_ROWS, Model
from vdb.index.curator.state import (
    ALIVE,
    LIST_FIRST,
    LIST_STOP,
    N_TAIL,
    NO_PLACES,
    REVOKED,
    Bools,
    Directories,
    Pairs,
    Reading,
    Rows,
    State,
)
from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An index as it stood at `sequence`: `n_rows` of its rows, and the readings that had changed."""

    state: State
    n_rows: int
    n_slots: int
    changed: dict[int, Reading]
    sequence: int


def laid_out_anew(
    moment: Moment, model: Model, cells: UInt32s | None, is_recoded: bool, kernels: Kernels
) -> tuple[Rows, Directories]:
    """The rows that somebody may still see from `moment.sequence` on, in a new layout whose base that is.

    `cells` uint32 (n_rows,) are the rows' cells in `model`, None where they are known; all are found anew with
    `is_recoded`, as are the codes.
    """
    rows = moment.state.rows
    n = moment.n_rows
    since = moment.sequence - rows.base_sequence
    is_kept = rows.dead_at[:n] > since
    kept = np.flatnonzero(is_kept)
    if is_recoded:
        codes, offsets, its_cells = coded(model, moment.state.vectors, rows.slots[kept], kernels)
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
    tenants, granted = _granted(moment, is_kept, place)
    return lay_out(model, given, tenants, granted, moment.sequence, kernels)


def coded(model: Model, vectors: Float32s, slots: UInt32s, kernels: Kernels) -> tuple[UInt8s, Float32s, UInt32s]:
    """Codes, offsets and cells of the prepared vectors in `slots`, read a block at a time."""
    codes = np.empty((len(slots), model.encoding.row_bytes), np.uint8)
    cells = np.empty(len(slots), np.uint32)
    offsets = [np.zeros(0, np.float32)]
    for first in range(0, len(slots), BLOCK_ROWS):
        block = vectors[slots[first : first + BLOCK_ROWS]]
        codes[first : first + BLOCK_ROWS], its_offsets = model.encode_rows(block)
        cells[first : first + BLOCK_ROWS] = model.cells_of(block, kernels)
        offsets.append(its_offsets)
    return codes, np.concatenate(offsets), cells


def _granted(moment: Moment, is_kept: Bools, place: UInt32s) -> tuple[UInt32s, Pairs]:
    """What each tenant sees beside its own, by the rows' new numbers."""
    directories = moment.state.directories
    owners = moment.state.rows.owners
    of_pair, pairs = _unchanged(directories, np.fromiter(moment.changed, np.uint32, len(moment.changed)))
    parts = [pairs]
    changed = sorted(moment.changed)
    for tenant in changed:
        parts.append(listed_rows(moment.changed[tenant]))
    tenant_of = np.concatenate(
        [directories.tenants[of_pair], np.repeat(np.array(changed, np.uint32), [len(part) for part in parts[1:]])]
    )
    rows = np.concatenate(parts)
    rows = rows[is_known := rows < moment.n_rows]
    tenant_of = tenant_of[is_known]
    is_granted = is_kept[rows] & (owners[rows] != tenant_of)
    rows, tenant_of = rows[is_granted], tenant_of[is_granted]
    order = np.argsort(tenant_of, kind="stable")
    tenants, n_pairs = np.unique(tenant_of, return_counts=True)
    starts = np.zeros(len(tenants) + 1, np.int64)
    np.cumsum(n_pairs, out=starts[1:])
    return tenants.astype(np.uint32), (starts, place[rows[order]])


def _unchanged(directories: Directories, changed: UInt32s) -> tuple[Int64s, UInt32s]:
    """The laid lists of tenants not in `changed`: which tenant (its place) each row belongs to, and the rows."""
    first, stop = directories.spans[:, LIST_FIRST], directories.spans[:, LIST_STOP]
    n_rows = np.where(np.isin(directories.tenants, changed), 0, stop - first)
    of_pair = np.repeat(np.arange(len(n_rows)), n_rows)
    starts = np.cumsum(n_rows) - n_rows
    places = np.arange(int(n_rows.sum())) - np.repeat(starts - first, n_rows)
    rows = directories.listed[places]
    is_seen = (rows & np.uint32(REVOKED)) == 0
    return of_pair[is_seen], rows[is_seen]


def listed_rows(reading: Reading) -> UInt32s:
    """Rows of a reading's list and tail that are not revoked, each once."""
    spans = reading.spans
    rows = np.concatenate((reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]], reading.tail[: spans[N_TAIL]]))
    return np.unique(rows[(rows & np.uint32(REVOKED)) == 0])
