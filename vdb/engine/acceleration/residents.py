"""The copies of indexes on a device, of all collections under one cap: who has how much of it.

An index gets what all of it takes, where that is free. Else those that were not searched for a while give theirs up,
the coldest first, and then those that have more than an equal share give that. A copy ends with its index.
"""

import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.resident import READINGS_SHARE, ResidentIndex, Traffic
from vdb.index.curator.resident_pages import page_bytes, pages_for
from vdb.kernels.device import Device, coded_width

__all__ = [
    "COLD_S",
    "GROWTH",
    "LEAST_SHARE",
    "RECOVERS_S",
    "REVIEW_S",
    "Make",
    "Residents",
    "bytes_of_page",
    "bytes_of_whole",
]

logger = logging.getLogger(__name__)

COLD_S: Final = 60.0
"""What was not searched for so long gives way to what is."""
REVIEW_S: Final = 1.0
"""How often is looked whether an index has outgrown its share."""
GROWTH: Final = 1.25
"""Room beyond what an index takes now."""
LEAST_SHARE: Final = 0.75
"""What is left of the cap where the device had no memory for it."""
RECOVERS_S: Final = 600.0
"""After so long without such a thing a step of it is taken back."""
_HEAD_BYTES: Final = 16
"""Of a node."""
_ENTRY_BYTES: Final = 8
_PLACE_BYTES: Final = 4

Make = Callable[[Device, CuratorIndex, int], ResidentIndex]
"""Makes the copy of an index, of so many bytes at most."""


@dataclass(slots=True)
class _Held:
    index: "weakref.ref[CuratorIndex]"
    resident: ResidentIndex
    used_s: float
    reviewed_s: float


