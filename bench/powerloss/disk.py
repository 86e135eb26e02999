"""A disk that may lose what was not synced: the events of a run, applied to files and folders held in memory.

What survives a power failure, by POSIX and no kinder: of a file, what was written before its last fsync or fdatasync,
and every write through an O_DSYNC descriptor; of a folder, its entries as of its own last fsync. Of everything later,
and of a write under way, any subset: each write wholly, not at all, or some of its blocks; each entry made or removed,
or not. A name that is lost takes the file with it, whatever was synced.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bench.powerloss.events import Event, Operation

BLOCKS = (512, 4096)
"""Bytes that reach a disk together: a sector, a page."""

UNIMPORTANT = ("lock.mdb", "LOCK")
"""Files whose content means nothing without the process that held them."""


@dataclass(slots=True)
class Write:
    """One change of a file not yet covered by a sync; `data` None cuts the file at `offset`."""

    offset: int
    data: bytes | None
    is_durable: bool


@dataclass(slots=True)
class File:
    """Bytes that are durable, and the writes since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)

    def sync(self) -> None:
        for write in self.pending:
            _apply(self.durable, write.offset, write.data)
        self.pending.clear()

    def survivor(self, rng: random.Random, under_way: Write | None) -> bytearray:
        """What a power failure leaves; `under_way` is a write that has not returned."""
        content = bytearray(self.durable)
        kept = rng.choice((0.0, 0.5, 1.0, rng.random()))
        block = rng.choice(BLOCKS)
        for write in [*self.pending, *([under_way] if under_way else [])]:
            if write.is_durable or rng.random() < kept:
                _apply(content, write.offset, write.data)
            elif write.data is not None and rng.random() < 0.5:
                for start, data in _blocks(write, block):
                    if rng.random() < 0.5:
                        _apply(content, start, data)
        return content


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _blocks(write: Write, size: int) -> Iterator[tuple[int, bytes]]:
    """The write cut at the disk's block boundaries."""
    data, at = write.data or b"", 0
    while at < len(data):
        stop = min(len(data), at + size - (write.offset + at) % size)
        yield write.offset + at, data[at:stop]
        at = stop


@dataclass(slots=True)
class Folder:
    """Entries as every process sees them, the durable ones, and the changes since (name → node, None removes)."""

    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def change(self, changes: dict[str, "File | Folder | None"]) -> None:
        """One atomic change of entries."""
        _rename_in(self.entries, changes)
        self.pending.append(changes)

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()

    def survivor(self, rng: random.Random) -> dict[str, "File | Folder"]:
        kept = rng.choice((0.0, 0.5, 1.0, rng.random()))
        entries = dict(self.durable)
        for changes in self.pending:
            if rng.random() < kept:
                _rename_in(entries, changes)
        return entries


def _rename_in(entries: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class Disk:
    """The state of the recorded folder after some events. `root` is the recorded folder; it is durable itself."""

    def __init__(self, root: Path) -> None:
        self._root_path = PurePosixPath(root)
        self._root = Folder()
        self._open: dict[int, File | Folder] = {}

    def apply(self, event: Event) -> None:
        """Take the next event."""
        match event.operation:
            case Operation.OPEN:
                self._open[event.fd] = self._opened(event)
            case Operation.CLOSE:
                self._open.pop(event.fd, None)
            case Operation.WRITE | Operation.TRUNCATE:
                self._file(event.fd).pending.append(_write_of(event, event.is_synchronous))
            case Operation.SYNC:
                self._open[event.fd].sync()
            case Operation.MKDIR:
                self._change(event.path, Folder())
            case Operation.UNLINK | Operation.RMDIR:
                self._change(event.path, None)
            case Operation.RENAME:
                self._rename(event.path, event.data.decode())
            case Operation.MARK:
                raise AssertionError("a mark is no change of the disk")

    def fail(self, target: Path, rng: random.Random, under_way: Event | None) -> None:
        """Write what a power failure now could leave into the empty folder `target`."""
        torn: tuple[File, Write] | None = None
        if under_way is not None and under_way.operation is Operation.WRITE:
            torn = self._file(under_way.fd), _write_of(under_way, False)
        _lay_down(self._root, target, rng, torn)

    def differences(self, root: Path) -> list[str]:
        """Paths where the recorded folder itself differs: what the recorder missed. Call after the last event."""
        wanted = dict(_contents(self._root, PurePosixPath()))
        files = (path for path in root.rglob("*") if path.is_file() and path.name not in UNIMPORTANT)
        found = {str(path.relative_to(root)): path.read_bytes() for path in files}
        return sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))

    def _opened(self, event: Event) -> File | Folder:
        if PurePosixPath(event.path) == self._root_path:
            return self._root
        folder, name = self._place(event.path)
        node = folder.entries.get(name)
        if node is None:
            node = File()
            folder.change({name: node})
        elif isinstance(node, File) and event.offset & os.O_TRUNC:
            node.pending.append(Write(0, None, False))
        return node

    def _file(self, fd: int) -> File:
        node = self._open[fd]
        assert isinstance(node, File), "a folder is not written to"
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        """The folder that holds a path's last name, and that name."""
        *parents, name = PurePosixPath(path).relative_to(self._root_path).parts
        folder = self._root
        for parent in parents:
            node = folder.entries[parent]
            assert isinstance(node, Folder), f"{parent} is not a folder"
            folder = node
        return folder, name

    def _change(self, path: str, node: File | Folder | None) -> None:
        folder, name = self._place(path)
        folder.change({name: node})

    def _rename(self, old: str, new: str) -> None:
        folder, old_name = self._place(old)
        target, new_name = self._place(new)
        assert folder is target, "renames stay in their folder"
        folder.change({old_name: None, new_name: folder.entries[old_name]})


def _write_of(event: Event, is_durable: bool) -> Write:
    return Write(event.offset, event.data if event.operation is Operation.WRITE else None, is_durable)


def _contents(folder: Folder, place: PurePosixPath) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file as processes saw it last."""
    for name, node in folder.entries.items():
        if isinstance(node, Folder):
            yield from _contents(node, place / name)
        elif name not in UNIMPORTANT:
            content = bytearray(node.durable)
            for write in node.pending:
                _apply(content, write.offset, write.data)
            yield str(place / name), bytes(content)


def _lay_down(folder: Folder, target: Path, rng: random.Random, torn: tuple[File, Write] | None) -> None:
    for name, node in folder.survivor(rng).items():
        path = target / name
        if isinstance(node, Folder):
            path.mkdir(mode=0o700)
            _lay_down(node, path, rng, torn)
        elif name not in UNIMPORTANT:
            path.write_bytes(node.survivor(rng, torn[1] if torn and torn[0] is node else None))
            path.chmod(0o600)
