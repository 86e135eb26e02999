"""What readers of the index hold: rows, directories, and how far they are filled. Nothing here is ever rewritten.

Rows [0, n_laid) lie in the order of the last layout: (owner, cell, sharing list). Later ones follow in the order of
arrival, in spare capacity. Written in place are only rows beyond the last published one, `dead_at` (from ALIVE to a
sequence, once) and the bit that marks a place of a list as revoked.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import Model
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.tables import DIRECTORY, ROWS, VECTORS, ReadingTable, Table, address_of

ALIVE = 0xFFFF_FFFF
"""`dead_at` of a row that no write has ended."""
REVOKED = 1 << 31
"""Set in a place of a list or tail whose row its tenant may not see any more."""

OWN_FIRST, OWN_STOP, OWN_ENTRIES, LIST_FIRST, LIST_STOP, LIST_ENTRIES, ENTRIES_FIRST, N_TAIL = range(8)
N_SPANS = 9
"""Fields of `Reading.spans`, as the kernels read them; the last is spare."""

NO_PLACES: UInt32s = np.zeros(0, np.uint32)
NO_ENTRIES: UInt32s = np.zeros((2, 0), np.uint32)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Rows:
    """Arrays of one capacity c, n_laid + spare.

    codes uint8 (c, W); offsets float32 (c,), (0,) unless L2; pids, slots (rows
    of the vectors' file), owners, cells uint32; dead_at uint32, sequences since `base_sequence`; added_at uint32
    (c − n_laid,) likewise; expires_at uint32 epoch seconds rounded up, 0 never, (0,) where no row expires.
    """

    codes: UInt8s
    offsets: Float32s
    pids: UInt32s
    slots: UInt32s
    owners: UInt32s
    cells: UInt32s
    dead_at: UInt32s
    added_at: UInt32s
    expires_at: UInt32s
    n_laid: int
    base_sequence: int
    _table: Table | None = field(init=False, default=None)

    @property
    def table(self) -> Table:
        """What kernels read of them, made at the first search."""
        if self._table is None:
            arrays = (
                self.codes, self.offsets, self.pids, self.slots, self.dead_at, self.added_at, self.expires_at,
            )  # fmt: skip
            object.__setattr__(self, "_table", Table(ROWS, arrays, (self.n_laid,)))
        assert self._table is not None
        return self._table

    @property
    def capacity(self) -> int:
        return len(self.pids)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All of them."""
        return (
            self.codes, self.offsets, self.pids, self.slots, self.owners, self.cells, self.dead_at, self.added_at,
            self.expires_at,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Reading:
    """One tenant's: `spans` int64 (9,), entries uint32 (2, e), listed and tail uint32 rows. See the kernels.

    `spans` counts the tail: a longer one is another reading that shares the arrays.
    """

    spans: Int64s
    entries: UInt32s
    listed: UInt32s
    tail: UInt32s
    n_rows: int = field(init=False)
    """Rows it names, dead and revoked ones included."""
    n_whole: int = field(init=False)
    """Rows of a run and a list that have no entries: every search scans them."""
    _directory: Table | None = field(init=False, default=None)
    _table: ReadingTable | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        spans: list[int] = self.spans.tolist()
        first, stop, own_entries, list_first, list_stop, list_entries = spans[:ENTRIES_FIRST]
        object.__setattr__(self, "n_rows", stop - first + list_stop - list_first + spans[N_TAIL])
        n_whole = (0 if own_entries else stop - first) + (0 if list_entries else list_stop - list_first)
        object.__setattr__(self, "n_whole", n_whole)

    @property
    def table(self) -> ReadingTable:
        """What kernels read, made at the first search."""
        if self._table is None:
            directory = self._directory or Table(DIRECTORY, (self.entries, self.listed, self.tail))
            object.__setattr__(self, "_table", ReadingTable(self.spans, directory))
        assert self._table is not None
        return self._table

    def of(self, directory: Table, spans_at: int | None = None) -> "Reading":
        """This reading, whose arrays `directory` and `spans_at` are known to say the addresses of."""
        entries, listed, tail = directory.arrays
        assert entries is self.entries and listed is self.listed and tail is self.tail
        object.__setattr__(self, "_directory", directory)
        if spans_at is not None:
            object.__setattr__(self, "_table", ReadingTable(self.spans, directory, spans_at))
        return self

    def with_tail(self, tail: UInt32s, n_tail: int) -> "Reading":
        """The reading with `n_tail` rows of `tail` in place of its tail."""
        spans = self.spans.copy()
        spans[N_TAIL] = n_tail
        other = replace(self, spans=spans, tail=tail)
        return other.of(self._table.directory) if tail is self.tail and self._table is not None else other

    @property
    def n_entries(self) -> int:
        """Entries that cut its run and its list."""
        return int(self.spans[OWN_ENTRIES] + self.spans[LIST_ENTRIES])

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays, where they are its own."""
        return self.spans.nbytes + self.entries.nbytes + self.listed.nbytes + self.tail.nbytes


NOTHING = Reading(np.zeros(N_SPANS, np.int64), NO_ENTRIES, NO_PLACES, NO_PLACES)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Directories:
    """All tenants' readings as a layout left them: tenants uint32 ascending (t,), spans int64 (t, 9), shared arrays."""

    tenants: UInt32s
    spans: Int64s
    entries: UInt32s
    listed: UInt32s
    _addresses: tuple[Table, int] | None = field(init=False, default=None)

    @property
    def addresses(self) -> tuple[Table, int]:
        """What kernels read of all, and where the first spans lie; made when a reading is first asked for."""
        if self._addresses is None:
            table = Table(DIRECTORY, (self.entries, self.listed, NO_PLACES))
            object.__setattr__(self, "_addresses", (table, address_of(self.spans)))
        assert self._addresses is not None
        return self._addresses

    def find(self, tenant: int) -> Reading:
        place = int(np.searchsorted(self.tenants, tenant))
        if place == len(self.tenants) or self.tenants[place] != tenant:
            return NOTHING
        table, spans_at = self.addresses
        reading = Reading(self.spans[place], self.entries, self.listed, NO_PLACES)
        return reading.of(table, spans_at + place * self.spans.strides[0])

    @property
    def nbytes(self) -> int:
        return self.tenants.nbytes + self.spans.nbytes + self.entries.nbytes + self.listed.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One published state. `changed` holds the readings of tenants written to since the layout; readers take theirs
    once. `vectors` float32 (slots, D), prepared. It answers for sequences from `floor_sequence` on."""

    model: Model
    rows: Rows
    directories: Directories
    changed: dict[int, Reading]
    vectors: Float32s
    floor_sequence: int
    seen: dict[int, Reading] = field(default_factory=dict)
    _tables: tuple[Table, Table, Table] | None = field(init=False, default=None)

    @property
    def tables(self) -> tuple[Table, Table, Table]:
        """What kernels read of the model, the rows and the vectors, gathered at the first search."""
        if self._tables is None:
            tables = (self.model.table, self.rows.table, Table(VECTORS, (self.vectors,)))
            object.__setattr__(self, "_tables", tables)
        assert self._tables is not None
        return self._tables

    def reading(self, tenant: int) -> Reading:
        found = self.changed.get(tenant)
        if found is None:
            found = self.seen.get(tenant)
        if found is None:
            found = self.directories.find(tenant)
            if len(self.seen) >= MAX_SEEN:
                self.seen.clear()
            self.seen[tenant] = found
        return found


MAX_SEEN = 4096
"""Readings kept as objects because they were searched; the arrays they point to are shared."""


Pairs = tuple[Int64s, UInt32s]
"""Starts (t + 1,) and rows (p,): which rows each tenant is granted."""

Bools = NDArray[np.bool_]
