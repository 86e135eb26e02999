"""Parts of uint32 arrays in one block of a device: lists and tails of readings, or their entries.

They are known by the array they are of and where in it they begin, as long as somebody holds it. The block is filled
from the front; once it is full everything in it is forgotten, and what is searched comes again.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vdb.index.curator.state import REVOKED
from vdb.kernels.device import PAGE_ROWS, Block, Device
from vdb.kernels.reference import Int64s, UInt32s

LEAST_ROOM: Final = 1 << 14
"""Places of the first block, unless fewer are allowed."""
SPARE = 2
"""Times what is known and held is what a new block has room for."""
NO_PAGES: Int64s = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Columns [first, stop) of `array`, uint32 (n,) or (2, n); `room` columns are kept for it, the rest for more."""

    array: UInt32s
    first: int
    stop: int
    room: int


@dataclass(slots=True, eq=False)
class Placed:
    """A part on the device: `n` columns from `at` on, of `room`; `pages` of the rows that it names, ascending."""

    array: weakref.ref[UInt32s]
    at: int
    room: int
    n: int
    pages: Int64s


def pages_in(rows: UInt32s) -> Int64s:
    """The pages of rows in any order, ascending, each once; revoked ones are left out."""
    if not len(rows):
        return NO_PAGES
    pages = rows[rows < REVOKED] // np.uint32(PAGE_ROWS)
    is_named = np.zeros(int(pages.max(initial=0)) + 1, np.bool_)
    is_named[pages] = True
    return np.flatnonzero(is_named)


class Places:
    """A block of `n_high` × n uint32: (n,) for 1, else (n_high, n). One thread."""

    def __init__(self, device: Device, n_high: int, names_rows: bool) -> None:
        """`names_rows`: whether the words are rows, whose pages are to be known."""
        self._device = device
        self._n_high = n_high
        self._names_rows = names_rows
        self.most = 0
        """Columns that it may have."""
        self._block: Block | None = None
        self._n = 0
        self._n_used = 0
        self._placed: dict[tuple[int, int], Placed] = {}

    @property
    def nbytes(self) -> int:
        """Bytes on the device. Any thread."""
        block = self._block
        return block.nbytes if block is not None else 0

    @property
    def block(self) -> Block:
        """What is searched; an empty one where nothing was put there."""
        if self._block is None:
            self._take(1)
        assert self._block is not None
        return self._block

    def find(self, part: Part) -> Placed | None:
        """Where a part is, all of it; None where it is not."""
        placed = self._find(part.array, part.first)
        return placed if placed is not None and placed.n >= part.stop - part.first else None

    def _find(self, array: UInt32s, first: int) -> Placed | None:
        placed = self._placed.get((id(array), first))
        return placed if placed is not None and placed.array() is array else None

    def n_needed(self, parts: Sequence[Part]) -> int:
        """Columns of new room that these take, each once."""
        new = {(id(part.array), part.first): part.room for part in parts if not self._can_extend(part)}
        return sum(new.values())

    def fits(self, n: int) -> bool:
        """Whether so many columns more do."""
        return self._n_used + n <= self._n

    @property
    def is_within(self) -> bool:
        """Whether it has no more columns than it may have."""
        return self._n <= self.most

    def clear(self) -> None:
        """Forget all, and give the block back."""
        self._placed.clear()
        self._block, self._n, self._n_used = None, 0, 0

    def begin_anew(self, n_needed: int) -> None:
        """Forget all, and have room for so many columns, no more than `most`, with some to spare."""
        n_held = sum(placed.room for placed in self._placed.values() if placed.array() is not None)
        wanted = max(LEAST_ROOM, self._n, SPARE * (n_held + n_needed))
        self._placed.clear()
        self._n_used = 0
        self._take(max(1, n_needed, min(self.most, wanted)))

    def _take(self, n: int) -> None:
        if n != self._n or self._block is None:
            self._block, self._n = None, 0  # the old one is given back first
            self._block = self._device.make((n,) if self._n_high == 1 else (self._n_high, n), np.uint32)
            self._n = n

    def put(self, parts: Sequence[Part]) -> None:
        """Have all these there; they fit."""
        longest: dict[tuple[int, int], Part] = {}
        for part in parts:
            known = longest.setdefault((id(part.array), part.first), part)
            if part.stop > known.stop:
                longest[id(part.array), part.first] = part
        new = [part for part in longest.values() if not self._can_extend(part)]
        more = [part for part in longest.values() if self._can_extend(part) and self.find(part) is None]
        if new:
            self._put_new(new)
        if more:
            self._extend(more)

    def mark(self, array: UInt32s, first: int, places: Int64s) -> tuple[Int64s, UInt32s]:
        """Where places (n,) of an array lie in the block, of its part from `first` on, and what is there now."""
        placed = self._find(array, first)
        if placed is None:
            return NO_PAGES, array[:0]
        places = places[places - first < placed.n]
        return places - first + placed.at, array[places]

    def _can_extend(self, part: Part) -> bool:
        placed = self._find(part.array, part.first)
        return placed is not None and part.stop - part.first <= placed.room

    def _put_new(self, parts: list[Part]) -> None:
        room = np.zeros((self._n_high, sum(part.room for part in parts)), np.uint32)
        made, at = [], 0
        for part in parts:
            n = part.stop - part.first
            held = part.array[..., part.first : part.stop]
            room[:, at : at + n] = held
            pages = pages_in(held) if self._names_rows else NO_PAGES
            made.append(Placed(weakref.ref(part.array), self._n_used + at, part.room, n, pages))
            at += part.room
        if self._n_high == 1:
            self._device.write(self.block, self._n_used, room[0])
        else:
            lines = np.arange(self._n_high)[:, None] * self._n
            places = lines + np.arange(self._n_used, self._n_used + at)
            self._device.scatter(self.block, places.reshape(-1), room.reshape(-1))
        for part, placed in zip(parts, made, strict=True):
            self._placed[id(part.array), part.first] = placed
        self._n_used += at

    def _extend(self, parts: list[Part]) -> None:
        """Write what came to tails since they were put there."""
        places, values, told = [], [], []
        for part in parts:
            placed = self._find(part.array, part.first)
            assert placed is not None and self._n_high == 1, "a tail that is there"
            n = part.stop - part.first
            new = part.array[part.first + placed.n : part.stop].copy()
            if n > placed.n:
                places.append(np.arange(placed.at + placed.n, placed.at + n))
                values.append(new)
                told.append((placed, n, np.union1d(placed.pages, pages_in(new))))
        if places:
            self._device.scatter(self.block, np.concatenate(places), np.concatenate(values))
        for placed, n, pages in told:
            placed.n, placed.pages = n, pages

    def forget_dead(self) -> None:
        """Leave out what nobody holds any more; its room is free when all begins anew."""
        self._placed = {key: placed for key, placed in self._placed.items() if placed.array() is not None}

    def __len__(self) -> int:
        return len(self._placed)
