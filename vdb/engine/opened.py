"""What is open: opened on first use, pinned while used, the least recently used closed when too many are open."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from vdb.engine.commit import CommitQueue
from vdb.errors import VdbError


class Document(Protocol):
    """What the catalog has of it."""

    @property
    def id(self) -> int: ...


class Opened(Protocol):
    """What is opened for a document."""

    @property
    def id(self) -> int:
        """The document's."""

    @property
    def queue(self) -> CommitQueue[Any]: ...

    def close(self) -> None: ...


D = TypeVar("D", bound=Document)
S = TypeVar("S", bound=Opened)


class _Entry(Generic[S]):
    __slots__ = ("has_closer", "is_closing", "n_pins", "shard")

    def __init__(self, shard: S) -> None:
        self.shard = shard
        self.n_pins = 0
        self.is_closing = False
        self.has_closer = False


class Pinned(Generic[S]):
    """What was acquired, until the end of a `with`. Not a generator: every request passes here."""

    __slots__ = ("_release", "_shard")

    def __init__(self, release: Callable[[S], None], shard: S) -> None:
        self._release, self._shard = release, shard

    def __enter__(self) -> S:
        return self._shard

    def __exit__(self, *_: object) -> None:
        self._release(self._shard)


class Pool(Generic[D, S]):
    """Thread-safe; `close` closes all that are open. `gone` makes the error for what was removed."""

    def __init__(self, open_shard: Callable[[D], S], max_open: int, gone: Callable[[], VdbError]) -> None:
        self._open_shard = open_shard
        self._gone = gone
        self._max_open = max_open
        self._lock = threading.RLock()  # taken by itself where nobody waits: a Condition's own methods are Python
        self._changed = threading.Condition(self._lock)
        self._entries: OrderedDict[int, _Entry[S]] = OrderedDict()
        self._opening: set[int] = set()
        self._removed: set[int] = set()

    def acquire(self, document: D, counts_as_use: bool = True) -> S:
        """What is open of a document, kept open until `release`; raises what `gone` makes once it is removed.

        Upkeep and looks at figures do not count as use: what nobody asks for stays, or is when it was opened for
        that, the next to be closed.
        """
        with self._lock:
            entry = self._entries.get(document.id)
            is_new = entry is None or entry.is_closing
            if entry is None or entry.is_closing:
                entry = self._wait_or_open(document)
            entry.n_pins += 1
            if counts_as_use or is_new:
                self._entries.move_to_end(document.id, last=counts_as_use)
        # Whoever had to wait for an opening closes others too; a caller in a hurry found its shard open.
        while is_new and len(self._entries) > self._max_open and self._close_idle():
            pass
        return entry.shard

    def _wait_or_open(self, document: D) -> _Entry[S]:
        """Called with the lock held, which is let go while the environment opens."""
        while True:
            if document.id in self._removed:
                raise self._gone()
            entry = self._entries.get(document.id)
            if entry is not None and not entry.is_closing:
                return entry
            if entry is None and document.id not in self._opening:
                return self._open(document)
            self._changed.wait()

    def _open(self, document: D) -> _Entry[S]:
        self._opening.add(document.id)
        self._changed.release()
        try:
            shard = self._open_shard(document)
        finally:
            self._changed.acquire()
            self._opening.discard(document.id)
            self._changed.notify_all()
        entry = _Entry(shard)
        self._entries[document.id] = entry
        return entry

    def release(self, shard: S) -> None:
        with self._lock:
            entry = self._entries[shard.id]
            entry.n_pins -= 1
            if entry.is_closing and not entry.n_pins:
                self._changed.notify_all()

    def use(self, document: D, counts_as_use: bool = True) -> "Pinned[S]":
        """The same, for a `with`, at whose end it is released."""
        return Pinned(self.release, self.acquire(document, counts_as_use))

    def submit(self, shard: S, *ticket: Any, **options: Any) -> "Future[Any]":
        """Queue a write on a shard this caller has acquired; the pin is released when the write is settled."""
        try:
            future = shard.queue.submit(*ticket, **options)
        except BaseException:
            self.release(shard)
            raise
        future.add_done_callback(lambda _: self.release(shard))
        return future

    def peek(self, document_id: int) -> S | None:
        """What is open of it, if it is, without pinning it."""
        entry = self._entries.get(document_id)
        return entry.shard if entry is not None and not entry.is_closing else None

    def open_shards(self) -> list[S]:
        with self._changed:
            return [entry.shard for entry in self._entries.values() if not entry.is_closing]

    def remove(self, document_id: int) -> None:
        """Close a shard for good, once its users are done."""
        with self._changed:
            self._removed.add(document_id)
            while document_id in self._opening:
                self._changed.wait()
            entry = self._entries.get(document_id)
        if entry is not None:
            self._close(document_id, entry)

    def close(self) -> None:
        """Close every shard, once its users are done."""
        for document_id, entry in list(self._entries.items()):
            self._close(document_id, entry)

    def _close_idle(self) -> bool:
        """Close the least recently used shard that nobody uses; whether there was one."""
        with self._changed:
            idle = next(((i, e) for i, e in self._entries.items() if not e.n_pins and not e.is_closing), None)
            if idle is not None:
                idle[1].is_closing = True
        if idle is not None:
            self._close(*idle)
        return idle is not None

    def _close(self, document_id: int, entry: _Entry[S]) -> None:
        with self._changed:
            entry.is_closing = True
            while entry.has_closer and self._entries.get(document_id) is entry:
                self._changed.wait()
            if self._entries.get(document_id) is not entry:  # another thread has closed it
                return
            entry.has_closer = True
            while entry.n_pins:
                self._changed.wait()
        try:
            entry.shard.close()
        except BaseException:
            with self._changed:
                entry.has_closer = False
                self._changed.notify_all()
            raise
        with self._changed:
            del self._entries[document_id]
            self._changed.notify_all()