class Residents:
    """One thread at a time uses it, but for `nbytes` and `nbytes_of`. Whoever made it closes it, before the device."""

    def __init__(
        self,
        device: Device,
        most_bytes: int,
        make: Make = ResidentIndex,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most_bytes = most_bytes
        self._first_bytes = most_bytes
        self._shrunk_s = 0.0
        self._device = device
        self._make = make
        self._clock = clock
        self._held: dict[int, _Held] = {}
        self._gone = Traffic()

    @property
    def nbytes(self) -> int:
        """Bytes of all copies."""
        return sum(held.resident.nbytes for held in list(self._held.values()))

    def nbytes_of(self, index: object) -> int:
        """Bytes of the copy of an index, 0 without one."""
        held = self._held.get(id(index))
        return held.resident.nbytes if held is not None and held.index() is index else 0

    def of(self, index: CuratorIndex) -> ResidentIndex | None:
        """The copy of an index, made where there was none; None where the cap holds no page of it. Raises what a device
        raises."""
        now = self._clock()
        self._restore(now)
        held = self._held.get(id(index))
        if held is not None and held.index() is not index:  # another had its address
            self._close(id(index))
            held = None
        if held is None:
            return self._made(index, now)
        if now - held.reviewed_s >= REVIEW_S:
            held.reviewed_s = now
            if bytes_of_whole(index) > held.resident.most_bytes:
                most = self._share(index, held, now)
                held.resident.most_bytes = max(most, held.resident.most_bytes)
        held.used_s = now
        return held.resident

    def bring_in(self) -> bool:
        """Have a part come of what is to be there, of the index that was searched last; whether there is more."""
        return any(held.resident.bring_in() for held in sorted(self._held.values(), key=lambda one: -one.used_s))

    def traffic(self) -> Traffic:
        """What went to the device, all copies together, those that are gone included."""
        total = replace(self._gone)
        for held in list(self._held.values()):
            _add(total, held.resident.traffic)
        return total

    def tidy(self) -> None:
        """Free the copies of indexes that are gone."""
        for key in [key for key, held in self._held.items() if held.index() is None]:
            self._close(key)

    def shrink(self) -> None:
        """The device has less memory than was thought: all give up a quarter, one page at least."""
        self.most_bytes = int(LEAST_SHARE * self.most_bytes)
        self._shrunk_s = self._clock()
        for key, held in list(self._held.items()):
            index, resident = held.index(), held.resident
            if index is None:
                self._close(key)
                continue
            most = min(int(LEAST_SHARE * resident.most_bytes), resident.nbytes - bytes_of_page(index))
            self._lower(key, held, most)

    def drop(self, index: CuratorIndex) -> None:
        """Free the copy of an index: what it holds is not to be trusted."""
        if id(index) in self._held:
            self._close(id(index))

    def close(self) -> None:
        """Free them all."""
        for key in list(self._held):
            self._close(key)

    def _restore(self, now: float) -> None:
        """Memory that others had taken may be free again."""
        if self.most_bytes < self._first_bytes and now - self._shrunk_s >= RECOVERS_S:
            self.most_bytes = min(self._first_bytes, max(1, int(self.most_bytes / LEAST_SHARE)))
            self._shrunk_s = now

    def _made(self, index: CuratorIndex, now: float) -> ResidentIndex | None:
        most = self._share(index, None, now)
        if most < bytes_of_page(index):
            return None
        resident = self._make(self._device, index, most)
        self._held[id(index)] = _Held(weakref.ref(index), resident, now, now)
        return resident

    def _share(self, index: CuratorIndex, of: _Held | None, now: float) -> int:
        """Bytes that an index may take, which the others, all but `of`, have made room for."""
        wanted = int(GROWTH * bytes_of_whole(index))
        others = [(key, held) for key, held in self._held.items() if held is not of]
        free = self.most_bytes - sum(held.resident.most_bytes for _, held in others)
        if wanted <= free:
            return wanted
        equal = self.most_bytes // (1 + sum(now - held.used_s <= COLD_S for _, held in others))
        for key, held in sorted(others, key=lambda one: one[1].used_s):
            has = held.resident.most_bytes
            keeps = 0 if now - held.used_s > COLD_S else min(has, equal)
            taken = min(has - keeps, wanted - free)
            if taken > 0:
                self._lower(key, held, has - taken)
                free += has - (held.resident.most_bytes if key in self._held else 0)
            if free >= wanted:
                break
        return max(0, min(wanted, free))

    def _lower(self, key: int, held: _Held, most_bytes: int) -> None:
        index = held.index()
        if index is None or most_bytes < bytes_of_page(index):
            self._close(key)
        else:
            held.resident.most_bytes = most_bytes

    def _close(self, key: int) -> None:
        resident = self._held.pop(key).resident
        try:
            resident.close()
        finally:
            _add(self._gone, resident.traffic)


def _add(total: Traffic, traffic: Traffic) -> None:
    total.n_pages_in += traffic.n_pages_in
    total.n_pages_out += traffic.n_pages_out
    total.n_rows += traffic.n_rows


def bytes_of_page(index: CuratorIndex) -> int:
    """The least that a copy can be of use with: a page of the index's rows, without their vectors."""
    model = index.state.model
    return _with_readings(page_bytes(model.encoding, model.dimension, False) + _bytes_of_nodes(index))


def bytes_of_whole(index: CuratorIndex) -> int:
    """What all of an index takes on a device: its rows with their vectors, as many as there is room for, and nodes; or
    what its readings take, where their share of it is less than that."""
    state = index.state
    model, directories = state.model, state.directories
    n_pages = max(1, pages_for(state.rows.capacity))
    n_bytes = n_pages * (page_bytes(model.encoding, model.dimension, True) + _PLACE_BYTES) + _bytes_of_nodes(index)
    of_readings = _PLACE_BYTES * len(directories.listed) + _ENTRY_BYTES * directories.entries.shape[1]
    return max(_with_readings(n_bytes), int(n_bytes + of_readings))


def _bytes_of_nodes(index: CuratorIndex) -> int:
    model = index.state.model
    return len(model.centroid) * (coded_width(model.encoding.dimension) + _HEAD_BYTES)


def _with_readings(n_bytes: int) -> int:
    """So much that what is not kept for readings is `n_bytes`."""
    return ceil(n_bytes / (1 - READINGS_SHARE)) + 1
