"""One search of the index on disk: the layout by its lists, what came after it in RAM, merged."""

from dataclasses import dataclass

import numpy as np

from vdb.errors import CorruptData
from vdb.index.curator.index import Found as LateFound
from vdb.index.curator.state import ENTRIES_FIRST, LIST_FIRST, LIST_STOP, OWN_FIRST, OWN_STOP
from vdb.index.spann.late import nearest_of_both
from vdb.index.spann.state import Laid, State
from vdb.kernels import current
from vdb.kernels.reference import Float32s, Int64s, UInt32s
from vdb.kernels.tables import Table


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a search goes: rows of lists scanned, beyond those that are scanned whole; candidates compared by their
    vectors, at most; how much farther than the nearest list another may be, as a ratio of distances (not for inner
    product); and how many standard deviations of their errors estimates of candidates may be worse than the k-th."""

    budget: int
    candidates: int
    ratio: float = float("inf")
    spreads: float = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Of one query, nearest first: distance float32 (k,) as kernels state it (L2 squared), row int64 (k,): of the
    layout, or behind its rows those of late ones; −1 for none. pid and owner uint32 (k,).

    statistics int64 (8,): lists scored, lists read, rows scored, rows compared, pages of lists, pages of vectors, parts
    of the late rows' directories that were left out, and of the rows scored the late ones.
    """

    distance: Float32s
    row: Int64s
    pid: UInt32s
    owner: UInt32s
    statistics: Int64s


def laid_ones(
    laid: Laid, tables: tuple[Table, Table], query: Float32s, k: int, sequence: int, now_ms: int, effort: Effort
) -> Found:
    """The nearest rows of two readings of the layout."""
    margin = effort.spreads * laid.spread if effort.spreads < float("inf") else effort.spreads
    budget = effort.budget + n_whole(tables[0]) + n_whole(tables[1])
    distance, row, pid = np.empty(k, np.float32), np.empty(k, np.int64), np.empty(k, np.uint32)
    statistics = np.empty(8, np.int64)
    current().search_lists(
        query, *laid.tables, *tables, sequence - laid.base_sequence, now_ms // 1000, budget, effort.ratio,
        margin, max(k, effort.candidates), distance, row, pid, statistics,
    )  # fmt: skip
    if statistics[6]:
        raise CorruptData(f"page {statistics[6] - 1} of posting lists is damaged")
    owners = np.zeros(k, np.uint32)
    held = row >= 0
    owners[held] = laid.owners_of(row[held])
    return Found(distance, row, pid, owners, statistics)


def n_named(table: Table) -> int:
    """Rows that a reading of the layout names, by its table."""
    spans: Int64s = table.arrays[0]
    return int(spans[OWN_STOP] - spans[OWN_FIRST] + spans[LIST_STOP] - spans[LIST_FIRST])


def n_whole(table: Table) -> int:
    """Those of them that have no entries: every search scans them."""
    first, stop, own_entries, list_first, list_stop, list_entries = table.arrays[0][:ENTRIES_FIRST].tolist()
    return int((0 if own_entries else stop - first) + (0 if list_entries else list_stop - list_first))


def with_late_ones(found: Found, others: LateFound, state: State, k: int) -> Found:
    """The k nearest of what was found in the layout and of late rows, each pid once."""
    laid, late = state.laid, state.late
    found.statistics[2:4] += others.statistics[2:4]
    found.statistics[6:] = others.statistics[0] - others.statistics[1], others.statistics[2]
    if others.row[0] < 0 or (found.row[-1] >= 0 and others.distance[0] > found.distance[-1]):
        return found
    held, late_held = np.flatnonzero(found.row >= 0), np.flatnonzero(others.row >= 0)
    late_rows = others.row[late_held]
    distance = np.concatenate((found.distance[held], others.distance[late_held]))
    pids = np.concatenate((found.pid[held], late.rows.pids[late_rows]))
    owners = np.concatenate((found.owner[held], late.rows.owners[late_rows]))
    rows = np.concatenate((found.row[held], late_rows + laid.n_rows))
    nearest = nearest_of_both(distance, pids, k)
    n_none = k - len(nearest)
    return Found(
        np.append(distance[nearest], np.full(n_none, np.inf, np.float32)),
        np.append(rows[nearest], np.full(n_none, -1, np.int64)),
        np.append(pids[nearest], np.zeros(n_none, np.uint32)),
        np.append(owners[nearest], np.zeros(n_none, np.uint32)),
        found.statistics,
    )
