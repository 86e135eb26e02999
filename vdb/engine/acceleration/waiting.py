"""Who waits for an accelerator, and who is next: batches of queries, taken fairly between tenants.

A request is cut into pieces, so that a batch has room for others beside a long one. A batch begins at once where
nothing was under way. What came while one was under way waits a little more, where that one had answered more requests
than wait now: those who got their answers come again together.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vdb.engine.acceleration.figures import Declined, Figures
from vdb.engine.fair import FairQueue, Room
from vdb.index.curator.index import CuratorIndex, Found
from vdb.index.curator.resident import Ask

__all__ = ["BATCHES_WAITING", "PIECES", "Piece", "Request", "Waiting"]

PIECES = 8
"""A piece is at most one such part of a batch."""
BATCHES_WAITING = 16
"""So many batches may wait; of more the CPU answers."""


@dataclass(slots=True, eq=False)
class Request:
    """Queries of one search. `found` has an answer for each, or why there is none, once `is_done` is set; `n_begun` of
    them are, or were, on the device."""

    index: CuratorIndex
    tenant: int
    asks: Sequence[Ask]
    is_wanted: Callable[[], bool]
    found: list[Found | str] = field(init=False)
    n_left: int = field(init=False)
    is_done: threading.Event = field(default_factory=threading.Event)
    n_begun: int = 0
    is_withdrawn: bool = False

    def __post_init__(self) -> None:
        self.found = [Declined.BUSY] * len(self.asks)
        self.n_left = len(self.asks)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Queries [start, stop) of a request."""

    request: Request
    start: int
    stop: int

    @property
    def asks(self) -> Sequence[Ask]:
        return self.request.asks[self.start : self.stop]

    def __len__(self) -> int:
        return self.stop - self.start

    def settle(self, found: Sequence[Found | str]) -> None:
        """What became of it. By the accelerator's thread, or whoever holds the lock of those who wait."""
        request = self.request
        request.found[self.start : self.stop] = found
        request.n_left -= len(self)
        if not request.n_left:
            request.is_done.set()


class Waiting:
    """Any thread puts requests; one thread takes batches of at most `n_most` queries. Nothing to close but `close`."""

    def __init__(
        self, n_most: int, wait_s: float, figures: Figures, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._n_most = n_most
        self._n_piece = max(1, n_most // PIECES)
        self._wait_s = wait_s
        self._figures = figures
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: FairQueue[Piece] = FairQueue()
        self._room = Room(BATCHES_WAITING * n_most)
        self._n_requests = 0
        self._n_before = 0
        self._is_closed = False

    @property
    def n_waiting(self) -> int:
        """Queries that wait."""
        return self._room.n_taken

    def put(self, request: Request) -> Declined | None:
        """Have a request answered; or why that is not to be waited for."""
        n = len(request.asks)
        bounds = [*range(0, n, self._n_piece), n]
        with self._changed:
            if self._is_closed:
                return Declined.STOPPING
            if not self._room.has_place(request.tenant, n):
                return Declined.BUSY
            self._room.enter(request.tenant, n)
            self._n_requests += 1
            for start, stop in pairwise(bounds):
                self._queue.put(request.tenant, Piece(request, start, stop), stop - start)
            self._changed.notify()
        return None

    def withdraw(self, request: Request) -> None:
        """Nothing of the request is begun any more."""
        request.is_withdrawn = True

    def take(self, idle_s: float) -> list[Piece] | None:
        """The next batch; empty where none has come for `idle_s`, None once it is closed and all are told so."""
        with self._changed:
            if self._queue:
                self._wait_for_more()
            elif not self._is_closed:
                self._changed.wait(idle_s)
            if self._is_closed:
                self._refuse_all()
                return None
            return self._batch()

    def close(self) -> None:
        """Refuse all that wait, and all that come."""
        with self._changed:
            self._is_closed = True
            self._refuse_all()
            self._changed.notify_all()

    def _wait_for_more(self) -> None:
        if self._has_enough() or self._wait_s <= 0:
            return
        self._figures.n_waits += 1
        until = self._clock() + self._wait_s
        while not self._has_enough() and (left_s := until - self._clock()) > 0:
            self._changed.wait(left_s)

    def _has_enough(self) -> bool:
        return self._is_closed or self._n_requests >= self._n_before or self._room.n_taken >= self._n_most

    def _batch(self) -> list[Piece]:
        batch: list[Piece] = []
        n_queries = 0
        while self._queue and n_queries + self._n_piece <= self._n_most:
            piece = self._taken()
            request = piece.request
            if request.is_withdrawn or not request.is_wanted():
                self._figures.n_abandoned += len(piece)
                piece.settle([Declined.BUSY] * len(piece))
                continue
            batch.append(piece)
            request.n_begun += len(piece)
            n_queries += len(piece)
        if batch:
            self._n_before = len({id(piece.request) for piece in batch})
        return batch

    def _taken(self) -> Piece:
        tenant, piece = self._queue.take()
        self._room.leave(tenant, len(piece))
        if piece.stop == len(piece.request.asks):
            self._n_requests -= 1
        return piece

    def _refuse_all(self) -> None:
        while self._queue:
            piece = self._taken()
            piece.settle([Declined.STOPPING] * len(piece))
