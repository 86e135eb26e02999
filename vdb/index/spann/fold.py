"""Folds what was written since a layout into the next one, while the index serves: SPFresh's splits and reassignments.

Ended rows go, late ones find their place, a list that has grown too long is split, and its rows that were left with a
head farther than the old one move to the list that is nearest now. Nothing is ever merged: small lists share pages.
The new generation is written front to back out of the old one's pages, since both have nearly the same order: no
vector is moved, no row is coded anew. In RAM are some 40 bytes per row meanwhile.
Source: SPFresh (arXiv 2410.14452) §3; a whole generation at a time instead of single lists, whose rows are not found
by number once lists in front of them grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import Model
from vdb.index.curator.state import LIST_FIRST, LIST_STOP, N_TAIL, OWN_FIRST, OWN_STOP, REVOKED, Pairs, Reading
from vdb.index.curator.training import bounded, grow
from vdb.index.kmeans import Check, unasked
from vdb.index.spann.giving_back import give_back
from vdb.index.spann.index import Moment, SpannIndex
from vdb.index.spann.layout import Numbers, lay_out
from vdb.index.spann.state import NO_ROW, SLOTS, Laid
from vdb.kernels import Kernels, current
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.storage.lists import Lists
from vdb.types import Metric

SPLIT_ROWS = 120
"""Rows from which a list is split; its parts hold `LIST_ROWS` at most."""
LIST_ROWS = 81
GROUP_BYTES = 128 << 20
"""Of vectors of full lists that are split together."""
BLOCK_ROWS = 2_048

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The index in its new layout, `n_rows` of which were late; lists split, and rows that went to another list;
    `ended_slots` uint32: slots that the old layout's or late rows had, and no row has now."""

    index: SpannIndex
    n_rows: int
    n_split: int
    n_moved: int
    ended_slots: UInt32s


def folded(index: SpannIndex, moment: Moment, lists: Lists, check: Check = unasked) -> Outcome:
    """The successor of `index` as of `moment`, in a new generation of `lists`; not on the writer's thread.

    Raises CorruptData for a damaged page, DiskFull, StorageFailure.
    """
    kernels = current()
    rows = _Rows(moment)
    check()
    kept = np.flatnonzero(rows.is_kept).astype(np.uint32)
    model, cells, n_split, n_moved = _rebalanced(rows, kept, kernels, check)
    owners = rows.owners[kept]
    tenants, granted = _granted(rows, kept)
    check()

    def fetch(places: UInt32s) -> tuple[UInt8s, Sequence[UInt32s]]:
        return rows.fetch(kept[places])

    written = lay_out(model, Numbers(owners, cells, tenants, granted), rows.has_expiry, fetch, lists, kernels, check)
    is_named = np.zeros(moment.n_slots, np.bool_)
    is_named[written.slots] = True
    before = moment.state.laid
    laid = Laid(
        model=model,
        pages=written.pages,
        directories=written.directories,
        vectors=moment.state.late.vectors,
        cells=written.cells,
        row_of_pid=written.row_of_pid,
        unnamed=np.flatnonzero(~is_named).astype(np.uint32),
        has_expiry=rows.has_expiry,
        spread=before.spread,
        base_sequence=moment.sequence,
    )
    ended = distinct(rows.slots_of(np.flatnonzero(~rows.is_kept).astype(np.uint32), check))
    ended = ended[~is_named[ended]]  # copies share the slot of their twin
    n_late = int(np.count_nonzero(kept >= rows.n_laid))
    return Outcome(index.successor(moment, laid), n_late, n_split, n_moved, ended)


