"""Readings on a device: which are there, what says so to its kernels, and how much their pages are asked for.

A reading is known by the object that it is. Of another one that shares its list or tail only what is new is written:
a tenant's directory stays while its tail grows.
"""

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.resident_places import NO_PAGES, Part, Placed, Places
from vdb.index.curator.state import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    N_TAIL,
    OWN_ENTRIES,
    Reading,
)
from vdb.kernels.device import COLUMNS, PAGE_ROWS, Block, Device
from vdb.kernels.reference import Int64s, UInt32s

NO_LINE: Final = -1
FEW_KNOWN: Final = 4_096
"""Readings that are known before it is looked for those that are gone."""
HALF_LIFE: Final = 1_024
"""Asks after which one before them counts half."""
LISTS_SHARE = 0.75
"""Of the memory for readings: lists and tails, the rest is for entries."""


@dataclass(slots=True, eq=False)
class Known:
    """A reading: the line of `columns` that says where it is, `NO_LINE` where it is not; `pages` of its rows."""

    reading: weakref.ref[Reading]
    n_whole: int
    line: int
    pages: Int64s
    n_asked: int = 0
    """How often since that was last added up."""
    there_since: int = -1
    """`n_lost` of the pages when all of this one's were there."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What of a reading lies where; None for what it has none of."""

    listed: Part | None
    tail: Part | None
    entries: Part | None

    @classmethod
    def of(cls, reading: Reading) -> "_Parts":
        spans = reading.spans.tolist()
        first, stop, n_tail = spans[LIST_FIRST], spans[LIST_STOP], spans[N_TAIL]
        begin, n_entries = spans[ENTRIES_FIRST], spans[OWN_ENTRIES] + spans[LIST_ENTRIES]
        return cls(
            Part(reading.listed, first, stop, stop - first) if stop > first else None,
            Part(reading.tail, 0, n_tail, len(reading.tail)) if n_tail else None,
            Part(reading.entries, begin, begin + n_entries, n_entries) if n_entries else None,
        )

    @property
    def of_rows(self) -> list[Part]:
        return [part for part in (self.listed, self.tail) if part is not None]

    @property
    def of_entries(self) -> list[Part]:
        return [self.entries] if self.entries is not None else []


