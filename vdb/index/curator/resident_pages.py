"""Rows of an index on a device, by pages: which are there, in which slots of its blocks, and up to which row.

A page is filled from the host's arrays as they are; what is written to them later comes as rows appended and rows
ended. A page is in the table only once all of it was written, so that a device that gives out in the middle of it
leaves what was there as it was. Words and layout: `vdb.kernels.device.ResidentRows`.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import CONSTANT_BYTES, Encoding, Form
from vdb.index.curator.state import Bools, State
from vdb.kernels.device import NO_PAGE, PAGE_ROWS, Block, Device, ResidentRows, coded_width
from vdb.kernels.reference import Int64s, UInt32s

N_HEADS, DEAD_AT = 4, 3
"""Words of `heads`, and which of them says when a row ended."""
HEAD_BYTES: Final = 16 + 8 + 4
"""Of a row beside its codes and its vector: heads, times, pid."""
MOST_NEW: Final = 4
"""Pages of rows that were just appended that come unasked: whoever reads those rows is not kept waiting."""
WRITTEN_BYTES = 16 << 20
"""About so much of rows is gathered on the host at once."""


def pages_for(n_rows: int) -> int:
    """Pages that hold so many rows."""
    return -(-n_rows // PAGE_ROWS)


def page_bytes(encoding: Encoding, dimension: int, has_vectors: bool) -> int:
    """Bytes of a page on a device; `dimension` is that of the vectors."""
    return PAGE_ROWS * (coded_width(encoding.width) + HEAD_BYTES + (4 * dimension if has_vectors else 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    codes: Block
    heads: Block
    times: Block
    pids: Block
    vectors: Block | None

    @property
    def all(self) -> tuple[Block, ...]:
        fixed = (self.codes, self.heads, self.times, self.pids)
        return fixed if self.vectors is None else (*fixed, self.vectors)


class ResidentPages:
    """`n_slots` pages of room, taken at once; one thread. Methods raise what the device raises."""

    def __init__(
        self, device: Device, encoding: Encoding, dimension: int, n_slots: int, has_vectors: bool, n_lost: int = 0
    ) -> None:
        """`n_lost`: pages that went by now, those of blocks before these among them."""
        self._device = device
        self._encoding = encoding
        self._width = coded_width(encoding.width)
        self._row_bytes = page_bytes(encoding, dimension, has_vectors) // PAGE_ROWS
        n = n_slots * PAGE_ROWS
        self._blocks = _Blocks(
            device.make((n, self._width), np.uint8),
            device.make((n, N_HEADS), np.uint32),
            device.make((n, 2), np.uint32),
            device.make((n,), np.uint32),
            device.make((n, dimension), np.float32) if has_vectors else None,
        )
        self._page_in = np.full(n_slots, NO_PAGE, np.int64)
        self._slot_of = np.full(0, NO_PAGE, np.int32)
        self._table: Block | None = None
        self._is_told = False
        self.n_rows = 0
        """Rows of the index that are known here: of pages that are there, all below are written."""
        self.n_held = 0
        """Pages that are there."""
        self.n_lost = n_lost
        """Pages that went: what was there is there while this stays."""

    @property
    def n_slots(self) -> int:
        """Pages there is room for."""
        return len(self._page_in)

    @property
    def has_vectors(self) -> bool:
        return self._blocks.vectors is not None

    @property
    def nbytes(self) -> int:
        """Bytes on the device. Any thread."""
        table = self._table
        return (table.nbytes if table is not None else 0) + sum(block.nbytes for block in self._blocks.all)

    @property
    def n_known(self) -> int:
        """Pages that the index has."""
        return len(self._slot_of)

    @property
    def held(self) -> Int64s:
        """The pages that are there, ascending, int64."""
        return np.flatnonzero(self._slot_of != NO_PAGE)

    def are_there(self, pages: Int64s) -> Bools:
        """Which of `pages` int64 (n,), all of rows that are known, are there."""
        found: Bools = self._slot_of[pages] != NO_PAGE
        return found

    def rows(self, places: Block, entries: Block, has_times: bool) -> ResidentRows:
        """All of it, for a search; `places` and `entries` are the readings'."""
        if self._table is None or len(self._slot_of) != self._table.shape[0]:
            self._table = None
            self._table = self._device.put(self._slot_of)
        elif not self._is_told:
            self._device.write(self._table, 0, self._slot_of)
        self._is_told = True
        blocks = self._blocks
        return ResidentRows(
            blocks.codes, blocks.heads, blocks.times, blocks.pids, blocks.vectors, self._table, places, entries,
            has_times,
        )  # fmt: skip

    # Changes

    def extend(self, state: State, n_rows: int) -> int:
        """There are `n_rows` rows now: write what is new of pages that are there, and a few new pages where there is
        room; returns how many rows were written."""
        n_new = pages_for(n_rows) - len(self._slot_of)
        if n_new > 0:
            self._slot_of = np.concatenate((self._slot_of, np.full(n_new, NO_PAGE, np.int32)))
        n_written = 0
        if n_rows > self.n_rows:
            pages = np.arange(self.n_rows // PAGE_ROWS, pages_for(n_rows))
            for page in pages[self.are_there(pages)].tolist():
                first, stop = max(self.n_rows, page * PAGE_ROWS), min(n_rows, (page + 1) * PAGE_ROWS)
                self._write(int(self._slot_of[page]) * PAGE_ROWS + first % PAGE_ROWS, state, first, stop)
                n_written += stop - first
            new = pages[pages * PAGE_ROWS >= max(1, self.n_rows)]
            self.n_rows = n_rows
            if len(new) <= min(MOST_NEW, self.n_slots - self.n_held):
                self.bring(new, state)
        return n_written

    def end(self, rows: Int64s, dead_at: UInt32s) -> None:
        """Rows (n,), all known and different, are gone from these sequences (n,) on."""
        slots = self._slot_of[rows // PAGE_ROWS].astype(np.int64)
        there = slots != NO_PAGE
        if there.any():
            places = (slots[there] * PAGE_ROWS + rows[there] % PAGE_ROWS) * N_HEADS + DEAD_AT
            self._device.scatter(self._blocks.heads, places, dead_at[there])

    def bring(self, pages: Int64s, state: State) -> None:
        """Have `pages` (n,), ascending, for which there are slots; `state` is as new as `n_rows`."""
        slots = np.flatnonzero(self._page_in == NO_PAGE)[: len(pages)]
        assert len(slots) == len(pages), "there is room"
        breaks = np.flatnonzero((np.diff(pages) != 1) | (np.diff(slots) != 1)) + 1
        for some, its_slots in zip(np.split(pages, breaks), np.split(slots, breaks), strict=True):
            if len(some):  # not of no pages at all
                first, stop = int(some[0]) * PAGE_ROWS, min((int(some[-1]) + 1) * PAGE_ROWS, self.n_rows)
                self._write(int(its_slots[0]) * PAGE_ROWS, state, first, stop)
                self._is_told = False
                self._slot_of[some], self._page_in[its_slots] = its_slots, some
                self.n_held += len(some)

    def give_up(self, pages: Int64s) -> None:
        """`pages` (n,), all there, go."""
        if len(pages):
            self._is_told = False
            self._page_in[self._slot_of[pages]] = NO_PAGE
            self._slot_of[pages] = NO_PAGE
            self.n_held -= len(pages)
            self.n_lost += len(pages)

    # Writing

    def _write(self, at: int, state: State, first: int, stop: int) -> None:
        """Rows [first, stop) of the index to the blocks' rows from `at` on."""
        step = max(1, WRITTEN_BYTES // self._row_bytes)
        for begin in range(first, stop, step):
            arrays = self._arrays(state, begin, min(stop, begin + step))
            for block, array in zip(self._blocks.all, arrays, strict=True):
                self._device.write(block, at + begin - first, array)

    def _arrays(self, state: State, first: int, stop: int) -> tuple[NDArray[Any], ...]:
        """What the blocks hold of rows [first, stop)."""
        rows, width = state.rows, self._encoding.width
        here, n = slice(first, stop), stop - first
        heads = np.zeros((n, N_HEADS), np.uint32)
        heads[:, DEAD_AT] = rows.dead_at[here]
        if self._encoding.form in (Form.LVQ8, Form.LVQ4):
            heads[:, :2] = rows.codes[here, width : width + CONSTANT_BYTES].copy().view(np.uint32)
        if len(rows.offsets):
            heads[:, 2] = rows.offsets[here].view(np.uint32)
        codes = np.zeros((n, self._width), np.uint8)
        codes[:, :width] = rows.codes[here, :width]
        times = np.zeros((n, 2), np.uint32)
        late = max(first, rows.n_laid)
        if late < stop:
            times[late - first :, 0] = rows.added_at[late - rows.n_laid : stop - rows.n_laid]
        if len(rows.expires_at):
            times[:, 1] = rows.expires_at[here]
        fixed = (codes, heads, times, rows.pids[here])
        return fixed if not self.has_vectors else (*fixed, state.vectors[rows.slots[here]])
