"""Group commit: requests queue per environment; one transaction and one fsync serve all that wait.

Each request runs in a child transaction, so that a refusal undoes its own work only. Order: commit, run what the
requests left for after the commit (publication in RAM), then resolve their futures. A request is never split over two
commits, and nothing is acknowledged before its commit has returned. Tenants take turns by the bytes they write
(`vdb.engine.fair`); one tenant's requests keep their order.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vdb.engine.fair import NO_TENANT, FairQueue, Room
from vdb.errors import (
    CorruptData,
    DiskFull,
    InternalError,
    QueueFull,
    ShuttingDown,
    StorageFailure,
    TooLarge,
    VdbError,
)
from vdb.storage.env import Environment, MapFull, Transaction

logger = logging.getLogger(__name__)

GROUP_REQUESTS = 64
GROUP_COST_BYTES = 32 << 20
"""A commit takes no more requests beyond this cost: others wait for it meanwhile."""
ROOM_TRUSTED_S = 0.1
"""How long one look at the free disk serves, less what was written since."""

REQUEST_COST_BYTES = 4096
POINT_COST_BYTES = 512
"""What a request and each of its points cost beyond their bytes, where turns are counted."""

COMMIT_OVERHEAD = 3
"""A commit writes at most about this many times the bytes of its requests: pages are copied, not changed."""

DELETE_ALLOWANCE_BYTES = 64 << 20
"""Room beyond the map's cap in which deletes still work."""


class Group:
    """The writes that share one commit. Subclasses add counters; `mark` and `restore` undo a refused request."""

    def __init__(self, txn: Transaction) -> None:
        self.txn = txn
        self._published: list[Callable[[], None]] = []
        self._undone: list[Callable[[], None]] = []

    def after_commit(self, publish: Callable[[], None]) -> None:
        """Run `publish` once the commit has returned, before the request is answered."""
        self._published.append(publish)

    def on_undo(self, undo: Callable[[], None]) -> None:
        """Run `undo` if this request is refused or the commit fails."""
        self._undone.append(undo)

    def mark(self) -> Any:
        """What `restore` needs to undo the requests after this moment."""
        return len(self._published), len(self._undone)

    def restore(self, mark: Any) -> None:
        """Forget everything since `mark`."""
        n_published, n_undone = mark
        del self._published[n_published:]
        for undo in reversed(self._undone[n_undone:]):
            undo()
        del self._undone[n_undone:]

    def close(self) -> None:
        """Write what the group keeps itself, last thing before the commit."""

    def publish(self) -> None:
        """Make the committed state visible in RAM."""
        for publish in self._published:
            publish()


G = TypeVar("G", bound=Group)


@dataclass(slots=True)
class Ticket(Generic[G]):
    """One queued request."""

    apply: Callable[[G], Any]
    n_bytes: int
    frees_space: bool
    cost_bytes: int
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class QueueCaps:
    """When a queue is full, and how much disk is kept back for deletes."""

    max_requests: int
    max_bytes: int
    disk_reserve_bytes: int


def _full() -> DiskFull:
    return DiskFull("the collection has reached its largest size: only deletes are accepted")


