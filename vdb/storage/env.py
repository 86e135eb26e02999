"""One LMDB environment: transactions, safe map growth, closing, and translation of LMDB's errors.

Commits are full-sync, so a returned commit survives a power failure. `set_mapsize` with a live reader ends the process
(SIGBUS), so every transaction passes a gate, and the map grows, closes or reopens only when nobody is inside.
Rule for callers: a thread holds at most one transaction of an environment at a time (child transactions apart).
"""

import ctypes
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from vdb.errors import CorruptData, DiskFull, StorageFailure

logger = logging.getLogger(__name__)

Transaction = Any
"""An lmdb.Transaction; lmdb ships no types."""

MAX_READERS = 1024
PAGE_BYTES = 4096
PAGE_HEAD_BYTES = 16
"""What LMDB puts before a value that has pages of its own: the number of the page, flags, how many pages."""


class MapFull(Exception):
    """The map must grow before this transaction can be tried again."""


class Gate:
    """Many inside at once, or one alone. Whoever waits to be alone holds newcomers back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # taken by itself where nobody waits: a Condition's own methods are Python
        self._changed = threading.Condition(self._lock)
        self._n_inside = 0
        self._is_exclusive = False

    def enter(self) -> None:
        with self._lock:
            while self._is_exclusive:
                self._changed.wait()
            self._n_inside += 1

    def leave(self) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._is_exclusive and not self._n_inside:
                self._changed.notify_all()

    @property
    def is_exclusive(self) -> bool:
        """Whether somebody is alone inside, or waits to be."""
        return self._is_exclusive

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            while self._is_exclusive:
                self._changed.wait()
            self._is_exclusive = True
            while self._n_inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()


class Environment:
    """An open environment. Safe for any number of threads; whoever opened it closes it.

    `read_only` writes nothing at all, not even LMDB's table of readers: for who holds the directory's lock.
    """

    def __init__(
        self, path: Path, *, map_bytes: int, max_map_bytes: int, create: bool = False, read_only: bool = False
    ) -> None:
        self.path = path
        self._is_read_only = read_only
        self._max_map_bytes = max_map_bytes
        self._gate = Gate()
        self._map_bytes = max(map_bytes, _file_bytes(path) + (16 << 20))
        self._env = self._open(create)

    def _open(self, create: bool) -> Any:
        try:
            return lmdb.open(
                str(self.path),
                map_size=self._map_bytes,
                create=create,
                readonly=self._is_read_only,
                lock=not self._is_read_only,
                readahead=False,
                max_readers=MAX_READERS,
                max_spare_txns=16,
                mode=0o600,
            )
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError) as exc:
            raise CorruptData(f"{self.path} is not an LMDB environment") from exc
        except lmdb.Error as exc:
            raise StorageFailure(f"cannot open {self.path}: {exc}") from exc

    def begin_read(self) -> Transaction:
        """A read transaction with values as bytes; give it back to `end_read`."""
        self._gate.enter()
        try:
            return self._env.begin()
        except lmdb.Error as exc:
            self._gate.leave()
            raise StorageFailure(f"cannot read {self.path}: {exc}") from exc

    def end_read(self, txn: Transaction) -> None:
        txn.abort()
        self._gate.leave()

    def read(self) -> "ReadTransaction":
        """A read transaction: one snapshot. For a `with`."""
        return ReadTransaction(self)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: durable when the block ends, undone when it raises.

        Raises MapFull (grow, then try again), DiskFull, StorageFailure.
        """
        self._gate.enter()
        txn = None
        try:
            txn = self._env.begin(write=True)
            yield txn
            txn.commit()
        except lmdb.Error as exc:
            raise self._translate(exc) from exc
        finally:
            # After a commit, failed or not, the handle is spent and abort does nothing.
            if txn is not None:
                txn.abort()
            self._gate.leave()

    @contextmanager
    def savepoint(self, parent: Transaction) -> Iterator[Transaction]:
        """A child transaction: merged into `parent` when the block ends, undone when it raises.

        Raises MapFull, DiskFull or StorageFailure as `write` does; the whole transaction must then be given up.
        """
        child = self._env.begin(write=True, parent=parent)
        try:
            yield child
            child.commit()
        except lmdb.Error as exc:
            raise self._translate(exc) from exc
        finally:
            child.abort()

    def grow(self, allowance_bytes: int = 0) -> bool:
        """Double the map, up to the cap (plus `allowance_bytes`, kept for deletes); False when it cannot grow."""
        wanted = min(self._map_bytes * 2, max(self._max_map_bytes, self._map_bytes))
        if wanted <= self._map_bytes:
            wanted = self._max_map_bytes + allowance_bytes
        if wanted <= self._map_bytes:
            return False
        with self._gate.exclusive():
            self._env.set_mapsize(wanted)
            self._map_bytes = wanted
        return True

    def has_room(self, n_bytes: int) -> bool:
        """Whether ordinary writes may add `n_bytes`; once the map is past its cap, the rest of it is for deletes."""
        if self._map_bytes <= self._max_map_bytes:
            return True
        return self.live_bytes + n_bytes <= self._max_map_bytes

    @property
    def live_bytes(self) -> int:
        """Bytes of the pages that hold data now; pages freed by deletes are not among them."""
        self._gate.enter()
        try:
            state = self._env.stat()
        finally:
            self._gate.leave()
        return int(state["branch_pages"] + state["leaf_pages"] + state["overflow_pages"]) * PAGE_BYTES

    @property
    def reusable_bytes(self) -> int:
        """Bytes of the file's pages that no longer hold data."""
        return max(0, self.used_bytes - self.live_bytes)

    def reopen(self) -> None:
        """Close and open again: LMDB refuses an environment whose commit failed half-way."""
        with self._gate.exclusive():
            self._env.close()
            self._env = self._open(create=False)

    def close(self) -> None:
        """Wait for the transactions inside, then close."""
        with self._gate.exclusive():
            self._env.close()

    def copy_to(self, path: Path, txn: Transaction | None = None) -> None:
        """A compacted copy of one snapshot into the empty directory `path`: that of `txn`, which is inside the gate."""
        if txn is None:
            with self.read() as own:
                self.copy_to(path, own)
            return
        try:
            self._env.copy(str(path), compact=True, txn=txn)
        except lmdb.Error as exc:
            if free_disk_bytes(path) < (1 << 20):
                raise DiskFull(f"no space is left for {path}") from exc
            raise StorageFailure(f"cannot copy {self.path}: {exc}") from exc

    def append(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Write entries, which ascend and lie beyond all that is there, in one commit; raises what `write` raises."""
        with self.write() as txn:
            for key, value in entries:
                txn.put(key, value, append=True)

    def pages_of(self, keys: Iterable[bytes]) -> list[int]:
        """The page of the file in which the value of each key begins; it stays there until the entry is put anew.

        Values that fill more than half a page have pages of their own, which begin with their number. Raises
        CorruptData for a key that is not there, or a value that is smaller.
        """
        self._gate.enter()
        try:
            with self._env.begin(buffers=True) as txn:
                return [_page_of(txn.get(key)) for key in keys]
        except lmdb.Error as exc:
            raise StorageFailure(f"cannot read {self.path}: {exc}") from exc
        finally:
            self._gate.leave()

    @property
    def is_held(self) -> bool:
        """Whether a transaction would have to wait now, until those inside are done and the map has changed."""
        return self._gate.is_exclusive

    @property
    def map_bytes(self) -> int:
        return self._map_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of the file in use up to its last page."""
        self._gate.enter()
        try:
            return int(self._env.info()["last_pgno"] + 1) * PAGE_BYTES
        finally:
            self._gate.leave()

    def fill_out(self) -> None:
        """Make the file of a sound environment as long as its pages: LMDB leaves out last ones that it never wrote.

        A file that is shorter was then cut, or written to until a crash: `vdb.storage.probe` tells which. Never raises.
        """
        file = self.path / "data.mdb"
        try:
            n_bytes = self.used_bytes
            if file.stat().st_size < n_bytes:
                os.truncate(file, n_bytes)
        except (OSError, lmdb.Error) as exc:  # the next one to open it has to try whether it can be read
            logger.warning("a file is not as long as its pages", exc_info=exc, extra={"environment": self.path.name})

    def free_disk_bytes(self) -> int:
        """What the file system lets us still write."""
        return free_disk_bytes(self.path)

    def _translate(self, exc: lmdb.Error) -> Exception:
        if isinstance(exc, lmdb.MapFullError):
            return MapFull(str(self.path))
        if isinstance(exc, lmdb.BadValsizeError):
            raise exc
        # A full disk shows as EIO at commit, so the file system is asked.
        if isinstance(exc, lmdb.DiskError) or self.free_disk_bytes() < (1 << 20):
            return DiskFull("no space is left on the disk")
        return StorageFailure(f"write to {self.path.name} failed: {exc}")


class ReadTransaction:
    """A read transaction for the length of a `with`. Not a generator: every search passes here twice."""

    __slots__ = ("_env", "_txn")

    def __init__(self, env: Environment) -> None:
        self._env = env

    def __enter__(self) -> Transaction:
        self._txn = self._env.begin_read()
        return self._txn

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: object) -> None:
        self._env.end_read(self._txn)
        if isinstance(exc, lmdb.Error):
            if isinstance(exc, lmdb.CorruptedError | lmdb.PageNotFoundError):
                raise CorruptData(f"{self._env.path} is damaged: {exc}") from exc
            raise StorageFailure(f"cannot read {self._env.path}: {exc}") from exc


def free_disk_bytes(path: Path) -> int:
    """Bytes that an ordinary process may still write on the file system of `path`; raises StorageFailure."""
    try:
        state = os.statvfs(path)
    except OSError as exc:
        raise StorageFailure(f"the file system of {path.name} does not answer: {exc.strerror}") from exc
    return state.f_bavail * state.f_frsize


def _page_of(value: memoryview | None) -> int:
    at = 0 if value is None or not len(value) else np.frombuffer(value, np.uint8).ctypes.data
    if at % PAGE_BYTES != PAGE_HEAD_BYTES:
        raise CorruptData("a value has no pages of its own")
    return int(ctypes.c_uint64.from_address(at - PAGE_HEAD_BYTES).value)


def _file_bytes(path: Path) -> int:
    data = path / "data.mdb"
    return data.stat().st_size if data.exists() else 0
