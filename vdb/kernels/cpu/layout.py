"""Kernels that order rows and cut readings: nearest cells, lists of tenants per row, entries at tree nodes, folds.

n = rows, p = (tenant, row) pairs, t = tenants, c = cells, v = tree nodes. `children` int32 (v, 2), −1 twice for a leaf;
a node covers the cells [low, high). Twins: `vdb/kernels/reference_layout.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.cpu.dots import dot_bytes
from vdb.kernels.cpu.estimates import limited, quantize, settled
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
    Int8s,
)
from vdb.kernels.reference_layout import MIXER, MIXER_SHIFT, Bools, Int32s, UInt64s

_I64S, _U32S = input_array(types.int64), input_array(types.uint32)
_TREE = (input_array(types.int32, 2), _U32S, _U32S)  # children, low, high

NEAREST_CELLS = types.void(
    input_array(types.float32, 2),  # kept: the rows, projected as queries are (n, d)
    input_array(types.uint8, 2),  # cell_codes (c, W)
    input_array(types.float32, 2),  # cell_constants
    input_array(types.float32),  # cell_offset: squared norms
    types.uint32[::1],  # cell (n,)
)
NEAREST_CELLS_BELOW = types.void(
    input_array(types.float32, 2),  # kept (n, d)
    input_array(types.uint8, 2),  # top_codes (g, W): nodes that share out the cells
    input_array(types.float32, 2),  # top_constants
    input_array(types.float32),  # top_offset: squared norms
    _U32S,  # first (g + 1,): the cells below each
    input_array(types.uint8, 2),  # cell_codes (c, W)
    input_array(types.float32, 2),  # cell_constants
    input_array(types.float32),  # cell_offset
    types.int64,  # n_tops: nodes whose cells are compared
    types.uint32[::1],  # cell (n,)
)
SHARING_KEYS = types.void(
    _I64S,  # starts (t + 1,): where each tenant's pairs begin
    _U32S,  # rows (p,)
    types.uint64[::1],  # key (n,): equal for rows with the same tenants
)
NAME_ROWS = types.int64(
    types.int64,  # tenant
    _U32S,  # listed
    types.int64,  # first
    types.int64,  # stop
    _U32S,  # tail; a row may be listed too
    input_array(types.bool_),  # is_kept (n,); numbers from n on are revoked places
    _U32S,  # owners (≥ n,)
    _U32S,  # place (n,): the rows' new numbers
    types.bool_[::1],  # is_late (n,): False, before and after
    types.uint32[::1],  # named (≥ stop − first + len(tail),)
)
LIST_ROWS = types.void(
    _I64S,  # starts (t + 1,)
    _U32S,  # rows (p,), of the old order
    _U32S,  # place (n,): the row of the new order
    _U32S,  # cells (≥ n,) of the new order
    types.uint32[::1],  # listed (p,): new rows, each tenant's in the order of (cell, row)
)
CUT_ENTRIES = types.int64(
    types.int64[:, ::1],  # spans (t, 9): OWN_ENTRIES, LIST_ENTRIES and ENTRIES_FIRST are set
    _U32S,  # listed
    _U32S,  # cells (n,)
    *_TREE,
    types.int64,  # limit: rows that an entry holds at most, a leaf apart
    types.int64,  # own_least: smaller runs get no entries
    types.int64,  # list_least
    types.uint32[:, ::1],  # entries (2, e): nodes, first places; (2, 0) only counts
)
FOLD = types.int64(
    _U32S,  # listed, ordered by (cell, row)
    types.int64,  # first
    types.int64,  # stop
    _U32S,  # tail, ordered likewise
    _U32S,  # cells (n,)
    _U32S,  # dead_at (n,)
    types.int64,  # sequence: rows dead by then are dropped, as revoked ones are
    types.uint32[::1],  # merged (≥ stop − first + len(tail),)
)

LOW_BITS = np.uint32(REVOKED - 1)

CELLS_PER_ROW = 8
"""A list with fewer rows than one for so many cells is sorted by comparing: it would visit more cells than rows."""
MOST_INSERTED = 32
"""Rows of one cell that are sorted by insertion."""


@inlined
def _score(
    codes: UInt8s, constants: Float32s, offset: Float32s, number: int, coded: Int8s, step: np.float32,
    total: np.float32, width: np.uint64,
) -> np.float32:  # fmt: skip
    """The squared distance to one centroid, but for the norm of the row."""
    c = np.uint64(number)
    at = width // np.uint64(4)
    levels = np.float32(dot_bytes(codes, c, coded, width))
    dot = constants[c, at] * step * levels + constants[c, at + np.uint64(1)] * total
    return settled(offset[c] - np.float32(2) * dot)


@compiled(NEAREST_CELLS)
def nearest_cells(
    kept: Float32s, cell_codes: UInt8s, cell_constants: Float32s, cell_offset: Float32s, cell: UInt32s
) -> None:
    """The cell of each row by estimated distance; ties go to the lower number."""
    width = np.uint64(cell_codes.shape[1] - 8)
    coded = np.empty(cell_codes.shape[1] - 8, np.int8)
    mine = np.empty(kept.shape[1], np.float32)
    for i in range(kept.shape[0]):
        for j in range(kept.shape[1]):
            mine[j] = limited(kept[i, j])
        step, total = quantize(mine, coded)
        best = np.float32(np.inf)
        chosen = np.uint32(0)
        for number in range(cell_codes.shape[0]):
            score = _score(cell_codes, cell_constants, cell_offset, number, coded, step, total, width)
            if score < best:
                best = score
                chosen = np.uint32(number)
        cell[i] = chosen


@compiled(NEAREST_CELLS_BELOW)
def nearest_cells_below(
    kept: Float32s, top_codes: UInt8s, top_constants: Float32s, top_offset: Float32s, first: UInt32s,
    cell_codes: UInt8s, cell_constants: Float32s, cell_offset: Float32s, n_tops: int, cell: UInt32s,
) -> None:  # fmt: skip
    """The nearest cell of each row among those below its `n_tops` nearest nodes; ties go to lower numbers."""
    width = np.uint64(cell_codes.shape[1] - 8)
    coded = np.empty(cell_codes.shape[1] - 8, np.int8)
    mine = np.empty(kept.shape[1], np.float32)
    near = np.empty(n_tops, np.int64)
    near_score = np.empty(n_tops, np.float32)
    for i in range(kept.shape[0]):
        for j in range(kept.shape[1]):
            mine[j] = limited(kept[i, j])
        step, total = quantize(mine, coded)
        n_near = 0
        for number in range(top_codes.shape[0]):
            score = _score(top_codes, top_constants, top_offset, number, coded, step, total, width)
            if n_near == n_tops and score >= near_score[n_near - 1]:
                continue
            n_near = min(n_near + 1, n_tops)
            j = n_near - 1
            while j > 0 and near_score[j - 1] > score:
                near[j], near_score[j] = near[j - 1], near_score[j - 1]
                j -= 1
            near[j], near_score[j] = number, score
        best = np.float32(np.inf)
        chosen = np.uint32(0)
        for j in range(n_near):
            for number in range(first[near[j]], first[near[j] + 1]):
                score = _score(cell_codes, cell_constants, cell_offset, number, coded, step, total, width)
                if score < best or (score == best and number < chosen):
                    best = score
                    chosen = np.uint32(number)
        cell[i] = chosen


@compiled(SHARING_KEYS)
def sharing_keys(starts: Int64s, rows: UInt32s, key: UInt64s) -> None:
    """Mix the number of each tenant into the keys of its rows, in the order of tenants."""
    for t in range(starts.shape[0] - 1):
        for i in range(starts[t], starts[t + 1]):
            mixed = key[rows[i]] ^ np.uint64(t + 1)
            mixed *= np.uint64(MIXER)
            key[rows[i]] = mixed ^ (mixed >> np.uint64(MIXER_SHIFT))


@compiled(NAME_ROWS)
def name_rows(
    tenant: int, listed: UInt32s, first: int, stop: int, tail: UInt32s, is_kept: Bools, owners: UInt32s,
    place: UInt32s, is_late: Bools, named: UInt32s,
) -> int:  # fmt: skip
    """New numbers of the rows of a list and its tail that are kept and another's, each once; returns how many."""
    n_rows = np.int64(is_kept.shape[0])
    n = 0
    for i in range(tail.shape[0]):
        if tail[i] < n_rows:
            is_late[tail[i]] = True
    for i in range(first, stop):
        row = listed[i]
        if row < n_rows and not is_late[row] and is_kept[row] and owners[row] != tenant:
            named[n] = place[row]
            n += 1
    for i in range(tail.shape[0]):
        row = tail[i]
        if row < n_rows and is_late[row]:
            is_late[row] = False
            if is_kept[row] and owners[row] != tenant:
                named[n] = place[row]
                n += 1
    return n


