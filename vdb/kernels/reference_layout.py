"""NumPy twins of the kernels that order rows and cut readings; contracts in `vdb/kernels/cpu/layout.py`."""

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import CHUNK_BYTES, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
    byte_products,
    limited,
    quantize,
    settled,
)

Int32s = NDArray[np.int32]
UInt64s = NDArray[np.uint64]
Bools = NDArray[np.bool_]

MIXER = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: odd, its bits without a pattern."""
MIXER_SHIFT = 29


def nearest_cells(
    kept: Float32s, cell_codes: UInt8s, cell_constants: Float32s, cell_offset: Float32s, cell: UInt32s
) -> None:
    """The cell of each row by estimated distance; ties go to the lower number."""
    cell[:] = 0
    for some in _chunks(len(kept), len(cell_codes)):
        cell[some] = _scores(kept[some], cell_codes, cell_constants, cell_offset).argmin(axis=0)


def nearest_cells_below(
    kept: Float32s, top_codes: UInt8s, top_constants: Float32s, top_offset: Float32s, first: UInt32s,
    cell_codes: UInt8s, cell_constants: Float32s, cell_offset: Float32s, n_tops: int, cell: UInt32s,
) -> None:  # fmt: skip
    """The nearest cell of each row among those below its `n_tops` nearest nodes; ties go to lower numbers."""
    cell[:] = 0
    top_of = np.searchsorted(first[1:], np.arange(len(cell_codes)), side="right")
    for some in _chunks(len(kept), len(cell_codes)):
        near = _scores(kept[some], top_codes, top_constants, top_offset).argsort(axis=0, kind="stable")[:n_tops]
        is_near = np.zeros((len(top_codes), near.shape[1]), np.bool_)
        np.put_along_axis(is_near, near, True, axis=0)
        scores = _scores(kept[some], cell_codes, cell_constants, cell_offset)
        cell[some] = np.where(is_near[top_of], scores, np.float32(np.inf)).argmin(axis=0)


def _chunks(n_rows: int, n_cells: int) -> list[slice]:
    """Rows that are scored at once; none where there are no cells."""
    n_chunk = max(1, CHUNK_BYTES // (8 * max(1, n_cells)))
    return [slice(first, first + n_chunk) for first in range(0, n_rows if n_cells else 0, n_chunk)]


def _scores(kept: Float32s, codes: UInt8s, constants: Float32s, offset: Float32s) -> Float32s:
    """Squared distances but for the norms of the rows, float32 (c, n)."""
    with np.errstate(over="ignore", invalid="ignore"):
        coded, step, total = quantize(limited(kept))
        dot = (constants[:, -2, None] * step) * byte_products(codes, coded).astype(np.float32)
        dot += constants[:, -1, None] * total
        return settled(offset[:, None] - np.float32(2) * dot)


def sharing_keys(starts: Int64s, rows: UInt32s, key: UInt64s) -> None:
    """Mix the number of each tenant into the keys of its rows, in the order of tenants."""
    for t in range(len(starts) - 1):
        mine = rows[starts[t] : starts[t + 1]]
        mixed = (key[mine] ^ np.uint64(t + 1)) * np.uint64(MIXER)
        key[mine] = mixed ^ (mixed >> np.uint64(MIXER_SHIFT))


def name_rows(
    tenant: int, listed: UInt32s, first: int, stop: int, tail: UInt32s, is_kept: Bools, owners: UInt32s,
    place: UInt32s, is_late: Bools, named: UInt32s,
) -> int:  # fmt: skip
    """New numbers of the rows of a list and its tail that are kept and another's, each once; returns how many."""
    known, late = (rows[rows < len(is_kept)] for rows in (listed[first:stop], tail))
    is_late[late] = True
    rows = np.concatenate((known[~is_late[known]], np.array(list(dict.fromkeys(late.tolist())), np.uint32)))
    is_late[late] = False
    rows = rows[is_kept[rows] & (owners[rows] != tenant)]
    named[: len(rows)] = place[rows]
    return len(rows)


def list_rows(starts: Int64s, rows: UInt32s, place: UInt32s, cells: UInt32s, listed: UInt32s) -> None:
    """Translate each tenant's rows to the new order and sort them by (cell, row)."""
    first, stop = int(starts[0]), int(starts[-1])
    moved = place[rows[first:stop]]
    tenants = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    listed[first:stop] = moved[np.lexsort((moved, cells[moved], tenants))]


def _cut(cells: UInt32s, first: int, children: Int32s, low: UInt32s, limit: int) -> list[tuple[int, int]]:
    """Nodes and first places of the entries of places from `first` on, whose cells are given, in the order of cells."""
    found = []
    waiting = [(0, 0, len(cells))]
    while waiting:
        node, begin, end = waiting.pop()
        if begin == end:
            continue
        left, right = children[node].tolist()
        if left < 0 or end - begin <= limit:
            found.append((node, first + begin))
            continue
        middle = begin + int(np.searchsorted(cells[begin:end], low[right]))
        waiting += [(right, middle, end), (left, begin, middle)]
    return found


def cut_entries(
    spans: Int64s, listed: UInt32s, cells: UInt32s, children: Int32s, low: UInt32s, high: UInt32s,
    limit: int, own_least: int, list_least: int, entries: UInt32s,
) -> int:  # fmt: skip
    """Cut readings at the highest nodes that hold at most `limit` of their rows; returns how many entries all have."""
    n_entries = 0
    for of in spans:
        own: list[tuple[int, int]] = []
        shared: list[tuple[int, int]] = []
        if of[OWN_STOP] - of[OWN_FIRST] > own_least:
            own = _cut(cells[of[OWN_FIRST] : of[OWN_STOP]], int(of[OWN_FIRST]), children, low, limit)
        if of[LIST_STOP] - of[LIST_FIRST] > list_least:
            rows = listed[of[LIST_FIRST] : of[LIST_STOP]] & np.uint32(REVOKED - 1)
            shared = _cut(cells[rows], int(of[LIST_FIRST]), children, low, limit)
        of[ENTRIES_FIRST], of[OWN_ENTRIES], of[LIST_ENTRIES] = n_entries, len(own), len(shared)
        found = own + shared
        if entries.size and found:
            entries[:, n_entries : n_entries + len(found)] = np.array(found).T
        n_entries += len(found)
    return n_entries


def fold(
    listed: UInt32s, first: int, stop: int, tail: UInt32s, cells: UInt32s, dead_at: UInt32s, sequence: int,
    merged: UInt32s,
) -> int:  # fmt: skip
    """Merge a tail into a list, by (cell, row), each row once, without revoked and dead ones; returns the length."""
    rows = np.concatenate((listed[first:stop], tail))
    rows = np.unique(rows[rows < REVOKED])
    rows = rows[dead_at[rows].astype(np.int64) > sequence]
    rows = rows[np.argsort(cells[rows], kind="stable")]
    merged[: len(rows)] = rows
    return len(rows)