class _Rows:
    """The rows of a layout, and behind them the late ones, as of a moment: owners, lists, and which somebody may still
    see. A late row that is a copy is not: it stands for its twin in the layout."""

    def __init__(self, moment: Moment) -> None:
        laid, late = moment.state.laid, moment.state.late.rows
        n, n_late = laid.n_rows, moment.n_late
        self.moment, self.n_laid = moment, n
        pids = np.flatnonzero(laid.row_of_pid != NO_ROW)
        since = moment.sequence - laid.base_sequence
        at = laid.ended_at[pids]
        laid_kept = np.zeros(n, np.bool_)
        laid_kept[laid.row_of_pid[pids]] = (at == 0) | (at > since + 1)
        spans = laid.directories.spans
        laid_owners = np.zeros(n, np.uint32)
        for tenant, first, stop in zip(
            laid.directories.tenants.tolist(), spans[:, OWN_FIRST].tolist(), spans[:, OWN_STOP].tolist(), strict=True
        ):
            laid_owners[first:stop] = tenant
        twins = laid.rows_of(late.pids[:n_late])
        is_copy = twins != NO_ROW
        is_copy[is_copy] = laid_kept[twins[is_copy]]
        late_kept = (late.dead_at[:n_late] > since) & ~is_copy
        self.standing_for = np.where(is_copy, twins, np.arange(n, n + n_late, dtype=np.uint32)).astype(np.uint32)
        self.is_kept: Bools = np.concatenate((laid_kept, late_kept))
        self.owners: UInt32s = np.concatenate((laid_owners, late.owners[:n_late]))
        self.cells: UInt32s = np.concatenate((laid.cells, late.cells[:n_late]))
        self.has_expiry = laid.has_expiry or bool(len(late.expires_at) and late.expires_at[:n_late].any())

    def fetch(self, rows: UInt32s) -> tuple[UInt8s, list[UInt32s]]:
        """Codes, and columns as pages of the new layout have them."""
        laid, late = self.moment.state.laid, self.moment.state.late.rows
        is_laid = rows < self.n_laid
        mine, others = rows[is_laid], rows[~is_laid] - np.uint32(self.n_laid)
        codes = np.empty((len(rows), laid.pages.shape.row_bytes), np.uint8)
        n_columns = 2 + (laid.model.metric is Metric.L2) + self.has_expiry
        columns = [np.zeros(len(rows), np.uint32) for _ in range(n_columns)]
        if len(mine):
            codes[is_laid], its_columns = laid.fetch(mine)
            for column, its in zip(columns, its_columns, strict=False):  # the old layout may have no expiries
                column[is_laid] = its
        if len(others):
            codes[~is_laid] = late.codes[others]
            its_columns = [late.pids, late.slots]
            its_columns += [late.offsets.view(np.uint32)] if len(late.offsets) else []
            its_columns += [late.expires_at] if len(late.expires_at) else []
            for column, its in zip(columns, its_columns, strict=False):
                column[~is_laid] = its[others]
        return codes, columns

    def slots_of(self, rows: UInt32s, check: Check) -> UInt32s:
        """Where the vectors of rows lie, in any order of rows."""
        slots = np.empty(len(rows), np.uint32)
        for first in range(0, len(rows), BLOCK_ROWS):
            check()
            here = slice(first, first + BLOCK_ROWS)
            slots[here] = self.fetch(rows[here])[1][SLOTS]
        return slots


