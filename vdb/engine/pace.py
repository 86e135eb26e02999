"""Keeps an index in the making from running after its writers for ever: who is late has them wait for it.

A build or a layout does, beside the writers, what they wrote meanwhile, and takes the lock for the last few changes.
Where they write faster than that it would never come to an end. Once it has done several times what waited at first,
every commit waits until twice as many changes are done as it brings.
"""

import threading
from collections.abc import Callable

from vdb.engine.index_kind import Served
from vdb.engine.readings import Change
from vdb.engine.replay import take

QUIET_REPLAY = 64
"""A new index takes over when no more changes than this are left to be done on it under the lock."""
STEP = 64
PATIENCE = 4
LEAST_PATIENCE = 1_000
"""Changes that are done before writers are held back, or several times those that waited at first."""
LONGEST_WAIT_S = 5.0
"""Of one commit: nothing that goes wrong here may stop the writers."""


class Pace:
    """Shared by the writer and the thread that makes an index. `lock` is the one that publications take."""

    def __init__(self, lock: threading.Lock) -> None:
        self._progress = threading.Condition(lock)
        self._n_done = 0
        self._is_late = False

    def catch_up(self, n_waiting: Callable[[], int], do: Callable[[int], None]) -> None:
        """Call `do` with a number of changes until few are left; what it raises ends it."""
        n_done, patience = 0, max(LEAST_PATIENCE, PATIENCE * n_waiting())
        try:
            while n_waiting() > QUIET_REPLAY:
                do(STEP)
                n_done += STEP
                with self._progress:
                    self._n_done += STEP
                    self._is_late = n_done > patience
                    self._progress.notify_all()
        finally:
            with self._progress:
                self._is_late = False
                self._progress.notify_all()

    def follow(self, n_changes: int) -> None:
        """Wait, with the lock, until whoever is late has done twice as many changes."""
        if self._is_late:
            wanted = self._n_done + 2 * n_changes
            self._progress.wait_for(lambda: not self._is_late or self._n_done >= wanted, LONGEST_WAIT_S)


class Cancelled(Exception):
    """The collection is being closed, or its index was dropped: what was under way is given up."""


class Backlog:
    """Changes published while an index is being made. Whoever calls `add`, `forget` or `finish` has the lock."""

    def __init__(self, lock: threading.Lock, pace: Pace) -> None:
        self._lock = lock
        self._pace = pace
        self._changes: list[Change] | None = None

    @property
    def is_kept(self) -> bool:
        return self._changes is not None

    def keep(self) -> None:
        """Keep what is published from now on; with the lock."""
        self._changes = []

    def forget(self) -> None:
        self._changes = None

    def add(self, changes: list[Change]) -> None:
        if self._changes is not None:
            self._changes.extend(changes)

    def catch_up(self, index: Served, sequence: int, check: Callable[[], None]) -> None:
        """Do on a new index most of what was published since `sequence`."""

        def do(n: int) -> None:
            with self._lock:
                changes = self._taken(n)
            _do(index, changes, sequence)
            check()

        self._pace.catch_up(lambda: len(self._changes or ()), do)

    def finish(self, index: Served, sequence: int) -> None:
        """Do the rest."""
        _do(index, self._taken(None), sequence)

    def _taken(self, n: int | None) -> list[Change]:
        """The first `n`, or all, which wait no more; raises Cancelled where the index was dropped meanwhile."""
        if self._changes is None:
            raise Cancelled
        changes = self._changes[:n]
        del self._changes[:n]
        return changes


def _do(index: Served, changes: list[Change], sequence: int) -> None:
    for change in changes:
        if change.sequence > sequence:
            take(index, change)
