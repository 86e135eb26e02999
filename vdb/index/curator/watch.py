"""What a writer tells those who keep a copy of an index: rows that ended, and places of readings that were revoked.

Nothing else that is there already is written again: rows are appended, and a reading that changes is another object.
The writer tells after it has written, before its commit is published. So who empties a watch, and then reads the index,
has missed nothing that a search may have been told of. One writer and one reader at a time; any number of watches.
"""

import threading
import weakref
from dataclasses import dataclass, field
from typing import Final

from vdb.kernels.reference import Int64s, UInt32s

MOST_NOTED: Final = 1 << 18
"""Rows and places that wait in a watch, a few MiB: of more it only knows that they were too many."""

_registering = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Noted:
    """What was written since a watch was emptied, in the order of the writes.

    `ended`: rows int64 (n,), and what their `dead_at` is now. `revoked`: the array of a list or tail, where the
    reading's part of it begins, and the places int64 (n,) of the array that have `REVOKED` now.
    """

    ended: list[tuple[Int64s, int]] = field(default_factory=list)
    revoked: list[tuple[UInt32s, int, Int64s]] = field(default_factory=list)


class Watch:
    """Of one index; from `Watched.watch`. Nothing is told any more once it is let go."""

    def __init__(self, most_noted: int = MOST_NOTED) -> None:
        self._most_noted = most_noted
        self._lock = threading.Lock()
        self._noted = Noted()
        self._n = 0

    def note_ended(self, rows: Int64s, dead_at: int) -> None:
        """For the writer: `dead_at` of these rows was set."""
        with self._lock:
            if self._has_room_for(len(rows)):
                self._noted.ended.append((rows, dead_at))

    def note_revoked(self, places_from: UInt32s, first: int, places: Int64s) -> None:
        """For the writer: these places of an array were marked as revoked."""
        with self._lock:
            if self._has_room_for(len(places)):
                self._noted.revoked.append((places_from, first, places))

    def take(self) -> Noted | None:
        """All that was noted since the last time; None where it was too much: a copy is made anew."""
        with self._lock:
            noted, n = self._noted, self._n
            self._noted, self._n = Noted(), 0
        return noted if n <= self._most_noted else None

    def _has_room_for(self, n: int) -> bool:
        if self._n <= self._most_noted:
            self._n += n + 1
            if self._n > self._most_noted:
                self._noted = Noted()
        return self._n <= self._most_noted


class Watched:
    """An index that can be watched; without watches its writer pays for a look at an empty tuple."""

    _watches: tuple[weakref.ref[Watch], ...] = ()

    def watch(self) -> Watch:
        """From now on all is noted in it. Read the index after this."""
        made = Watch()
        with _registering:
            held = [watch for watch in self._watches if watch() is not None]
            self._watches = (*held, weakref.ref(made))
        return made

    def _tell_ended(self, rows: Int64s, dead_at: int) -> None:
        for held in self._watches:
            watch = held()
            if watch is not None and len(rows):
                watch.note_ended(rows, dead_at)

    def _tell_revoked(self, places_from: UInt32s, first: int, places: Int64s) -> None:
        for held in self._watches:
            watch = held()
            if watch is not None and len(places):
                watch.note_revoked(places_from, first, places)
