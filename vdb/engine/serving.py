"""The index that answers for a collection, and the changes that it takes, as does whatever is being made in its place.

One lock orders what publishes with what swaps. Order of a publication: the index takes the changes, then the readings,
then the sequence is published.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vdb.engine.index_kind import Kind, Served
from vdb.engine.pace import Backlog, Pace
from vdb.engine.readings import Change
from vdb.engine.replay import take

logger = logging.getLogger(__name__)


class Serving:
    """`current` is what answers, None while searches compare everything, and `kind` what it is of. Any thread reads
    `current`; the writer publishes; one background thread swaps."""

    def __init__(self, kind: Kind[Any], environment: str) -> None:
        self.lock = threading.Lock()
        self.pace = Pace(self.lock)
        self.kind = kind
        self.current: Served | None = None
        self.state = "absent"
        self.n_missed = 0
        """Points written since there was an index in RAM."""
        self._backlog = Backlog(self.lock, self.pace)
        self._sequence = 0
        self._environment = environment

    # Publication, on the writer's thread

    def publish(self, changes: list[Change], sequence: int) -> bool:
        """Take committed changes; where that fails the index is forgotten, and the answer False."""
        if self.current is None and not self._backlog.is_kept:
            self.n_missed += sum(len(change.pids) for change in changes)
            return True
        with self.lock:
            self._sequence = sequence
            self._backlog.add(changes)
            is_taken = self.current is None or self._take(self.current, changes)
            self.pace.follow(len(changes))
        return is_taken

    def _take(self, index: Served, changes: list[Change]) -> bool:
        try:
            for change in changes:
                take(index, change)
        except Exception as exc:  # whatever it was, what it holds can no longer be trusted
            logger.error("an index is dropped", exc_info=exc, extra={"environment": self._environment})
            self._forget()
            return False
        return True

    def forget(self) -> None:
        """Nothing answers any more, and what is being made is given up."""
        with self.lock:
            self._forget()

    def _forget(self) -> None:
        if self.current is not None:
            self.kind.drop(self.current)
        self.current = None
        self._backlog.forget()
        self.state = "absent"

    # What takes the place of the index

    @contextmanager
    def gathering(self, published_sequence: int) -> Iterator[None]:
        """Changes published in this block are kept for whoever is making an index."""
        with self.lock:
            self._backlog.keep()
            # What answers may have taken a commit already that readings have not.
            self._sequence = max(self._sequence, published_sequence)
        try:
            yield
        finally:
            with self.lock:
                self._backlog.forget()

    def catch_up(self, index: Served, kind: Kind[Any], sequence: int, check: Callable[[], None]) -> None:
        """Do on a new index what was published since `sequence`, then let it answer.

        Writers wait for the last few changes only: a long build leaves more than they should wait for. Raises Cancelled
        where the index was forgotten meanwhile.
        """
        self._backlog.catch_up(index, sequence, check)
        with self.lock:
            self._backlog.finish(index, sequence)
            self._sequence = max(self._sequence, sequence)
            self.show(index, kind)

    def begin_layout(self, index: Served, published_sequence: int) -> Any:
        """What a successor of the index that answers is made of."""
        with self.lock:
            return index.begin_layout(self._sequence or published_sequence)

    def succeed(self, index: Served, successor: Served, check: Callable[[], None]) -> bool:
        """Do on a successor what was written meanwhile, then let it answer; False where `index` was forgotten."""

        def do(n: int) -> None:
            index.replay(successor, n)
            check()

        self.pace.catch_up(lambda: index.n_noted, do)
        with self.lock:
            if self.current is not index:
                return False
            index.replay(successor)
            self.kind.leave()
            self.show(successor, self.kind)
        return True

    def show(self, index: Served, kind: Kind[Any]) -> None:
        """Let the index answer; with the lock."""
        kind.show(index)
        self.kind = kind
        self.current = index
        self.state = "ready"

    def retire(self) -> None:
        """Nothing answers any more, and nothing is to be loaded."""
        with self.lock:
            self.current = None
            self.state = "absent"
