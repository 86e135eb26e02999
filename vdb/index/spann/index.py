"""The shared index of a collection whose posting lists lie on disk.

In RAM are the heads of the lists, directories, and where pages lie: some 13 bytes per row, whatever its dimension; and
what was written since the last layout, until a fold lays it out (`fold.py`). One writer at a time (the caller holds a
lock); any number of threads search `state`, without locks.
Source: SPANN (arXiv 2111.08566) and SPFresh (arXiv 2410.14452) over the readings of Curator (arXiv 2401.07119);
DESIGN §2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np

from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Model
from vdb.index.curator.room import seconds_of
from vdb.index.curator.state import LIST_FIRST, LIST_STOP, NO_PLACES, OWN_FIRST, OWN_STOP, REVOKED, Pairs
from vdb.index.curator.state import Reading as LateReading
from vdb.index.kmeans import Check, unasked
from vdb.index.noting import Noting
from vdb.index.spann.coding import spread_of
from vdb.index.spann.deepening import deepened
from vdb.index.spann.late import late_effort, nothing_late
from vdb.index.spann.layout import Numbers, lay_out
from vdb.index.spann.narrowing import Narrowed
from vdb.index.spann.search import Effort, Found, laid_ones, n_named, with_late_ones
from vdb.index.spann.state import NO_ROW, SLOTS, Laid, State
from vdb.kernels import Kernels, current
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.storage.lists import Lists
from vdb.types import EVERYONE_ID, Metric

FOLD_SHARE = 0.05
LEAST_FOLD = 4_096
"""A fold is due when so many rows are late, copied, ended or revoked, or this share of the layout's."""
FULL_FOLDS = 4
"""The backlog is full when so many times what makes a fold due is late."""
ROW_BYTES = 12
"""Of a row of the layout, in RAM or mapped: its list, its number by pid, its end."""
LAST_OFFSET = 1 << 31
"""Sequences since a layout fit 32 bits; a fold is due long before they do not."""


class Given(Protocol):
    """Vectors that an index is built of."""

    @property
    def rows(self) -> Float32s:
        """float32 (slots, D), prepared."""


