"""Open shards: opened on first use, pinned while used, the least recently used closed when too many are open."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vdb.engine.shard import Shard
from vdb.errors import CollectionNotFound, QueueFull
from vdb.storage.catalog import CollectionDocument


class _Entry:
    __slots__ = ("is_closing", "n_pins", "shard")

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.n_pins = 0
        self.is_closing = False


class Shards:
    """The open shards of a server. Thread-safe; `close` closes all of them."""

    def __init__(self, open_shard: Callable[[CollectionDocument], Shard], max_open: int) -> None:
        self._open_shard = open_shard
        self._max_open = max_open
        self._changed = threading.Condition()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._opening: set[int] = set()
        self._removed: set[int] = set()

    def acquire(self, collection: CollectionDocument, counts_as_use: bool = True) -> Shard:
        """The collection's shard, kept open until `release`; raises CollectionNotFound once it is removed.

        Upkeep and looks at figures do not count as use: a collection that nobody asks for stays, or is when it was
        opened for that, the next to be closed.
        """
        with self._changed:
            entry = self._entries.get(collection.id)
            is_new = entry is None or entry.is_closing
            if entry is None or entry.is_closing:
                entry = self._wait_or_open(collection)
            entry.n_pins += 1
            if counts_as_use or is_new:
                self._entries.move_to_end(collection.id, last=counts_as_use)
        # Whoever had to wait for an opening closes others too; a caller in a hurry found its shard open.
        while is_new and len(self._entries) > self._max_open and self._close_idle():
            pass
        return entry.shard

    def _wait_or_open(self, collection: CollectionDocument) -> _Entry:
        """Called with the lock held, which is let go while the environment opens."""
        while True:
            if collection.id in self._removed:
                raise CollectionNotFound("no such collection")
            entry = self._entries.get(collection.id)
            if entry is not None and not entry.is_closing:
                return entry
            if entry is None and collection.id not in self._opening:
                return self._open(collection)
            self._changed.wait()

    def _open(self, collection: CollectionDocument) -> _Entry:
        self._opening.add(collection.id)
        self._changed.release()
        try:
            shard = self._open_shard(collection)
        finally:
            self._changed.acquire()
            self._opening.discard(collection.id)
            self._changed.notify_all()
        entry = _Entry(shard)
        self._entries[collection.id] = entry
        return entry

    def release(self, shard: Shard) -> None:
        with self._changed:
            entry = self._entries[shard.collection.id]
            entry.n_pins -= 1
            if entry.is_closing and not entry.n_pins:
                self._changed.notify_all()

    @contextmanager
    def use(self, collection: CollectionDocument, counts_as_use: bool = True) -> Iterator[Shard]:
        """The collection's shard for the length of a block."""
        shard = self.acquire(collection, counts_as_use)
        try:
            yield shard
        finally:
            self.release(shard)

    def submit(self, shard: Shard, *ticket: Any, adds_rows: bool = False, **options: Any) -> Any:
        """Queue a write on a shard this caller has acquired; the pin is released when the write is settled.

        `adds_rows`: the index is to take rows of it, so that it raises QueueFull too where those before it wait to be
        laid out.
        """
        try:
            if adds_rows and shard.index.is_full:
                raise QueueFull("too many points wait to be written to lists on disk", retry_after_s=1.0)
            future = shard.queue.submit(*ticket, **options)
        except BaseException:
            self.release(shard)
            raise
        future.add_done_callback(lambda _: self.release(shard))
        return future

    def peek(self, collection_id: int) -> Shard | None:
        """The shard if it is open, without pinning it."""
        entry = self._entries.get(collection_id)
        return entry.shard if entry is not None and not entry.is_closing else None

    def open_shards(self) -> list[Shard]:
        with self._changed:
            return [entry.shard for entry in self._entries.values() if not entry.is_closing]

    def remove(self, collection_id: int) -> None:
        """Close a shard for good, once its users are done."""
        with self._changed:
            self._removed.add(collection_id)
            while collection_id in self._opening:
                self._changed.wait()
            entry = self._entries.get(collection_id)
        if entry is not None:
            self._close(collection_id, entry)

    def close(self) -> None:
        """Close every shard, once its users are done."""
        for collection_id, entry in list(self._entries.items()):
            self._close(collection_id, entry)

    def _close_idle(self) -> bool:
        """Close the least recently used shard that nobody uses; whether there was one."""
        with self._changed:
            idle = next(((i, e) for i, e in self._entries.items() if not e.n_pins and not e.is_closing), None)
            if idle is not None:
                idle[1].is_closing = True
        if idle is not None:
            self._close(*idle)
        return idle is not None

    def _close(self, collection_id: int, entry: _Entry) -> None:
        with self._changed:
            entry.is_closing = True
            while entry.n_pins:
                self._changed.wait()
        entry.shard.close()
        with self._changed:
            if self._entries.get(collection_id) is entry:
                del self._entries[collection_id]
            self._changed.notify_all()
