"""The copy of an index on a device: its rows by pages, the readings that are searched, all as they are now.

A search brings the copy up to date before it is answered. Nothing is stale, because of an order: the writer writes,
tells the watches, and then its commit is published; who asks has a published sequence, and then takes the state; here
the watch is emptied first, then the rows are counted, then the newest state is taken. So all that was told of is in the
arrays of that state, what is told of later is told to the next search, and nobody's sequence reaches that far.

Memory: model and readings first, readings up to `READINGS_SHARE`; the rest is for pages, with the vectors where those
of all rows have room, else with codes only. See the parts: `watch`, `resident_pages`, `resident_places`,
`resident_readings`, `resident_wishes`, `resident_comparing`.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.queries import queries_of
from vdb.index.curator.resident_comparing import compared
from vdb.index.curator.resident_model import put_model
from vdb.index.curator.resident_pages import ResidentPages, page_bytes, pages_for
from vdb.index.curator.resident_readings import Known, ResidentReadings
from vdb.index.curator.resident_wishes import Wishes
from vdb.index.curator.state import Reading, State
from vdb.index.curator.watch import Noted
from vdb.kernels import current
from vdb.kernels.device import COLUMNS, Device, DeviceFailed, DeviceLost, ResidentModel, Wanted
from vdb.kernels.reference import Float32s, Int64s

MOST_CANDIDATES: Final = 1_024
"""What kernels keep of a query."""
DEPTHS: Final = (64, 256, MOST_CANDIDATES)
"""Searches of up to so many candidates are answered together, with as many as the one that wants most."""
READINGS_SHARE = 1 / 8
BROUGHT_BYTES: Final = 16 << 20
"""About so much comes to the device at the end of a search, a page at least: its answers wait for that."""
IDLE_BYTES: Final = 256 << 20
"""And while nobody waits."""
MOST_PENDING: Final = 1 << 20
"""Rows and places that were told of and could not be written, before all begins anew."""


class Refusal(StrEnum):
    """Why an ask was not answered: the host answers it."""

    NOT_RESIDENT = "not resident"
    """Rows of it are not there; they were asked for, and a later search may find them."""
    NO_ROOM = "no room"
    """All that it searches is more than the device's memory for this index."""
    NO_VECTORS = "no vectors"
    """It is exact, and only codes are there."""
    TOO_DEEP = "too deep"
    """It wants more neighbours or candidates than kernels keep."""
    SHORT = "short"
    """Fewer neighbours than it wants were found where not everything was visited: a larger budget finds more."""
    OLDER = "older"
    """Its state is of another layout than what is there, or the index is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One search, as `CuratorIndex.search` takes it: `query` float32 (D,), finite, as it came.

    `is_exact`: every row of the readings is compared by its vector, whatever the effort.
    """

    state: State
    mine: Reading
    everyones: Reading
    query: Float32s
    k: int
    sequence: int
    now_ms: int
    effort: Effort
    is_exact: bool = False


Answer = Found | Refusal
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Group:
    """Asks that one launch answers: their places among all, lines of their readings two by two, and what they want."""

    is_exact: bool
    places: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    wanted: list[tuple[int, int, int]] = field(default_factory=list)
    """sequence, now_s, budget"""
    m: int = 1
    k: int = 1


@dataclass(slots=True, eq=False)
class Traffic:
    """What went to a device since a copy was made: pages that came, and went; rows that were appended or ended."""

    n_pages_in: int = 0
    n_pages_out: int = 0
    n_rows: int = 0