@inlined
def _sort_list(first: int, stop: int, listed: UInt32s, cells: UInt32s) -> None:
    """Sort the places [first, stop) by (cell, row), by comparing them."""
    keys = np.empty(stop - first, np.uint64)
    for i in range(stop - first):
        row = listed[first + i]
        keys[i] = (np.uint64(cells[row]) << np.uint64(32)) | np.uint64(row)
    keys.sort()
    for i in range(stop - first):
        listed[first + i] = np.uint32(keys[i] & np.uint64(0xFFFFFFFF))


@inlined
def _sort_cells(first: int, stop: int, listed: UInt32s, cells: UInt32s, ends: Int64s, moved: UInt32s) -> None:
    """Sort the places [first, stop) by (cell, row): dealt out to the cells first, then each cell's few compared."""
    ends[:] = 0
    for i in range(first, stop):
        moved[i - first] = listed[i]
        ends[cells[listed[i]]] += 1
    end = first
    for cell in range(ends.shape[0]):
        end += ends[cell]
        ends[cell] = end - ends[cell]
    for i in range(stop - first):
        cell = cells[moved[i]]
        listed[ends[cell]] = moved[i]
        ends[cell] += 1
    begin = first
    for cell in range(ends.shape[0]):
        if ends[cell] - begin > MOST_INSERTED:
            listed[begin : ends[cell]].sort()
        else:
            for i in range(begin + 1, ends[cell]):
                row = listed[i]
                j = i
                while j > begin and listed[j - 1] > row:
                    listed[j] = listed[j - 1]
                    j -= 1
                listed[j] = row
        begin = ends[cell]


