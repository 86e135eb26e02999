"""Files to documents: what lies under a path, in order, each read whole; lines of JSON Lines are documents too.

Hidden files and folders are passed over, unless they are named themselves. Links are followed; a folder that has been
seen is not entered again. What cannot be read is told and stands in the way of nothing.
"""

import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

from vdb.errors import InvalidArgument, VdbError
from vdb.rag.extract import lines_of, media_type_of

STANDARD_INPUT = "-"
N_READS = 3
"""How often a file is read that changes meanwhile."""

_LINES = (".jsonl", ".ndjson")
_HEAD_BYTES = 1024
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Source:
    """A document as it lies there: its id, where it is, what is put, and the hash of its content."""

    id: str
    where: str
    fields: dict[str, Any]
    content: bytes | str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Unread:
    """What cannot be put. `id` None: nobody knows which documents would have been there."""

    where: str
    reason: str
    id: str | None = None


class Skipped(NamedTuple):
    """A file that is no document, by its name and first bytes."""

    where: str


Item = Source | Unread | Skipped


@dataclass(frozen=True, slots=True)
class Named:
    """A file and the id that it has as a document. `is_asked_for`: by its own name, not found in a folder."""

    path: Path
    id: str
    is_asked_for: bool


def find_files(paths: Sequence[str], patterns: Sequence[str]) -> Iterator[Named | Unread]:
    """Every file that `paths` name: files, folders, patterns with wildcards, `-`. In a folder those that match one of
    `patterns`, by name or by path from there; no pattern: all.

    The id is the path from the folder, or the path as it was given, without what leads out of the working folder.
    Raises InvalidArgument for a path that leads nowhere.
    """
    for given in paths:
        path = Path(given)
        if given == STANDARD_INPUT:
            yield Named(path, given, True)
        elif path.is_dir():
            yield from _in_folder(path, patterns)
        elif path.exists() or path.is_symlink():
            yield Named(path, _plain(path), True)
        elif _WILD.isdisjoint(given):
            raise InvalidArgument(f"{given}: there is no such file or folder")
        else:
            yield from _by_pattern(given)


def _by_pattern(pattern: str) -> Iterator[Named]:
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
    files = [Named(path, _plain(path), True) for path in found if path.is_file()]
    if not files:
        raise InvalidArgument(f"{pattern}: no file matches")
    yield from files


def _plain(path: Path) -> str:
    """The path as an id: without root, drive, `.` and leading `..`."""
    parts = [part for part in path.parts if part != path.anchor]
    while parts and parts[0] == "..":
        parts = parts[1:]
    return "/".join(parts)


def _in_folder(root: Path, patterns: Sequence[str]) -> Iterator[Named | Unread]:
    seen: set[tuple[int, int]] = set()
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as exc:
            yield Unread(str(folder), _told(exc))
            continue
        folders = []
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append((Path(entry.path), f"{name}/"))
            elif not patterns or any(fnmatchcase(known, p) for p in patterns for known in (name, entry.name)):
                yield Named(Path(entry.path), name, False)
        waiting += reversed(folders)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: reading it says so
        return False


class Reader:
    """Reads files as documents. `fields` are put with each; `max_bytes` is the server's cap of one document."""

    def __init__(self, fields: dict[str, Any], prefix: str, max_bytes: int) -> None:
        self._fields, self._prefix, self._max_bytes = fields, prefix, max_bytes

    def read(self, file: Named) -> Iterator[Item]:
        """The document of a file, or those of its lines."""
        where = str(file.path)
        try:
            file.id.encode()
        except UnicodeEncodeError:
            yield Unread(where.encode(errors="replace").decode(), "its name is not UTF-8")
            return
        try:
            if where == STANDARD_INPUT:
                yield from self._lines(sys.stdin.buffer, "standard input", STANDARD_INPUT)
            elif file.id.lower().endswith(_LINES) and (file.is_asked_for or file.path.is_file()):
                with file.path.open("rb") as lines:
                    yield from self._lines(lines, where, file.id)
            else:
                yield self._whole(file, where)
        except OSError as exc:
            is_one = not file.id.lower().endswith(_LINES)
            yield Unread(where, _told(exc), self._prefix + file.id if is_one else None)

    def _whole(self, file: Named, where: str) -> Item:
        document = self._prefix + file.id
        for _ in range(N_READS):
            before = file.path.stat()
            if not stat.S_ISREG(before.st_mode):
                return Unread(where, "it is no ordinary file", document) if file.is_asked_for else Skipped(where)
            with file.path.open("rb") as opened:
                head = opened.read(_HEAD_BYTES)
                media_type = media_type_of(file.id, head)
                if media_type is None:
                    is_fault = file.is_asked_for
                    return (
                        Unread(where, "it is no text, Markdown, HTML or PDF", document) if is_fault else Skipped(where)
                    )
                if before.st_size > self._max_bytes:
                    cap = f"a document has up to {self._max_bytes:,} (the server's max_document_bytes)"
                    return Unread(where, f"it has {before.st_size:,} bytes, and {cap}", document)
                data = head + opened.read(self._max_bytes + 1 - len(head))
            after = file.path.stat()
            if len(data) == after.st_size and before.st_mtime_ns == after.st_mtime_ns:
                fields = {"media_type": media_type} | self._fields
                return Source(document, where, fields, data, sha256(data).hexdigest())
        return Unread(where, "it is being changed while it is read", document)

    def _lines(self, lines: IO[bytes], where: str, name: str) -> Iterator[Item]:
        for number, line in lines_of(lines, self._max_bytes):
            place = f"{where}, line {number}"
            if isinstance(line, VdbError):
                yield Unread(place, line.detail)
                continue
            fields: dict[str, Any] = {"title": line["title"]} if line["title"] else {}
            payload = line["payload"] | self._fields.get("payload", {})
            fields |= self._fields | ({"payload": payload} if payload else {})
            text, known = line["text"], line["id"]
            document = self._prefix + (f"{name}#{number}" if known is None else known)
            yield Source(document, place, fields, text, sha256(text.encode()).hexdigest())


def _told(exc: OSError) -> str:
    return f"it cannot be read: {exc.strerror or type(exc).__name__}"