class Vectors(Protocol):
    """Full-precision vectors in slots, mapped."""

    @property
    def rows(self) -> Float32s:
        """float32 (slots, D), all that were put; stays valid, and stays as it is, for whoever holds it."""

    def put(self, slots: UInt32s, vectors: Float32s) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An index as it stood at `sequence`: `n_late` of its late rows, the slots it had to give out, and the readings of
    late rows."""

    state: State
    n_late: int
    n_slots: int
    free_slots: UInt32s
    changed: dict[int, LateReading]
    sequence: int


class SpannIndex(Noting):
    """Made by `build`, or of a layout that was opened; takes changes from then on."""

    def __init__(self, laid: Laid, vectors: Vectors, n_slots: int, late: CuratorIndex | None = None) -> None:
        self._laid = laid
        self._vectors = vectors
        self.n_slots_laid = n_slots
        self._late = late or CuratorIndex(nothing_late(laid.model, vectors.rows, laid.base_sequence), vectors, n_slots)
        self._n_ended = 0
        self._n_copied = 0
        self._n_revoked = 0
        self._newest_sequence = laid.base_sequence

    @classmethod
    def build(
        cls,
        model: Model,
        pids: UInt32s,
        owners: UInt32s,
        expires_at_ms: Int64s,
        tenants: UInt32s,
        granted: Pairs,
        vectors: Given,
        ordered: Vectors,
        lists: Lists,
        sequence: int,
        kernels: Kernels | None = None,
        check: Check = unasked,
        deep: tuple[Model, UInt32s] | None = None,
    ) -> Self:
        """An index of these points as they stand at `sequence`; slot i of `vectors` is point i's, prepared.

        `model` is one for RAM, whose cells are split, unless `deep` is what `deepened` made of it. Vectors are written
        to `ordered` in the order of the layout: those of a list lie together. Pages go to a new generation of `lists`.
        Raises DiskFull, StorageFailure.
        """
        chosen = kernels or current()
        n = len(pids)
        tree, cells = deep or deepened(model, vectors.rows[:n], chosen, check)
        expires_at = seconds_of(expires_at_ms) if expires_at_ms.any() else None
        n_put = 0

        def fetch(rows: UInt32s) -> tuple[UInt8s, Sequence[UInt32s]]:
            nonlocal n_put
            slots = np.arange(n_put, n_put + len(rows), dtype=np.uint32)
            n_put += len(rows)
            block = vectors.rows[rows]
            ordered.put(slots, block)
            codes, offsets = tree.encode_rows(block)
            columns = [pids[rows], slots]
            columns += [offsets.view(np.uint32)] if tree.metric is Metric.L2 else []
            columns += [expires_at[rows]] if expires_at is not None else []
            return codes, columns

        given = Numbers(owners, cells, tenants, granted)
        written = lay_out(tree, given, expires_at is not None, fetch, lists, chosen, check)
        laid = Laid(
            model=tree,
            pages=written.pages,
            directories=written.directories,
            vectors=ordered.rows,
            cells=written.cells,
            row_of_pid=written.row_of_pid,
            unnamed=NO_PLACES,
            has_expiry=expires_at is not None,
            spread=spread_of(tree, vectors.rows[:n]),
            base_sequence=sequence,
        )
        return cls(laid, ordered, n)

    @property
    def state(self) -> State:
        """The newest published state; take the sequence to search at before it."""
        return State(self._laid, self._late.state)

    @property
    def n_rows(self) -> int:
        """Rows there are, dead ones and copies included."""
        return self._laid.n_rows + self._late.n_rows

    @property
    def n_live(self) -> int:
        """Rows that no write has ended; expired ones count until they are purged."""
        return self._laid.n_rows - self._n_ended + self._late.n_live - self._n_copied

    @property
    def n_slots(self) -> int:
        """Slots below this were given out."""
        return self._late.n_slots

    @property
    def n_late(self) -> int:
        """Rows that wait for a fold."""
        return self._late.n_rows

    @property
    def nbytes(self) -> int:
        """Bytes in RAM, without room that nothing was written to; what lies in files is not among them."""
        return self._laid.nbytes + 4 * self._n_ended + self._late.nbytes

    def bytes_of(self, tenant: int) -> tuple[int, int]:
        """Bytes in RAM of the codes that a tenant's reading names, which late rows alone have, and of all else."""
        reading, (of_codes, of_late) = self._laid.reading(tenant), self._late.bytes_of(tenant)
        n_granted = reading.n_rows - int(reading.spans[OWN_STOP] - reading.spans[OWN_FIRST])
        listed = 4 * n_granted + 8 * reading.n_entries + reading.spans.nbytes
        return of_codes, of_late + listed + ROW_BYTES * (reading.n_rows - n_granted)

    @property
    def fold_rows(self) -> int:
        """Late, ended or revoked rows from which on a fold is due."""
        return max(LEAST_FOLD, int(FOLD_SHARE * self._laid.n_rows))

    @property
    def should_lay_out(self) -> bool:
        """Whether a fold is due."""
        n_changed = self._late.n_rows + self._n_ended + self._n_revoked
        is_far_on = self._laid.base_sequence + LAST_OFFSET < self._newest_sequence
        return is_far_on or n_changed >= self.fold_rows

    @property
    def is_full(self) -> bool:
        """Whether so many rows wait for a fold that no more should come."""
        return self._late.n_rows >= FULL_FOLDS * self.fold_rows

    # Reading

    def search(
        self,
        state: State,
        tenant: int,
        query: Float32s,
        k: int,
        sequence: int,
        now_ms: int,
        effort: Effort,
        narrowed: Narrowed | None = None,
    ) -> Found:
        """The nearest rows that a tenant may see at `sequence` and `now_ms`, its own, granted ones and everyone's, or
        those of them that `narrowed` has.

        Raises CorruptData where a page is damaged: the index is to be made anew.
        """
        laid, late = state.laid, state.late
        if narrowed is None:
            tables = laid.table(tenant), laid.table(EVERYONE_ID)
            readings = late.reading(tenant), late.reading(EVERYONE_ID)
        else:
            tables, readings = narrowed.tables, narrowed.late
        found = laid_ones(laid, tables, query, k, sequence, now_ms, effort)
        n_late = readings[0].n_rows + readings[1].n_rows
        if n_late == 0:
            return found
        its_effort = late_effort(effort.budget, effort.candidates, sum(map(n_named, tables)), n_late)
        others = self._late.search(late, *readings, query, k, sequence, now_ms, its_effort)
        return with_late_ones(found, others, state, k)

    @staticmethod
    def n_named(state: State, tenant: int) -> int:
        """Rows that the readings of a tenant and of everyone name, dead and revoked ones included."""
        laid, late = state.laid, state.late
        return sum(n_named(laid.table(of)) + late.reading(of).n_rows for of in (tenant, EVERYONE_ID))

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

        Points that are put for their owner are new or have a new vector; others exist and are granted: of those that
        the layout has, late rows are copies.
        """
        self._note(lambda index: index.put(owner, pids, vectors, expires_at_ms, puts, sequence))
        self._newest_sequence = sequence
        written = puts.get(owner, ())
        is_new = np.full(len(pids), written is None)
        if written is not None:
            is_new[np.asarray(written, np.int64)] = True
        self._end(pids[is_new], sequence)
        others = np.flatnonzero(~is_new)
        self._copy(owner, pids[others], sequence)
        self._late.put(owner, pids, vectors, expires_at_ms, puts, sequence)

    def _copy(self, owner: int, pids: UInt32s, sequence: int) -> None:
        """Have late rows, in the same slots, of what only the layout has: late readings may name them then."""
        laid = self._laid
        pids = pids[self._late.rows_of(pids) < 0]
        rows = laid.rows_of(pids)
        pids, rows = pids[rows != NO_ROW], rows[rows != NO_ROW]
        is_alive = laid.ended_at[pids] == 0
        pids, rows = pids[is_alive], rows[is_alive]
        if not len(pids):
            return
        codes, columns = laid.fetch(rows)
        offsets = columns[SLOTS + 1].view(np.float32) if laid.model.metric is Metric.L2 else np.zeros(0, np.float32)
        expires_at = columns[-1] if laid.has_expiry else NO_PLACES
        self._late.take_in(owner, pids, codes, offsets, laid.cells[rows], columns[SLOTS], expires_at, sequence)
        self._n_copied += len(pids)

    def kill(self, pids: UInt32s, sequence: int) -> None:
        """The points' vectors are gone from `sequence` on, for everyone."""
        self._note(lambda index: index.kill(pids, sequence))
        self._newest_sequence = sequence
        self._end(pids, sequence)
        self._late.kill(pids, sequence)

    def revoke(self, tenant: int, pids: UInt32s) -> None:
        """`tenant` may not see the points any more; searches already under way are checked against the store."""
        self._note(lambda index: index.revoke(tenant, pids))
        self._late.revoke(tenant, pids)
        rows = self._laid.rows_of(pids)
        rows = rows[rows != NO_ROW]
        spans = self._laid.reading(tenant).spans
        listed = self._laid.directories.listed[spans[LIST_FIRST] : spans[LIST_STOP]]
        places = np.flatnonzero(np.isin(listed, rows))
        listed[places] |= np.uint32(REVOKED)
        self._n_revoked += len(places)

    def _end(self, pids: UInt32s, sequence: int) -> None:
        """Note the end of laid rows, but for those that ended before."""
        laid = self._laid
        there = pids[laid.rows_of(pids) != NO_ROW]
        there = there[laid.ended_at[there] == 0]
        laid.ended_at[there] = sequence - laid.base_sequence + 1
        self._n_ended += len(there)
        self._n_copied -= int(np.count_nonzero(self._late.rows_of(there) >= 0))  # they end as well

    def reuse(self, slots: UInt32s) -> None:
        """Give these slots out again, before new ones: nobody reads them any more. Not while a successor is made."""
        assert self._log is None, "a successor gives its rows the same slots"
        self._late.reuse(slots)

    def skip_slots(self, n_slots: int) -> None:
        """Give out none below `n_slots`: an index before this one may still be read from them."""
        self._late.skip_slots(n_slots)

    def raise_floor(self, sequence: int) -> None:
        """Answer for no sequence before this one: what led up to it was not done as it happened."""
        self._late.raise_floor(sequence)

    def rest_on(self, laid: Laid) -> None:
        """Take the same layout in other arrays, before anybody reads or writes it."""
        self._laid = laid
        self._late.rest_on(replace(self._late.state, model=laid.model))

    # Layout

    def begin_layout(self, sequence: int) -> Moment:
        """What a fold is made of; from now on changes are noted for its outcome. `sequence` is the newest published."""
        self._begin_noting()
        late = self._late.begin_layout(sequence)
        self._late.abandon_layout()  # the log is this index's
        return Moment(State(self._laid, late.state), late.n_rows, late.n_slots, late.free_slots, late.changed, sequence)

    def successor(self, moment: Moment, laid: Laid) -> Self:
        """An index in a new layout, as of `moment`. `replay` brings it up to date."""
        late = CuratorIndex(
            nothing_late(laid.model, self._vectors.rows, moment.sequence), self._vectors, moment.n_slots
        )
        late.reuse(moment.free_slots)
        return type(self)(laid, self._vectors, moment.n_slots, late)
