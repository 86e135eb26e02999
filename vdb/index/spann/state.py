"""What readers of the index on disk hold: heads, directories, the mapped pages of one generation, and what has ended.

Rows lie in the order of the layout, (owner, list, sharing list), and a row's number says its page. A row is known by
its pid too, which no other row of a layout has: ends are noted by pid, so that nothing is looked up to note them.
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
from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, Int64s, UInt32s
from vdb.kernels.reference_lists import LISTS, PAGES
from vdb.kernels.tables import VECTORS, Table
from vdb.storage.list_pages import SUM_KEYS
from vdb.storage.lists import Pages
from vdb.types import Metric

FEW_ENTRIES = 4_096
"""Up to so many entries of a reading are all scored; of more, those below the nearest tops."""
TOPS_PER_ROOT = 2.0
"""Tops for each unit of the square root of a reading's entries, about."""

PIDS, SLOTS = range(2)
"""Columns of pages; squared norms follow for L2, then expiries where a row has one."""

MAX_SEEN = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """Rows that writes have ended: a bit per pid, uint32 (w,), and the sequence of each, counted from the layout's, in
    pids' order."""

    bits: UInt32s = field(default_factory=lambda: np.zeros(0, np.uint32))
    pids: UInt32s = field(default_factory=lambda: np.zeros(0, np.uint32))
    at: UInt32s = field(default_factory=lambda: np.zeros(0, np.uint32))

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + self.pids.nbytes + self.at.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One published state; immutable. `vectors` float32 (slots, D); `has_expiry`: pages have a column of expiries;
    `spread`: standard deviation of the errors of estimates, for queries of norm 1 (`vdb/index/spann/coding.py`)."""

    model: Model
    pages: Pages
    directories: Directories
    vectors: Float32s
    ended: Ended
    has_expiry: bool
    spread: float
    base_sequence: int
    kernels: Kernels
    tables: tuple[Table, Table, Table] = field(init=False)
    _seen: dict[int, Table] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        pages, shape = self.pages, self.pages.shape
        n_columns = 2 + (self.model.metric is Metric.L2)
        offsets_at = shape.column_at(SLOTS + 1) if self.model.metric is Metric.L2 else 0
        expires_at = shape.column_at(n_columns) if self.has_expiry else 0
        columns = (shape.column_at(PIDS), shape.column_at(SLOTS), offsets_at, expires_at)
        numbers = (pages.n_rows, shape.n_rows, shape.row_bytes, *columns, pages.generation)
        arrays = (pages.memory, pages.places, SUM_KEYS, self.ended.bits, self.ended.pids, self.ended.at)
        tables = (self.model.table, Table(PAGES, arrays, numbers), Table(VECTORS, (self.vectors,)))
        object.__setattr__(self, "tables", tables)

    def reading(self, tenant: int) -> Reading:
        """What a tenant's directory says."""
        return self.directories.find(tenant)

    def table(self, tenant: int) -> Table:
        """What kernels read of a tenant's reading, made at its first search."""
        found = self._seen.get(tenant)
        if found is None:
            reading = self.reading(tenant)
            tops = tops_of(self.model, reading, self.kernels)
            found = Table(LISTS, (reading.spans, reading.entries, reading.listed, tops))
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen[tenant] = found
        return found

    def owners_of(self, rows: Int64s) -> UInt32s:
        """Whose rows these are, uint32 (n,): the tenant in whose run each lies."""
        spans = self.directories.spans
        owning = np.flatnonzero(spans[:, OWN_STOP] > spans[:, OWN_FIRST])
        owning = owning[np.argsort(spans[owning, OWN_FIRST], kind="stable")]
        at = np.searchsorted(spans[owning, OWN_FIRST], rows, side="right") - 1
        return self.directories.tenants[owning[at]] if len(rows) else NO_PLACES

    @property
    def nbytes(self) -> int:
        """Bytes in RAM, but for a model's centroids, which lie in a file."""
        model = self.model
        of_model = model.node_codes.nbytes + model.node_offset.nbytes + model.children.nbytes + model.of_queries.nbytes
        return of_model + self.pages.nbytes + self.directories.nbytes + self.ended.nbytes


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