class CommitQueue(Generic[G]):
    """The write queue of one environment. `submit` from any thread; `close` waits for what is queued."""

    def __init__(
        self,
        env: Environment,
        open_group: Callable[[Transaction], G],
        pool: Executor,
        caps: QueueCaps,
        resync: Callable[[], None],
    ) -> None:
        """`resync` runs after a commit has failed: what RAM holds may be behind the store."""
        self._env = env
        self._resync = resync
        self._open_group = open_group
        self._pool = pool
        self._caps = caps
        self._changed = threading.Condition()
        self._tickets: FairQueue[Ticket[G]] = FairQueue()
        self._places = Room(caps.max_requests)
        self._bytes = Room(caps.max_bytes)
        self._is_draining = False
        self._is_held = False
        self._is_closed = False
        self._room_bytes = 0
        self._room_until = 0.0
        self.n_commits = 0
        self.n_requests = 0
        self.last_commit_ms = 0
        """Epoch milliseconds of the last commit since the environment was opened, 0 before the first."""

    def submit(
        self,
        apply: Callable[[G], Any],
        n_bytes: int = 0,
        frees_space: bool = False,
        tenant: int = NO_TENANT,
        n_points: int = 0,
    ) -> "Future[Any]":
        """Queue a request: `apply(group)` runs inside the group's transaction, its result resolves the future.

        Raises TooLarge, QueueFull (too much waits, of all or of this tenant) and ShuttingDown at once; what `apply`
        raises resolves the future as its error.
        """
        if n_bytes > self._caps.max_bytes:
            raise TooLarge(f"the write takes {n_bytes} bytes of the queue, which holds {self._caps.max_bytes}")
        ticket = Ticket(apply, n_bytes, frees_space, n_bytes + REQUEST_COST_BYTES + POINT_COST_BYTES * n_points)
        with self._changed:
            if self._is_closed:
                raise ShuttingDown("the server is shutting down", retry_after_s=1.0)
            if not (self._places.has_place(tenant) and self._bytes.has_place(tenant, n_bytes)):
                raise QueueFull("too many writes are waiting", retry_after_s=1.0)
            self._places.enter(tenant)
            self._bytes.enter(tenant, n_bytes)
            self._tickets.put(tenant, ticket, ticket.cost_bytes)
            if self._is_draining or self._is_held:
                return ticket.future
            self._is_draining = True
        self._pool.submit(self._drain)
        return ticket.future

    def hold(self) -> None:
        """Begin no further commit until `resume`: what is submitted meanwhile waits. Only one may hold a queue."""
        with self._changed:
            self._is_held = True

    def await_stillness(self) -> None:
        """Once held: wait until the commit in hand, if there is one, is settled."""
        with self._changed:
            while self._is_draining:
                self._changed.wait()

    def resume(self) -> None:
        """Go on after `hold`."""
        with self._changed:
            self._is_held = False
            if self._is_draining or not self._tickets:
                return
            self._is_draining = True
        self._pool.submit(self._drain)

    @property
    def n_waiting(self) -> int:
        return len(self._tickets)

    @property
    def is_idle(self) -> bool:
        return not self._is_draining

    def close(self) -> None:
        """Refuse new requests and wait until the queued ones are committed."""
        with self._changed:
            self._is_closed = True
            while self._is_draining or self._tickets:
                self._changed.wait()

    def _drain(self) -> None:
        """Commit one batch, then queue up again behind the other environments' batches."""
        with self._changed:
            batch = [] if self._is_held else self._take()
        if batch:
            self._settle(batch)
        with self._changed:
            if self._is_held or not self._tickets:
                self._is_draining = False
                self._changed.notify_all()
                return
        self._pool.submit(self._drain)

    def _take(self) -> list[Ticket[G]]:
        batch: list[Ticket[G]] = []
        cost_bytes = 0
        while self._tickets and len(batch) < GROUP_REQUESTS and cost_bytes < GROUP_COST_BYTES:
            tenant, ticket = self._tickets.take()
            self._places.leave(tenant)
            self._bytes.leave(tenant, ticket.n_bytes)
            cost_bytes += ticket.cost_bytes
            if ticket.future.set_running_or_notify_cancel():
                batch.append(ticket)
        return batch

    def _settle(self, batch: list[Ticket[G]]) -> None:
        """Commit a batch and resolve its futures; a failed commit fails every request in it."""
        try:
            batch = self._refuse_without_room(batch)
            outcomes = self._commit(batch) if batch else []
        except Exception as exc:  # every foreign failure must reach the waiting callers
            error = exc if isinstance(exc, VdbError) else InternalError("the write failed; see the server's log")
            logger.error("commit failed", exc_info=exc, extra={"environment": self._env.path.name})
            outcomes = [error] * len(batch)
        self.n_commits += 1
        self.n_requests += len(batch)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                ticket.future.set_exception(outcome)
            else:
                ticket.future.set_result(outcome)

    def _refuse_without_room(self, batch: list[Ticket[G]]) -> list[Ticket[G]]:
        n_bytes = sum(ticket.n_bytes for ticket in batch)
        if not self._env.has_room(n_bytes):
            return self._refuse(batch, _full())
        n_bytes *= COMMIT_OVERHEAD
        self._room_bytes -= n_bytes
        if self._room_bytes < 0 or time.monotonic() > self._room_until:
            self._room_until = time.monotonic() + ROOM_TRUSTED_S
            self._room_bytes = self._room() - n_bytes
        if self._room_bytes >= 0:
            return batch
        return self._refuse(batch, DiskFull("the disk is full: only deletes are accepted"))

    def _room(self) -> int:
        """Bytes that ordinary writes may use: the free disk beyond the reserve, and pages that deletes have freed.

        The file never shrinks, so after deletes on a full disk those pages are all there is. Writing into them can
        still lengthen the file, where a value finds no run of free pages: it ends at half the reserve.
        """
        free_bytes, reserve_bytes = self._env.free_disk_bytes(), self._caps.disk_reserve_bytes
        reusable_bytes = self._env.reusable_bytes if free_bytes >= reserve_bytes // 2 else 0
        return free_bytes - reserve_bytes + reusable_bytes

    @staticmethod
    def _refuse(batch: list[Ticket[G]], error: VdbError) -> list[Ticket[G]]:
        for ticket in batch:
            if not ticket.frees_space:
                ticket.future.set_exception(error)
        return [ticket for ticket in batch if ticket.frees_space]

    def _commit(self, batch: list[Ticket[G]]) -> list[Any]:
        while True:
            try:
                return self._attempt(batch)
            except MapFull:
                if not self._env.grow():
                    return self._commit_at_cap(batch)

    def _commit_at_cap(self, batch: list[Ticket[G]]) -> list[Any]:
        """The map cannot grow: deletes go on in the allowance, everything else is refused."""
        full = _full()
        freeing = [ticket for ticket in batch if ticket.frees_space]
        done: list[Any] = []
        if freeing:
            self._env.grow(DELETE_ALLOWANCE_BYTES)
            try:
                done = self._attempt(freeing)
            except MapFull:
                done = [full] * len(freeing)
        outcomes = iter(done)
        return [next(outcomes) if ticket.frees_space else full for ticket in batch]

    def _attempt(self, batch: list[Ticket[G]]) -> list[Any]:
        group: G | None = None
        try:
            with self._env.write() as txn:
                group = self._open_group(txn)
                start = group.mark()
                outcomes = [self._apply(group, ticket) for ticket in batch]
                group.close()
        except BaseException as exc:
            if group is not None:
                group.restore(start)
            if isinstance(exc, StorageFailure) and not isinstance(exc, CorruptData):
                self._env.reopen()
                self._resync()
            raise
        self.last_commit_ms = time.time_ns() // 1_000_000
        group.publish()
        return outcomes

    def _apply(self, group: G, ticket: Ticket[G]) -> Any:
        """Run one request in a child transaction; its refusal is its outcome."""
        mark = group.mark()
        parent = group.txn
        try:
            with self._env.savepoint(parent) as child:
                group.txn = child
                return ticket.apply(group)
        except VdbError as exc:
            if isinstance(exc, StorageFailure) and not isinstance(exc, CorruptData):
                raise
            group.restore(mark)
            return exc
        except MapFull:
            raise
        except Exception as exc:  # one request's bug must not fail its neighbours
            group.restore(mark)
            logger.error("a write failed", exc_info=exc)
            return InternalError("the write failed; see the server's log")
        finally:
            group.txn = parent