class ResidentReadings:
    """One thread. Methods raise what the device raises; what was there is there after that, or asked for anew."""

    def __init__(self, device: Device, most_bytes: int) -> None:
        self._device = device
        self._places = Places(device, 1, True)
        self._entries = Places(device, 2, False)
        self._known: dict[int, Known] = {}
        self._limit = FEW_KNOWN
        self._columns = np.zeros((64, COLUMNS), np.int64)
        self._free_lines: list[int] = []
        self._n_lines = 0
        self._heat: NDArray[np.float64] = np.zeros(0)
        self._n_asks = 0
        self.limit(most_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self._places.nbytes + self._entries.nbytes

    def find(self, reading: Reading) -> Known | None:
        """What is known of it, where it is there."""
        known = self._known.get(id(reading))
        if known is None or known.line == NO_LINE or known.reading() is not reading:
            return None
        return known

    def lines(self, lines: Sequence[int]) -> Int64s:
        """Of readings that are there, int64 (n, COLUMNS)."""
        found: Int64s = self._columns[lines]
        return found

    @property
    def blocks(self) -> tuple[Block, Block]:
        """What `ResidentRows` calls `places` and `entries`."""
        return self._places.block, self._entries.block

    def limit(self, most_bytes: int) -> None:
        """Take no more than so many bytes from now on; what is there goes where it takes more."""
        self._places.most = int(LISTS_SHARE * most_bytes) // 4
        self._entries.most = int((1 - LISTS_SHARE) * most_bytes) // 8
        if not (self._places.is_within and self._entries.is_within):
            self.clear()

    # Coming and going

    def settle(self, readings: Iterable[Reading]) -> None:
        """Have all these there, as many as there is room for; others that are there may go."""
        distinct = {id(reading): reading for reading in readings}
        new = self._chosen(reading for reading in distinct.values() if self.find(reading) is None)
        if not self._fit(new.values()):
            new = self._chosen(distinct.values())
            self._forget()
            self._places.begin_anew(self._places.n_needed(_of_rows(new.values())))
            self._entries.begin_anew(self._entries.n_needed(_of_entries(new.values())))
        self._places.put(_of_rows(new.values()))
        self._entries.put(_of_entries(new.values()))
        for reading, parts in new.items():
            self._enter(reading, parts)
        if len(self._known) > self._limit:
            self._forget_dead()

    def mark(self, revoked: Sequence[tuple[UInt32s, int, Int64s]]) -> None:
        """Places of lists and tails were marked as revoked: of those that are there say so."""
        found = [self._places.mark(*one) for one in revoked]
        places = np.concatenate([NO_PAGES, *(at for at, _ in found)])
        if len(places):
            places, which = np.unique(places, return_index=True)
            self._device.scatter(self._places.block, places, np.concatenate([values for _, values in found])[which])

    def clear(self) -> None:
        """Nothing is there any more, and nothing is taken."""
        self._forget()
        self._places.clear()
        self._entries.clear()

    def heat(self, n_pages: int, n_asks: int) -> NDArray[np.float64]:
        """How much each of so many pages is asked for, float64 (n,): asks, after `n_asks` since the start, each
        `HALF_LIFE` of which leave half of what was before."""
        if len(self._heat) < n_pages:
            self._heat = np.concatenate((self._heat, np.zeros(n_pages - len(self._heat))))
        self._heat *= 0.5 ** ((n_asks - self._n_asks) / HALF_LIFE)
        self._n_asks = n_asks
        for known in self._known.values():
            self._add_up(known)
        return self._heat

    def _fit(self, new: Iterable[_Parts]) -> bool:
        new = list(new)
        places, entries = self._places, self._entries
        return places.fits(places.n_needed(_of_rows(new))) and entries.fits(entries.n_needed(_of_entries(new)))

    def _chosen(self, readings: Iterable[Reading]) -> dict[Reading, _Parts]:
        """The first of them that have room together where nothing else is."""
        chosen, n_places, n_entries = {}, 0, 0
        for reading in readings:
            parts = _Parts.of(reading)
            of_rows, of_entries = sum(part.room for part in parts.of_rows), sum(part.room for part in parts.of_entries)
            if n_places + of_rows <= self._places.most and n_entries + of_entries <= self._entries.most:
                chosen[reading] = parts
                n_places, n_entries = n_places + of_rows, n_entries + of_entries
        return chosen

    def _enter(self, reading: Reading, parts: _Parts) -> None:
        listed, tail = (self._placed(self._places, part) for part in (parts.listed, parts.tail))
        entries = self._placed(self._entries, parts.entries)
        own_first, own_stop, own_entries, list_first, list_stop, list_entries = reading.spans[:ENTRIES_FIRST].tolist()
        line = self._free_lines.pop() if self._free_lines else self._next_line()
        list_at, tail_at, entries_at = (placed.at if placed is not None else 0 for placed in (listed, tail, entries))
        self._columns[line] = (
            own_first, own_stop, own_entries, list_at, list_stop - list_first, list_entries, list_at - list_first,
            entries_at, tail_at, reading.spans[N_TAIL],
        )  # fmt: skip
        before = self._known.get(id(reading))
        known = Known(weakref.ref(reading), reading.n_whole, line, _pages(own_first, own_stop, listed, tail))
        if before is not None:
            if before.reading() is reading:
                known.n_asked = before.n_asked
            else:
                self._let_go(before)
        self._known[id(reading)] = known

    def _placed(self, places: Places, part: Part | None) -> Placed | None:
        return None if part is None else places.find(part)

    def _next_line(self) -> int:
        self._n_lines += 1
        if self._n_lines > len(self._columns):
            self._columns = np.concatenate((self._columns, np.zeros_like(self._columns)))
        return self._n_lines - 1

    def _forget(self) -> None:
        """No reading is there; how much each was asked for stays known."""
        for known in self._known.values():
            known.line = NO_LINE
        self._free_lines, self._n_lines = [], 0

    def _forget_dead(self) -> None:
        """Leave out readings that nobody holds any more."""
        for key in [key for key, known in self._known.items() if known.reading() is None]:
            self._let_go(self._known.pop(key))
        self._places.forget_dead()
        self._entries.forget_dead()
        self._limit = max(FEW_KNOWN, 2 * len(self._known))

    def _let_go(self, known: Known) -> None:
        self._add_up(known)
        if known.line != NO_LINE:
            self._free_lines.append(known.line)

    def _add_up(self, known: Known) -> None:
        if known.n_asked:
            n_pages = int(known.pages.max(initial=-1)) + 1
            if len(self._heat) < n_pages:
                self._heat = np.concatenate((self._heat, np.zeros(n_pages - len(self._heat))))
            self._heat[known.pages] += known.n_asked
            known.n_asked = 0


def _of_rows(parts: Iterable[_Parts]) -> list[Part]:
    return list(chain.from_iterable(one.of_rows for one in parts))


def _of_entries(parts: Iterable[_Parts]) -> list[Part]:
    return list(chain.from_iterable(one.of_entries for one in parts))


def _pages(own_first: int, own_stop: int, listed: Placed | None, tail: Placed | None) -> Int64s:
    """The pages of a reading's rows, ascending, int64."""
    parts = [np.arange(own_first // PAGE_ROWS, -(-own_stop // PAGE_ROWS))] if own_stop > own_first else []
    parts += [placed.pages for placed in (listed, tail) if placed is not None]
    if len(parts) < 2:
        return parts[0] if parts else NO_PAGES
    return np.unique(np.concatenate(parts))
