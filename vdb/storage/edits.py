"""Changes that a repair makes to one environment: noted while it is read, committed a few thousand at a time.

What is set aside is in a file, and synced, before the commit that removes it: a crash in between leaves it in both.
"""

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vdb.errors import DiskFull
from vdb.storage.backup import sync_file
from vdb.storage.catalog import iterate_prefix
from vdb.storage.directory import make_folder
from vdb.storage.env import Environment, MapFull, Transaction

PORTION = 4_096
"""Changes per commit."""

ROOM_BYTES = 64 << 20
"""Room in a map beyond its cap."""


class Aside:
    """The file of what was set aside, made when there is something: one JSON object per line, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
        self.n_entries = 0

    def add(self, place: str, entries: list[tuple[bytes, bytes, str]]) -> None:
        """Append entries (key, value, why), durably."""
        if not self.path.parent.exists():
            make_folder(self.path.parent.absolute())
        lines = [
            msgspec.json.encode({"environment": place, "why": why, "key": key.hex(), "value": value.hex()})
            for key, value, why in entries
        ]
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(b"\n".join(lines) + b"\n")
        sync_file(self.path)
        self.n_entries += len(lines)


class Edits:
    """Noted changes of one environment. Used by one thread; `commit` makes them, and counts them by what they are."""

    def __init__(self, env: Environment, place: str, aside: Aside | None) -> None:
        self.place = place
        self.drops_damaged = aside is not None
        self.done: Counter[str] = Counter()
        self._env = env
        self._aside = aside
        self._pending: dict[bytes, bytes | None] = {}
        self._noted: list[str] = []
        self._set_aside: list[tuple[bytes, bytes, str]] = []
        self._outdated: list[bytes] = []

    def outdates(self, key: bytes) -> None:
        """The first commit removes this key too, if there is one: what it stands for cannot outlive a change."""
        self._outdated.append(key)

    def put(self, key: bytes, value: bytes, what: str) -> None:
        """Store a value; of two for one key in the same portion the first counts."""
        if key not in self._pending:
            self._pending[key] = value
            self._noted.append(what)

    def drop(self, key: bytes, what: str) -> None:
        """Remove a key."""
        self._pending[key] = None
        self._noted.append(what)

    def set_aside(self, key: bytes, value: bytes, why: str) -> None:
        """Remove a key that is not derived: it goes into the file first."""
        self._set_aside.append((key, value, why))
        self.drop(key, f"set aside: {why}")

    def replace(self, key: bytes, value: bytes, new: bytes, why: str) -> None:
        """Store another value for a key that is not derived: the old one goes into the file first."""
        self._set_aside.append((key, value, why))
        self._pending[key] = new
        self._noted.append(f"set aside and replaced: {why}")

    def visit(self, prefix: bytes, look: Callable[[Transaction, bytes, bytes], None]) -> None:
        """Call `look(txn, key, value)` for each key with a prefix, once; what it notes is committed in portions."""
        after: bytes | None = b""
        while after is not None:
            start, after = after, None
            with self._env.read() as txn:
                for key, value in iterate_prefix(txn, prefix, start):
                    look(txn, key, value)
                    if len(self._pending) >= PORTION:
                        after = key[len(prefix) :]
                        break
            self.commit()

    def commit(self) -> None:
        """Make what was noted durable; raises DiskFull, StorageFailure."""
        if not self._pending:
            return
        if self._set_aside and self._aside is not None:
            self._aside.add(self.place, self._set_aside)
        while not self._try():
            if not (self._env.grow() or self._env.grow(ROOM_BYTES)):
                raise DiskFull(f"{self.place} has no room to be repaired: its map is full")
        self.done.update(self._noted)
        self._outdated = []
        self._pending, self._noted, self._set_aside = {}, [], []

    def _try(self) -> bool:
        try:
            with self._env.write() as txn:
                for key in self._outdated:
                    txn.delete(key)
                for key, value in self._pending.items():
                    if value is None:
                        txn.delete(key)
                    else:
                        txn.put(key, value)
        except MapFull:
            return False
        return True