def _rebalanced(rows: _Rows, kept: UInt32s, kernels: Kernels, check: Check) -> tuple[Model, UInt32s, int, int]:
    """The model with its full lists split, the list of each row that is kept, lists split, and rows moved."""
    model = rows.moment.state.laid.model
    vectors = rows.moment.state.late.vectors
    cells = rows.cells[kept]
    counts = np.bincount(cells, minlength=len(model.leaves))
    crowd = np.flatnonzero(counts[cells] > SPLIT_ROWS)
    if not len(crowd):
        return model, cells, 0, 0
    crowd = crowd[np.argsort(cells[crowd], kind="stable")]
    nodes = model.leaves[cells]
    n_before, centroid = len(model.leaves), model.centroid
    farther: list[Int64s] = []
    for begin, end in _groups(cells[crowd], max(1, GROUP_BYTES // vectors.strides[0])):
        check()
        group = np.sort(crowd[begin:end])
        block = bounded(np.array(vectors[rows.slots_of(kept[group], check)]))
        parents = nodes[group]
        grown = grow(model, block, model.cell_ranges[0][parents], LIST_ROWS, check=check)
        if model is not rows.moment.state.laid.model:
            give_back(model.centroid)  # that of the group before, which nobody else has
        model = grown.model
        nodes[group] = model.leaves[grown.cells]
        is_farther = _squares(block, model.centroid, nodes[group]) > _squares(block, centroid, parents)
        farther.append(group[is_farther])
    moved = _moved(model, rows, kept, np.concatenate(farther), nodes, kernels, check)
    return model, model.cell_ranges[0][nodes], len(model.leaves) - n_before, moved


def _groups(cells: UInt32s, n_most: int) -> list[tuple[int, int]]:
    """Parts of ascending cells, none of them in two parts, of at most so many rows unless a cell has more."""
    ends = np.append(np.flatnonzero(np.diff(cells) != 0) + 1, len(cells)).tolist()
    groups, begin, last = [], 0, 0
    for end in ends:
        if end - begin > n_most and last > begin:
            groups.append((begin, last))
            begin = last
        last = end
    return [*groups, (begin, last)]


def _moved(
    model: Model, rows: _Rows, kept: UInt32s, asked: Int64s, nodes: UInt32s, kernels: Kernels, check: Check
) -> int:
    """Put rows to the nearest list of all; returns how many went to another."""
    n_moved = 0
    vectors = rows.moment.state.late.vectors
    for first in range(0, len(asked), BLOCK_ROWS):
        check()
        some = np.sort(asked[first : first + BLOCK_ROWS])
        block = np.array(vectors[rows.slots_of(kept[some], check)])
        nearest = model.leaves[model.cells_of(block, kernels)]
        n_moved += int(np.count_nonzero(nearest != nodes[some]))
        nodes[some] = nearest
    return n_moved


def _squares(rows: Float32s, centroid: Float32s, nodes: UInt32s) -> Float32s:
    """Squared distances of rows from the centroids of their nodes."""
    difference = rows - centroid[nodes]
    squares: Float32s = np.einsum("ij,ij->i", difference, difference)
    return squares


def _granted(rows: _Rows, kept: UInt32s) -> tuple[UInt32s, Pairs]:
    """What each tenant sees beside its own, by places in `kept`."""
    moment, n = rows.moment, len(rows.is_kept)
    directories, changed = moment.state.directories, moment.changed
    number = np.zeros(n, np.uint32)
    number[kept] = np.arange(len(kept), dtype=np.uint32)
    spans = directories.spans
    laid = dict(zip(directories.tenants.tolist(), spans[:, [LIST_FIRST, LIST_STOP]].tolist(), strict=True))
    tenants, named = [], []
    for tenant in sorted({*laid, *changed}):
        first, stop = laid.get(tenant, (0, 0))
        listed = directories.listed[first:stop]
        listed = listed[listed < rows.n_laid]  # others are revoked
        listed = number[listed[rows.is_kept[listed]]]
        if tenant in changed:
            late = _late_rows(changed[tenant], rows)
            late = late[rows.is_kept[late] & (rows.owners[late] != tenant)]
            listed = distinct(np.concatenate((listed, number[late])))
        if len(listed):
            tenants.append(tenant)
            named.append(listed)
    starts = np.zeros(len(tenants) + 1, np.int64)
    np.cumsum([len(listed) for listed in named], out=starts[1:])
    return np.array(tenants, np.uint32), (starts, np.concatenate(named) if named else np.zeros(0, np.uint32))


def _late_rows(reading: Reading, rows: _Rows) -> UInt32s:
    """What a reading names of late rows, or of the layout's that they stand for."""
    spans = reading.spans
    named = np.concatenate((reading.listed[spans[LIST_FIRST] : spans[LIST_STOP]], reading.tail[: spans[N_TAIL]]))
    return rows.standing_for[named[named < REVOKED]]
