"""What readers of the index on disk hold: the layout (heads, directories, the mapped pages of one generation), and what
was written after it.

Rows of the layout lie in the order (owner, list, sharing list), and a row's number says its page. A row is known by its
pid too, which no other row of the layout has: ends are noted by pid, so that nothing is looked up to note them.
"""

from dataclasses import dataclass, field

import numpy as np

from vdb.index.curator.model import Model
from vdb.index.curator.state import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    NO_ENTRIES,
    NO_PLACES,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    Directories,
    Reading,
)
from vdb.index.curator.state import State as LateState
from vdb.kernels import Kernels, current
from vdb.kernels.distinct import distinct
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_lists import LISTS, PAGES
from vdb.kernels.tables import VECTORS, Table
from vdb.storage.list_pages import SUM_KEYS, rows_of
from vdb.storage.lists import Pages
from vdb.types import Metric

FEW_ENTRIES = 4_096
"""Up to so many entries of a reading are all scored; of more, those below the nearest tops."""
TOPS_PER_ROOT = 2.0
"""Tops for each unit of the square root of a reading's entries, about."""

PIDS, SLOTS = range(2)
"""Columns of pages; squared norms follow for L2, then expiries where a row has one."""

NO_ROW = 0xFFFF_FFFF
"""In `row_of_pid`: the layout has no row of the pid."""

MAX_SEEN = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """The last layout, of n rows; readers share it.

    `vectors` float32 (slots, D), prepared. `cells` uint32 (n,): the list of each row. `row_of_pid` uint32 by pid.
    `unnamed` uint32: slots that no row has, below the last that one could have. `has_expiry`: pages have a column of
    expiries. `spread`: standard deviation of the errors of estimates, for queries of norm 1
    (`vdb/index/spann/coding.py`). Written in place are only `ended_at`, uint32 by pid, from 0 to 1 and a sequence
    counted from `base_sequence`, once, and the bit of a place of a list that marks it as revoked.
    """

    model: Model
    pages: Pages
    directories: Directories
    vectors: Float32s
    cells: UInt32s
    row_of_pid: UInt32s
    unnamed: UInt32s
    has_expiry: bool
    spread: float
    base_sequence: int
    ended_at: UInt32s = field(init=False)
    tables: tuple[Table, Table, Table] = field(init=False)
    _seen: dict[int, Table] = field(init=False, default_factory=dict)
    _runs: tuple[Int64s, UInt32s] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ended_at", np.zeros(len(self.row_of_pid), np.uint32))  # in RAM where it is written
        pages, shape = self.pages, self.pages.shape
        n_columns = 2 + (self.model.metric is Metric.L2)
        offsets_at = shape.column_at(SLOTS + 1) if self.model.metric is Metric.L2 else 0
        expires_at = shape.column_at(n_columns) if self.has_expiry else 0
        columns = (shape.column_at(PIDS), shape.column_at(SLOTS), offsets_at, expires_at)
        numbers = (pages.n_rows, shape.n_rows, shape.row_bytes, *columns, pages.generation)
        arrays = (pages.memory, pages.places, SUM_KEYS, self.ended_at)
        tables = (self.model.table, Table(PAGES, arrays, numbers), Table(VECTORS, (self.vectors,)))
        object.__setattr__(self, "tables", tables)
        spans = self.directories.spans
        owning = np.flatnonzero(spans[:, OWN_STOP] > spans[:, OWN_FIRST])
        owning = owning[np.argsort(spans[owning, OWN_FIRST], kind="stable")]
        runs = np.ascontiguousarray(spans[owning, OWN_FIRST]), self.directories.tenants[owning]
        object.__setattr__(self, "_runs", runs)

    @property
    def n_rows(self) -> int:
        return self.pages.n_rows

    def reading(self, tenant: int) -> Reading:
        """What a tenant's directory says."""
        return self.directories.find(tenant)

    def table(self, tenant: int) -> Table:
        """What kernels read of a tenant's reading, made at its first search."""
        found = self._seen.get(tenant)
        if found is None:
            found = self.table_of(self.reading(tenant))
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen[tenant] = found
        return found

    def table_of(self, reading: Reading) -> Table:
        """What kernels read of a reading over these rows."""
        tops = tops_of(self.model, reading, current())
        return Table(LISTS, (reading.spans, reading.entries, reading.listed, tops))

    def owners_of(self, rows: Int64s) -> UInt32s:
        """Whose rows these are, uint32 (n,): the tenant in whose run each lies."""
        firsts, tenants = self._runs
        return tenants[np.searchsorted(firsts, rows, side="right") - 1] if len(rows) else NO_PLACES

    def rows_of(self, pids: UInt32s) -> UInt32s:
        """The rows of pids, `NO_ROW` where there is none."""
        rows = np.full(len(pids), NO_ROW, np.uint32)
        known = np.flatnonzero(pids < len(self.row_of_pid))
        rows[known] = self.row_of_pid[pids[known]]
        return rows

    def fetch(self, rows: UInt32s) -> tuple[UInt8s, list[UInt32s]]:
        """Codes and columns of rows, in any order, read from their pages; raises CorruptData."""
        shape = self.pages.shape
        r = np.uint32(shape.n_rows)
        pages = distinct(rows // r)
        self.pages.hint(pages)
        codes, columns = rows_of(self.pages.read(pages), shape)
        places = np.searchsorted(pages, rows // r) * shape.n_rows + rows % r
        return codes[places], [column[places] for column in columns]

    @property
    def nbytes(self) -> int:
        """Bytes in RAM; centroids, lists and rows by number lie in a file, and ends in RAM once there are some."""
        model = self.model
        of_model = model.node_codes.nbytes + model.node_offset.nbytes + model.children.nbytes + model.of_queries.nbytes
        return of_model + self.pages.nbytes + self.directories.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One published state. `late` holds rows written after the layout and copies of those granted after it, by the same
    model and in the same vectors' file. Answers for sequences from `floor_sequence` on."""

    laid: Laid
    late: LateState

    @property
    def floor_sequence(self) -> int:
        return self.late.floor_sequence

    @property
    def model(self) -> Model:
        return self.laid.model

    @property
    def directories(self) -> Directories:
        return self.laid.directories


def tops_of(model: Model, reading: Reading, kernels: Kernels) -> UInt32s:
    """Nodes that share out a reading's entries, uint32 (2, t): node, and the first entry; none where entries are few.

    Those of the own run come first, as entries do; each has about as many entries below it as there are tops.
    """
    spans = reading.spans
    n_own, n = int(spans[OWN_ENTRIES]), int(spans[OWN_ENTRIES] + spans[LIST_ENTRIES])
    if n <= FEW_ENTRIES:
        return NO_ENTRIES
    first = int(spans[ENTRIES_FIRST])
    low, high = model.cell_ranges
    cells = np.ascontiguousarray(low[reading.entries[0, first : first + n]])
    runs = np.zeros((2, len(spans)), np.int64)
    runs[:, OWN_FIRST], runs[:, OWN_STOP] = (0, n_own), (n_own, n)
    how = (NO_PLACES, cells, model.children, low, high, max(1, int(1.5 * np.sqrt(n) / TOPS_PER_ROOT)), 0, 0)
    tops = np.empty((2, kernels.cut_entries(runs, *how, NO_ENTRIES)), np.uint32)
    kernels.cut_entries(runs, *how, tops)
    return tops