@compiled(LIST_ROWS)
def list_rows(starts: Int64s, rows: UInt32s, place: UInt32s, cells: UInt32s, listed: UInt32s) -> None:
    """Translate each tenant's rows to the new order and sort them by (cell, row)."""
    n_cells, most = np.int64(0), np.int64(0)
    for i in range(place.shape[0]):
        n_cells = max(n_cells, np.int64(cells[i]) + 1)
    for t in range(starts.shape[0] - 1):
        most = max(most, starts[t + 1] - starts[t])
    ends = np.empty(n_cells, np.int64)
    moved = np.empty(most, np.uint32)
    for t in range(starts.shape[0] - 1):
        first, stop = starts[t], starts[t + 1]
        is_sorted = True
        last = np.uint64(0)
        for i in range(first, stop):
            row = place[rows[i]]
            listed[i] = row
            key = (np.uint64(cells[row]) << np.uint64(32)) | np.uint64(row)
            if key < last:
                is_sorted = False
            last = key
        if is_sorted:
            continue
        if (stop - first) * CELLS_PER_ROW < n_cells:
            _sort_list(first, stop, listed, cells)
        else:
            _sort_cells(first, stop, listed, cells, ends, moved)


@inlined
def _first_at(rows: UInt32s, is_run: bool, first: int, stop: int, cells: UInt32s, cell: np.uint32) -> int:
    """The first place in [first, stop) whose row lies in `cell` or a later one."""
    while first < stop:
        middle = (first + stop) // 2
        row = np.uint32(middle) if is_run else rows[middle] & LOW_BITS
        if cells[row] < cell:
            first = middle + 1
        else:
            stop = middle
    return first