class ResidentIndex:
    """The copy of one `CuratorIndex`, which it does not keep alive; a successor has a copy of its own.

    One thread. Whoever made it closes it. Methods raise OutOfDeviceMemory, after which the copy answers as before and
    may be given less memory; and DeviceLost, after which it is closed.
    """

    def __init__(self, device: Device, index: CuratorIndex, most_bytes: int) -> None:
        self._device = device
        self._index = weakref.ref(index)
        self._watch = index.watch()
        state = index.state
        self._model = state.model
        self._directories = weakref.ref(state.directories)
        self._of_model: ResidentModel | None = put_model(device, state.model)
        self._readings = ResidentReadings(device, int(READINGS_SHARE * most_bytes))
        self._pages: ResidentPages | None = None
        self._wishes = Wishes()
        self._noted = Noted()
        self._most_bytes = most_bytes
        self._laid_for = -1, -1
        self._n_lost = 0
        self._n_asks = 0
        self.traffic = Traffic()

    @property
    def nbytes(self) -> int:
        """Bytes on the device, now. Any thread."""
        pages = self._pages
        return self._model_bytes + self._readings.nbytes + (pages.nbytes if pages is not None else 0)

    @property
    def most_bytes(self) -> int:
        """Bytes that it may take."""
        return self._most_bytes

    @most_bytes.setter
    def most_bytes(self, n_bytes: int) -> None:
        """Where it has more, memory is given back at once; what is asked for most comes again first."""
        self._most_bytes = n_bytes
        self._readings.limit(int(READINGS_SHARE * n_bytes))
        if self.nbytes > n_bytes:
            self._drop_pages()

    @property
    def has_vectors(self) -> bool:
        """Whether candidates are compared on the device; on the host otherwise, and exact searches are refused."""
        return self._pages is not None and self._pages.has_vectors

    @property
    def is_closed(self) -> bool:
        return self._of_model is None

    def search(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of the asks. Those of a kind are answered by one launch.

        With the m candidates of the one that wants most: never fewer than an ask's own effort says.
        """
        return self._guarded(lambda: self._search(asks))

    def bring_in(self) -> bool:
        """Have some of the pages come that were asked for, or that there is room for; whether more may. For when
        nobody waits."""
        return self._guarded(lambda: self._come(self._catch_up(), IDLE_BYTES))

    def close(self) -> None:
        """Give all memory back; what is asked after this fails."""
        self._drop_pages()
        self._readings.clear()
        self._of_model = None

    # Keeping up

    def _guarded(self, work: Callable[[], _T]) -> _T:
        if self._of_model is None:
            raise DeviceFailed("the copy of an index is closed")
        try:
            return work()
        except DeviceLost:
            self.close()
            raise

    def _catch_up(self) -> State | None:
        """All that was published by now is on the device, of pages and readings that are; None without an index."""
        index = self._index()
        if index is None:
            return None
        noted = self._watch.take()
        if noted is None or self._n_pending > MOST_PENDING:
            self._noted = Noted()
            self._readings.clear()
            if self._pages is not None:
                self._pages.give_up(self._pages.held)
        if noted is not None:
            self._noted.ended.extend(noted.ended)
            self._noted.revoked.extend(noted.revoked)
        n_rows = index.n_rows  # before the state, whose arrays then have as many
        state = index.state
        self._make_room(state)
        if self._pages is not None:
            self.traffic.n_rows += self._pages.extend(state, n_rows)
        self._apply()
        return state

    @property
    def _n_pending(self) -> int:
        noted = self._noted
        return sum(len(rows) for rows, _ in noted.ended) + sum(len(places) for *_, places in noted.revoked)

    def _apply(self) -> None:
        """What was told of stays noted until all of it is written."""
        noted = self._noted
        if noted.revoked:
            self._readings.mark(noted.revoked)
        if noted.ended and self._pages is not None:
            rows = np.concatenate([rows for rows, _ in noted.ended])
            dead_at = np.repeat([since for _, since in noted.ended], [len(rows) for rows, _ in noted.ended])
            rows, which = np.unique(rows, return_index=True)
            self._pages.end(rows, dead_at[which].astype(np.uint32))
            self.traffic.n_rows += len(rows)
        if noted.ended or noted.revoked:
            self._noted = Noted()

    @property
    def _model_bytes(self) -> int:
        model = self._of_model
        return 0 if model is None else model.node_codes.nbytes + model.node_heads.nbytes

    def _make_room(self, state: State) -> None:
        """Blocks of pages as many as the index may come to have, or as there is memory for."""
        laid_for = state.rows.capacity, self._most_bytes
        if laid_for == self._laid_for:
            return
        encoding, dimension = self._model.encoding, self._model.dimension
        n_all = max(1, pages_for(state.rows.capacity))
        room = int((1 - READINGS_SHARE) * self._most_bytes) - self._model_bytes - 4 * n_all
        has_vectors = n_all * page_bytes(encoding, dimension, True) <= room
        n_slots = max(0, min(n_all, room // page_bytes(encoding, dimension, has_vectors)))
        n_now = self._pages.n_slots if self._pages is not None else 0
        if has_vectors != self.has_vectors or n_slots > n_now:
            n_lost = self._drop_pages()  # nobody else holds them: there need not be memory for both
            if n_slots:
                self._pages = ResidentPages(self._device, encoding, dimension, n_slots, has_vectors, n_lost)
        self._laid_for = laid_for

    def _drop_pages(self) -> int:
        """Give their memory back; returns how many were lost by now."""
        pages, self._pages = self._pages, None
        self._laid_for = -1, -1
        if pages is not None:
            self.traffic.n_pages_out += pages.n_held
            self._n_lost = pages.n_lost + pages.n_held + 1
        return self._n_lost

    def _come(self, state: State | None, n_bytes: int) -> bool:
        """Have pages come, whether more may."""
        pages = self._pages
        if state is None or pages is None or not self._wishes.are_open(pages):
            return False
        n_held, n_lost = pages.n_held, pages.n_lost
        n_most = max(1, n_bytes // page_bytes(self._model.encoding, self._model.dimension, pages.has_vectors))
        try:
            self._wishes.grant(pages, state, self._readings.heat(pages.n_known, self._n_asks), n_most)
        finally:
            n_gone = pages.n_lost - n_lost
            self.traffic.n_pages_out += n_gone
            self.traffic.n_pages_in += pages.n_held - n_held + n_gone
        return self._wishes.are_open(pages)

    # Searching

    def _search(self, asks: Sequence[Ask]) -> list[Answer]:
        answers: list[Answer] = [Refusal.OLDER] * len(asks)
        state = self._catch_up()
        if state is None:
            return answers
        for group in self._groups(asks, answers, state.rows.base_sequence):
            self._answer(group, asks, answers, state)
        self._come(state, BROUGHT_BYTES)
        return answers

    def _groups(self, asks: Sequence[Ask], answers: list[Answer], base: int) -> list[_Group]:
        """Those that can be answered; of the others `answers` says why not."""
        fit = self._fitting(asks, answers)
        groups: dict[tuple[bool, int], _Group] = {}
        for i, (mine, everyones) in zip(fit, self._known(asks, fit), strict=True):
            ask = asks[i]
            if mine is None or everyones is None:
                answers[i] = Refusal.NO_ROOM
                continue
            mine.n_asked += 1
            everyones.n_asked += 1
            missing = self._missing(mine, everyones)
            if missing is not None:
                answers[i] = missing
                continue
            k, effort = ask.k, ask.effort
            m = k if ask.is_exact else max(k, effort.candidates)
            key = ask.is_exact, 0 if m <= DEPTHS[0] else 1 if m <= DEPTHS[1] else 2
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(ask.is_exact)
            group.places.append(i)
            group.lines += mine.line, everyones.line
            group.wanted.append(
                (ask.sequence - base, ask.now_ms // 1000, effort.budget + mine.n_whole + everyones.n_whole)
            )
            if m > group.m:
                group.m = m
            if k > group.k:
                group.k = k
        return list(groups.values())

    def _fitting(self, asks: Sequence[Ask], answers: list[Answer]) -> list[int]:
        """Places of the asks that are of this layout and not too deep."""
        directories, has_vectors = self._directories(), self.has_vectors
        self._n_asks += len(asks)
        fit = []
        for i, ask in enumerate(asks):
            if ask.state.directories is not directories:
                continue
            if ask.k > MOST_CANDIDATES or (ask.effort.candidates > MOST_CANDIDATES and not ask.is_exact):
                answers[i] = Refusal.TOO_DEEP
            elif ask.is_exact and not has_vectors:
                answers[i] = Refusal.NO_VECTORS
            else:
                fit.append(i)
        return fit

    def _known(self, asks: Sequence[Ask], fit: list[int]) -> list[tuple[Known | None, Known | None]]:
        """The readings of each; None only for those that there is no room for."""
        find = self._readings.find
        pairs = [(find(asks[i].mine), find(asks[i].everyones)) for i in fit]
        if any(mine is None or everyones is None for mine, everyones in pairs):
            self._readings.settle([reading for i in fit for reading in (asks[i].mine, asks[i].everyones)])
            pairs = [(find(asks[i].mine), find(asks[i].everyones)) for i in fit]
        return pairs

    def _missing(self, mine: Known, everyones: Known) -> Refusal | None:
        """Why what two readings name cannot be searched; None where it can."""
        pages = self._pages
        if pages is None:
            return Refusal.NO_ROOM
        lost = pages.n_lost
        for known in (mine, everyones):
            if known.there_since != lost and pages.are_there(known.pages).all():
                known.there_since = lost
        if mine.there_since == everyones.there_since == lost:
            return None
        key = id(mine), id(everyones)
        wanted = self._wishes.add(key, mine.pages, everyones.pages)
        if wanted is not None and len(wanted) > pages.n_slots:
            self._wishes.drop(key)
            return Refusal.NO_ROOM
        return Refusal.NOT_RESIDENT

    def _answer(self, group: _Group, asks: Sequence[Ask], answers: list[Answer], state: State) -> None:
        """One launch."""
        pages, model = self._pages, self._of_model
        assert pages is not None and model is not None, "what asks were found to be there"
        readings: Int64s = self._readings.lines(group.lines).reshape(-1, 2, COLUMNS)
        sequence, now_s, budget = np.array(group.wanted, np.int64).T.copy()
        wanted = Wanted(readings, sequence, now_s, budget, group.is_exact)
        vectors = np.concatenate([asks[i].query for i in group.places]).reshape(len(group.places), -1)
        queries = queries_of(self._model, vectors)
        has_times = pages.n_rows > state.rows.n_laid or len(state.rows.expires_at) > 0
        rows = pages.rows(*self._readings.blocks, has_times)
        if pages.has_vectors:
            found = self._device.search(rows, model, queries, wanted, group.m, group.k)
        else:
            candidates = self._device.candidates(rows, model, queries, wanted, group.m)
            found = compared(state, queries, candidates, group.k, current())
        n_found = np.count_nonzero(found.row >= 0, axis=1)
        n_found[found.statistics[:, 0] == found.statistics[:, 1]] = group.k  # there are no more
        if group.is_exact:
            n_found[:] = group.k
        each = zip(group.places, n_found.tolist(), found.distance, found.row, found.statistics, strict=True)
        for i, n, distance, row, statistics in each:
            k = asks[i].k
            answers[i] = Found(distance[:k], row[:k], statistics) if n >= k else Refusal.SHORT
