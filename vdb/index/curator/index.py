"""The shared index of a collection: one set of codes, one tree, a sparse reading of them for every tenant.

One writer at a time (the caller holds a lock); readers take `state` and need none. A reader takes its sequence first,
then the state, and goes for a newer sequence where the state's floor is above it.
Source: Curator (arXiv 2401.07119), rebuilt: codes in cell order, flat directories, budgeted search (DESIGN §2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.exhaustive import MOST_SORTED, nearest_of_all
from vdb.index.curator.finder import Finder
from vdb.index.curator.layout import Unordered, lay_out
from vdb.index.curator.model import Model, prepared, prepared_query
from vdb.index.curator.relayout import Moment, coded, laid_out_anew
from vdb.index.curator.room import grown, seconds_of
from vdb.index.curator.state import (
    ALIVE,
    LIST_ENTRIES,
    NO_PLACES,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    Pairs,
    Reading,
    State,
)
from vdb.index.curator.tails import appended, folded, revoked, should_fold
from vdb.index.curator.watch import Watched
from vdb.index.kmeans import Check, unasked
from vdb.index.noting import Noting
from vdb.kernels import Kernels, current
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.types import Metric

GROWTH = 1.25

RELAYOUT_SHARE = 0.12
LEAST_CHANGES = 1_024
"""A layout is due when this share of the rows, or of the places in lists, is new or gone."""
LAST_OFFSET = 1 << 31
"""Sequences since a layout fit 32 bits; another one is due long before they do not."""


class Vectors(Protocol):
    """Full-precision vectors in slots, for re-ranking."""

    @property
    def rows(self) -> Float32s:
        """float32 (slots, D), all that were put; stays valid, and stays as it is, for whoever holds it."""

    def put(self, slots: UInt32s, vectors: Float32s) -> None: ...


class Effort(NamedTuple):
    """How far a search goes: rows scored beyond those that are scanned whole; candidates compared by full vectors."""

    budget: int
    candidates: int


class Found(NamedTuple):
    """Of one query, nearest first: distance float32 (k,) as kernels state it (L2 squared), row int64 (k,), −1 for none.

    statistics int64 (4,): entries scored, entries scanned, rows scored, rows compared by their vectors.
    """

    distance: Float32s
    row: Int64s
    statistics: Int64s


class CuratorIndex(Noting, Watched):
    """Made by `build`, or of a state read from files; takes changes from then on."""

    def __init__(self, state: State, vectors: Vectors, n_slots: int) -> None:
        self._state = state
        self._vectors = vectors
        self._n_slots = n_slots
        self._free_slots = NO_PLACES
        self.n_slots_laid = n_slots
        self._n_rows = state.rows.n_laid
        self._finder = Finder(state.rows)
        self._n_ended = 0
        self._n_named = 0
        self._newest_sequence = state.floor_sequence

    @classmethod
    def build(
        cls,
        model: Model,
        pids: UInt32s,
        owners: UInt32s,
        expires_at_ms: Int64s,
        tenants: UInt32s,
        granted: Pairs,
        vectors: Vectors,
        sequence: int,
        kernels: Kernels | None = None,
        check: Check = unasked,
    ) -> Self:
        """An index of these points as they stand at `sequence`; slot i of `vectors` is point i's, prepared."""
        chosen = kernels or current()
        n = len(pids)
        slots = np.arange(n, dtype=np.uint32)
        codes, offsets, cells = coded(model, vectors.rows, slots, chosen, check)
        given = Unordered(
            codes,
            offsets,
            pids,
            slots,
            owners,
            cells,
            np.full(n, ALIVE, np.uint32),
            seconds_of(expires_at_ms) if expires_at_ms.any() else NO_PLACES,
        )
        laid, directories = lay_out(model, given, tenants, granted, sequence, chosen, check)
        return cls(State(model, laid, directories, {}, vectors.rows, sequence), vectors, n)

    @property
    def state(self) -> State:
        """The newest published state; take the sequence to search at before it."""
        return self._state

    @property
    def n_rows(self) -> int:
        """Rows there are, dead ones included."""
        return self._n_rows

    @property
    def n_slots(self) -> int:
        """Slots below this were given out."""
        return self._n_slots

    @property
    def n_live(self) -> int:
        """Rows that no write has ended; expired ones count until they are purged."""
        return self._n_rows - self._n_ended

    @property
    def nbytes(self) -> int:
        """Bytes in RAM, without room that nothing was written to; the vectors' file is not among them."""
        rows, directories = self._state.rows, self._state.directories
        n_bytes = sum(array.nbytes for array in rows.arrays) * self._n_rows // max(1, rows.capacity)
        changed = sum(r.nbytes for r in list(self._state.changed.values()) if r.listed is not directories.listed)
        return n_bytes + directories.nbytes + self._finder.nbytes + self._free_slots.nbytes + changed

    def bytes_of(self, tenant: int) -> tuple[int, int]:
        """Bytes of the codes that a tenant's reading names, and of all else about its rows."""
        rows, reading = self._state.rows, self._state.reading(tenant)
        own = int(reading.spans[OWN_STOP] - reading.spans[OWN_FIRST])
        n_entries = int(reading.spans[OWN_ENTRIES] + reading.spans[LIST_ENTRIES])
        of_row = sum(array.itemsize for array in rows.arrays[1:] if len(array))
        listed = 4 * (reading.n_rows - own) + 8 * n_entries + reading.spans.nbytes
        return reading.n_rows * rows.codes.shape[1], reading.n_rows * of_row + listed

    @property
    def should_lay_out(self) -> bool:
        """Whether so much has changed since the layout that another one pays."""
        rows, listed = self._state.rows, self._state.directories.listed
        n_changed = self._n_rows - rows.n_laid + self._n_ended
        is_far_on = self._state.rows.base_sequence + LAST_OFFSET < self._newest_sequence
        return is_far_on or (
            n_changed > max(LEAST_CHANGES, RELAYOUT_SHARE * rows.n_laid)
            or self._n_named > max(LEAST_CHANGES, RELAYOUT_SHARE * (len(listed) + rows.n_laid))
        )

    @property
    def n_late(self) -> int:
        """Rows that wait for a layout to be searched as others are: none."""
        return 0

    @property
    def is_full(self) -> bool:
        """Whether so many wait that no more should come: never."""
        return False

    # Reading

    def search(
        self,
        state: State,
        mine: Reading,
        everyones: Reading,
        query: Float32s,
        k: int,
        sequence: int,
        now_ms: int,
        effort: Effort,
        kernels: Kernels | None = None,
    ) -> Found:
        """The nearest rows of two readings of `state`, a tenant's and everyone's, visible at `sequence` and `now_ms`.

        For more than `MOST_SORTED` rows all are compared.
        """
        if k > MOST_SORTED:
            distance, row = nearest_of_all(state, (mine, everyones), query, k, sequence, now_ms)
            n_rows = mine.n_rows + everyones.n_rows
            n_entries = mine.n_entries + everyones.n_entries
            return Found(distance, row, np.array([n_entries, n_entries, n_rows, n_rows], np.int64))
        distance, row = np.empty(k, np.float32), np.empty(k, np.int64)
        statistics = np.empty(4, np.int64)
        (kernels or current()).search_cells(
            query, *state.tables, mine.table, everyones.table, sequence - state.rows.base_sequence, now_ms // 1000,
            effort.budget + mine.n_whole + everyones.n_whole, max(k, effort.candidates), distance, row, statistics,
        )  # fmt: skip
        return Found(distance, row, statistics)

    def rows_of(self, pids: UInt32s) -> Int64s:
        """The live rows of pids, int64 (n,), −1 where there is none. For the writer."""
        return self._finder.find(self._state.rows, pids)

    def distances_of(self, state: State, query: Float32s, pids: UInt32s) -> tuple[Float32s, NDArray[np.bool_]]:
        """Distances float32 (n,) of points from a query (d,), squared for l2, and of which (n,) they are: of those of
        the layout that are still alive."""
        known, rows_of = self._finder.laid
        distance = np.empty(len(pids), np.float32)
        if not len(known):
            return distance, np.zeros(len(pids), np.bool_)
        places = np.minimum(known.searchsorted(pids), len(known) - 1)
        rows = rows_of.take(places)
        slots = state.rows.slots.take(rows)
        metric = state.model.metric
        if metric is Metric.L2:
            difference = state.vectors[slots] - query
            np.einsum("ij,ij->i", difference, difference, out=distance)
        else:
            current().compare_rows(prepared_query(query, metric), state.vectors, slots, distance)
            np.subtract(np.float32(1 if metric is Metric.COSINE else 0), distance, out=distance)
        # After they were read: a slot is not written to while its row lives.
        alive = state.rows.dead_at.take(rows) == ALIVE
        return distance, (known.take(places) == pids) & alive

    # Writing

    def put(
        self,
        owner: int,
        pids: UInt32s,
        vectors: Float32s,
        expires_at_ms: Int64s,
        puts: Mapping[int, Sequence[int] | None],
        sequence: int,
    ) -> None:
        """Points written at `sequence`. `puts` names per audience (t owns, −t is granted) which of them, None for all.

        Points that are put for their owner are new or have a new vector; others exist and are granted.
        """
        self._note(lambda index: index.put(owner, pids, vectors, expires_at_ms, puts, sequence))
        self._newest_sequence = sequence
        written = puts.get(owner, ())
        new = np.arange(len(pids)) if written is None else np.asarray(written, np.int64)
        rows = np.empty(len(pids), np.int64)
        if len(new):
            self._end(pids[new], sequence)
            rows[new] = self._append(owner, pids[new], vectors[new], expires_at_ms[new], sequence)
        if len(new) < len(pids):
            others = np.setdiff1d(np.arange(len(pids)), new)
            rows[others] = self.rows_of(pids[others])
        for audience, positions in puts.items():
            mine = rows if positions is None else rows[np.asarray(positions, np.int64)]
            self._extend(abs(audience), mine[mine >= 0].astype(np.uint32), sequence)

    def kill(self, pids: UInt32s, sequence: int) -> None:
        """The points' vectors are gone from `sequence` on, for everyone."""
        self._note(lambda index: index.kill(pids, sequence))
        self._newest_sequence = sequence
        self._end(pids, sequence)

    def revoke(self, tenant: int, pids: UInt32s) -> None:
        """`tenant` may not see the points any more; searches already under way are checked against the store."""
        self._note(lambda index: index.revoke(tenant, pids))
        rows, reading = self.rows_of(pids), self._state.reading(tenant)
        for marked in revoked(reading, self._state.rows, rows[rows >= 0].astype(np.uint32)):
            self._tell_revoked(*marked)
        self._n_named += len(pids)

    def reuse(self, slots: UInt32s) -> None:
        """Give these slots out again, before new ones: nobody reads them any more. Not while a successor is made."""
        assert self._log is None, "a successor gives its rows the same slots"
        self._free_slots = np.concatenate((self._free_slots, slots))

    def skip_slots(self, n_slots: int) -> None:
        """Give out none below `n_slots`: an index before this one may still be read from them."""
        self._n_slots = max(self._n_slots, n_slots)

    def rest_on(self, state: State) -> None:
        """Take the same state in other arrays, before anybody reads or writes it."""
        self._state = state

    def raise_floor(self, sequence: int) -> None:
        """Answer for no sequence before this one: what led up to it was not done as it happened."""
        self._state = replace(self._state, floor_sequence=sequence)

    # Layout

    def begin_layout(self, sequence: int) -> Moment:
        """What a successor is made of; from now on changes are noted for it. `sequence` is the newest published."""
        self._begin_noting()
        changed = dict(self._state.changed)
        return Moment(self._state, self._n_rows, self._n_slots, self._free_slots, changed, sequence)

    def successor(
        self,
        moment: Moment,
        model: Model | None = None,
        cells: UInt32s | None = None,
        is_recoded: bool = False,
        check: Check = unasked,
    ) -> Self:
        """An index in a new layout, as of `moment`; not on the writer's thread. `replay` brings it up to date.

        `cells` come with a `model` whose cells are others but whose codes mean the same; with `is_recoded` all rows
        are coded anew, from their vectors.
        """
        chosen = model or moment.state.model
        rows, directories = laid_out_anew(moment, chosen, cells, is_recoded, current(), check)
        state = State(chosen, rows, directories, {}, moment.state.vectors, moment.sequence)
        made = type(self)(state, self._vectors, moment.n_slots)
        made._free_slots = moment.free_slots
        return made

    def _end(self, pids: UInt32s, sequence: int) -> None:
        rows, since = self.rows_of(pids), sequence - self._state.rows.base_sequence
        rows = rows[rows >= 0]
        self._state.rows.dead_at[rows] = since
        self._n_ended += len(rows)
        self._tell_ended(rows, since)

    def _append(self, owner: int, pids: UInt32s, vectors: Float32s, expires_at_ms: Int64s, sequence: int) -> Int64s:
        """New rows that no reading names yet."""
        ready = prepared(vectors, self._state.model.metric)
        slots = self._take_slots(len(pids))
        self._vectors.put(slots, ready)
        self._state = replace(self._state, vectors=self._vectors.rows)  # before `n_rows` counts what they are of
        codes, offsets, cells = self._state.model.place_rows(ready, current())
        expires_at = seconds_of(expires_at_ms) if expires_at_ms.any() else NO_PLACES
        return self.take_in(owner, pids, codes, offsets, cells, slots, expires_at, sequence)

    def take_in(
        self, owner: int, pids: UInt32s, codes: UInt8s, offsets: Float32s, cells: UInt32s, slots: UInt32s,
        expires_at: UInt32s, sequence: int,
    ) -> Int64s:  # fmt: skip
        """New rows that are coded already, their vectors in `slots`; `expires_at` in seconds, (0,) where none does.

        They are seen once a reading names them: `put` may grant them. Not while a successor is made.
        """
        first, stop = self._n_rows, self._n_rows + len(pids)
        rows = self._with_room(len(pids), bool(len(expires_at))).rows
        rows.codes[first:stop], rows.cells[first:stop] = codes, cells
        if len(offsets):
            rows.offsets[first:stop] = offsets
        rows.pids[first:stop] = pids
        rows.slots[first:stop] = slots
        rows.owners[first:stop] = owner
        rows.dead_at[first:stop] = ALIVE
        rows.added_at[first - rows.n_laid : stop - rows.n_laid] = sequence - rows.base_sequence
        if len(rows.expires_at):
            rows.expires_at[first:stop] = expires_at if len(expires_at) else 0
        self._finder.add(rows, first, stop)
        self._n_rows = stop
        return np.arange(first, stop)

    def _take_slots(self, n: int) -> UInt32s:
        reused, self._free_slots = self._free_slots[:n], self._free_slots[n:]
        first = self._n_slots
        self._n_slots += n - len(reused)
        return np.concatenate((reused, np.arange(first, self._n_slots, dtype=np.uint32)))

    def _extend(self, tenant: int, rows: UInt32s, sequence: int) -> None:
        """Name the rows in a tenant's tail; fold it into the list when it is long."""
        state = self._state
        reading = appended(state.reading(tenant), rows)
        if should_fold(reading):
            floor = state.floor_sequence - state.rows.base_sequence
            reading = folded(reading, state.model, state.rows, floor, current())
        state.changed[tenant] = reading
        state.seen.pop(tenant, None)
        self._n_named += len(rows)

    def _with_room(self, n_more: int, has_expiry: bool) -> State:
        """The state with capacity for `n_more` rows, and with expiries where they are needed now."""
        state = self._state
        rows = state.rows
        if has_expiry and not len(rows.expires_at):
            rows = replace(rows, expires_at=np.zeros(rows.capacity, np.uint32))
        needed = self._n_rows + n_more
        if needed > rows.capacity:
            rows = grown(rows, max(needed, int(rows.capacity * GROWTH)))
        if rows is state.rows:
            return state
        # Readers of the old state keep its readings: what is named from now on lies beyond their arrays.
        self._state = replace(state, rows=rows, changed=dict(state.changed), seen={})
        return self._state