@inlined
def _cut(
    rows: UInt32s, is_run: bool, first: int, stop: int, cells: UInt32s, children: Int32s, low: UInt32s,
    high: UInt32s, limit: int, entries: UInt32s, place: int, waiting: Int64s,
) -> int:  # fmt: skip
    """Entries of the places [first, stop), in the order of cells, to entries[:, place:]; returns how many."""
    n_entries = 0
    size = 1
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = 0, first, stop
    while size > 0:
        size -= 1
        node, begin, end = waiting[size, 0], waiting[size, 1], waiting[size, 2]
        if end == begin:
            continue
        left, right = children[node, 0], children[node, 1]
        if left < 0 or end - begin <= limit:
            if entries.shape[1] > 0:
                entries[0, place + n_entries] = np.uint32(node)
                entries[1, place + n_entries] = np.uint32(begin)
            n_entries += 1
            continue
        middle = _first_at(rows, is_run, begin, end, cells, low[right])
        waiting[size, 0], waiting[size, 1], waiting[size, 2] = right, middle, end
        waiting[size + 1, 0], waiting[size + 1, 1], waiting[size + 1, 2] = left, begin, middle
        size += 2
    return n_entries


@compiled(CUT_ENTRIES)
def cut_entries(
    spans: Int64s, listed: UInt32s, cells: UInt32s, children: Int32s, low: UInt32s, high: UInt32s,
    limit: int, own_least: int, list_least: int, entries: UInt32s,
) -> int:  # fmt: skip
    """Cut readings at the highest nodes that hold at most `limit` of their rows; returns how many entries all have."""
    waiting = np.empty((children.shape[0] + 1, 3), np.int64)
    n_entries = 0
    for t in range(spans.shape[0]):
        spans[t, ENTRIES_FIRST] = n_entries
        n_own, n_list = 0, 0
        if spans[t, OWN_STOP] - spans[t, OWN_FIRST] > own_least:
            n_own = _cut(
                listed, True, spans[t, OWN_FIRST], spans[t, OWN_STOP], cells, children, low, high, limit,
                entries, n_entries, waiting,
            )  # fmt: skip
        n_entries += n_own
        if spans[t, LIST_STOP] - spans[t, LIST_FIRST] > list_least:
            n_list = _cut(
                listed, False, spans[t, LIST_FIRST], spans[t, LIST_STOP], cells, children, low, high, limit,
                entries, n_entries, waiting,
            )  # fmt: skip
        n_entries += n_list
        spans[t, OWN_ENTRIES], spans[t, LIST_ENTRIES] = n_own, n_list
    return n_entries


@compiled(FOLD)
def fold(
    listed: UInt32s, first: int, stop: int, tail: UInt32s, cells: UInt32s, dead_at: UInt32s, sequence: int,
    merged: UInt32s,
) -> int:  # fmt: skip
    """Merge a tail into a list, by (cell, row), each row once, without revoked and dead ones; returns the length."""
    n = 0
    place = first
    other = 0
    while place < stop or other < tail.shape[0]:
        if place < stop and listed[place] >= REVOKED:
            place += 1
            continue
        if other < tail.shape[0] and tail[other] >= REVOKED:
            other += 1
            continue
        takes_list = other >= tail.shape[0]
        if place < stop and not takes_list:
            mine, theirs = listed[place], tail[other]
            takes_list = cells[mine] < cells[theirs] or (cells[mine] == cells[theirs] and mine <= theirs)
        if takes_list:
            row = listed[place]
            place += 1
        else:
            row = tail[other]
            other += 1
        if np.int64(dead_at[row]) > sequence and (n == 0 or merged[n - 1] != row):
            merged[n] = row
            n += 1
    return n
