"""A folder of backups: names, manifests, and how a backup comes into being whole.

.lock                      held (flock) while a backup is made or deleted: one at a time
.NAME.draft/               a backup that is not finished; ignored, and swept by the next one
NAME/manifest.json         written last: format, times, collections and caches with their sequences, size and SHA-256
                           of every file
NAME/secret                as in the data directory, mode 0600
NAME/catalog/data.mdb      compacted copies, one snapshot each, all of one instant
NAME/collections/00000001/data.mdb
NAME/caches/00000001/data.mdb

A backup is there once its folder is renamed to its name, and every file was synced before that.
"""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from vdb import __version__
from vdb.errors import (
    AlreadyExists,
    Conflict,
    CorruptData,
    DiskFull,
    FormatTooNew,
    InvalidArgument,
    NotFound,
    StorageFailure,
)
from vdb.storage.cache_entries import read_cache_usage
from vdb.storage.catalog import CacheDocument, CollectionDocument
from vdb.storage.directory import make_folder, remove_folder, sync_folder
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_N_POINTS
from vdb.storage.meta import read_number, read_sequence
from vdb.types import NAME

BACKUP_FORMAT = 2
"""2 has caches; a backup of format 1 has none."""
MANIFEST = "manifest.json"

PLACE = re.compile(r"secret|catalog/data\.mdb|(collections|caches)/[0-9]{8,10}/data\.mdb")
"""What a backup may hold; a manifest that names anything else is not ours."""


class CollectionEntry(Struct, kw_only=True, frozen=True):
    id: int
    name: str
    sequence: int
    n_points: int


class CacheEntry(Struct, kw_only=True, frozen=True):
    id: int
    name: str
    sequence: int
    n_entries: int


class FileEntry(Struct, kw_only=True, frozen=True):
    path: str
    n_bytes: int
    sha256: str


class Manifest(Struct, kw_only=True, frozen=True):
    """What a backup holds. Times are epoch milliseconds; `pause_ms` is how long writes waited."""

    format: int = BACKUP_FORMAT
    release: str = __version__
    started_at_ms: int
    finished_at_ms: int
    pause_ms: float
    collections: list[CollectionEntry]
    files: list[FileEntry]
    caches: list[CacheEntry] = []

    @property
    def n_bytes(self) -> int:
        return sum(file.n_bytes for file in self.files)


@dataclass(slots=True)
class Held:
    """What a backup holds beside the catalog."""

    collections: list[CollectionEntry] = field(default_factory=list)
    caches: list[CacheEntry] = field(default_factory=list)


class Draft:
    """A backup in the making. Used by one thread; `BackupFolder.draft` gives it its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[FileEntry] = []

    def add_environment(self, place: str, env: Environment, txn: Transaction) -> None:
        """A compacted copy of the snapshot `txn` at `place`, such as `catalog`."""
        folder = self._path / place
        make_folder(folder)
        env.copy_to(folder, txn)
        (folder / "data.mdb").chmod(0o600)
        self._settle(f"{place}/data.mdb")

    def add_secret(self, secret: bytes) -> None:
        write_file(self._path / "secret", secret)
        self._settle("secret")

    def finish(self, started_at_ms: int, finished_at_ms: int, pause_ms: float, held: Held) -> Manifest:
        """Write the manifest: the last file."""
        manifest = Manifest(
            started_at_ms=started_at_ms,
            finished_at_ms=finished_at_ms,
            pause_ms=pause_ms,
            collections=held.collections,
            caches=held.caches,
            files=self._files,
        )
        write_file(self._path / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        return manifest

    def _settle(self, place: str) -> None:
        path = self._path / place
        sync_file(path)
        self._files.append(FileEntry(path=place, n_bytes=path.stat().st_size, sha256=sha256_of(path)))


class BackupFolder:
    """The backups below one folder. Thread-safe, and safe among processes by its lock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """The finished backups, by name."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if NAME.match(path.name) and (path / MANIFEST).exists())

    def manifest(self, name: str) -> Manifest:
        """Raises NotFound, and what `read_manifest` raises."""
        if not NAME.match(name) or not (self.root / name / MANIFEST).exists():
            raise NotFound("no such backup")
        return read_manifest(self.root / name)

    @contextmanager
    def draft(self, name: str) -> Iterator[Draft]:
        """A draft that becomes the backup `name` when the block ends, and goes when it raises.

        Raises InvalidArgument, AlreadyExists, Conflict (another backup is being made), StorageFailure.
        """
        if not NAME.match(name):
            raise InvalidArgument.at("/name", "a backup's name is [a-z0-9][a-z0-9_-]{0,63}")
        with self._alone():
            if (self.root / name).exists():
                raise AlreadyExists("a backup of that name exists")
            self._sweep()
            path = self.root / f".{name}.draft"
            try:
                make_folder(path)
                yield Draft(path)
                sync_folder(path)
                path.rename(self.root / name)
                sync_folder(self.root)
            except BaseException:
                remove_folder(path)
                raise

    def delete(self, name: str) -> None:
        """Raises NotFound, Conflict (a backup is being made)."""
        if not NAME.match(name) or not (self.root / name / MANIFEST).exists():
            raise NotFound("no such backup")
        with self._alone():
            gone = self.root / f".{name}.draft"
            remove_folder(gone)
            (self.root / name).rename(gone)
            sync_folder(self.root)  # or a power failure might leave the name on a backup that has lost files
            remove_folder(gone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            if not self.root.exists():
                make_folder(self.root.absolute())
            handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StorageFailure(f"cannot use the backup folder: {exc.strerror}") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            raise Conflict("another backup is being made or deleted") from exc
        try:
            yield
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                raise DiskFull("no space is left for the backup") from exc
            raise StorageFailure(f"the backup folder cannot be written: {exc.strerror}") from exc
        finally:
            os.close(handle)

    def _sweep(self) -> None:
        """Remove what backups that were cut short have left."""
        for path in self.root.glob(".*.draft"):
            remove_folder(path)


def entry_of(collection: CollectionDocument, txn: Transaction) -> CollectionEntry:
    """What the manifest says of a collection, by a snapshot of its environment."""
    return CollectionEntry(
        id=collection.id,
        name=collection.name,
        sequence=read_sequence(txn),
        n_points=read_number(txn, META_N_POINTS),
    )


def cache_entry_of(cache: CacheDocument, txn: Transaction) -> CacheEntry:
    """What the manifest says of a cache, by a snapshot of its environment."""
    usage = read_cache_usage(txn)
    return CacheEntry(id=cache.id, name=cache.name, sequence=read_sequence(txn), n_entries=usage.n_entries)


def read_manifest(backup: Path) -> Manifest:
    """The manifest of the backup at `backup`; raises CorruptData, FormatTooNew."""
    try:
        manifest = msgspec.json.decode((backup / MANIFEST).read_bytes(), type=Manifest)
    except OSError as exc:
        raise CorruptData(f"{backup} is not a finished backup: its manifest cannot be read") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CorruptData(f"{backup} has a damaged manifest") from exc
    if manifest.format > BACKUP_FORMAT:
        raise FormatTooNew(
            f"{backup} has backup format {manifest.format}; this release reads up to {BACKUP_FORMAT}: "
            f"restore it with release {manifest.release} or a newer one"
        )
    return manifest


def verify(backup: Path) -> Manifest:
    """The manifest of a backup of which every file is as it was written; raises CorruptData, FormatTooNew."""
    manifest = read_manifest(backup)
    places = [file.path for file in manifest.files]
    wanted = {"secret", "catalog/data.mdb"} | {f"collections/{held.id:08d}/data.mdb" for held in manifest.collections}
    wanted |= {f"caches/{held.id:08d}/data.mdb" for held in manifest.caches}
    if set(places) != wanted or len(places) != len(wanted) or not all(map(PLACE.fullmatch, places)):
        raise CorruptData(f"{backup} has a manifest that does not name the files of a backup")
    for file in manifest.files:
        path = backup / file.path
        if not path.is_file() or path.stat().st_size != file.n_bytes or sha256_of(path) != file.sha256:
            raise CorruptData(f"{path} is missing or not as it was written: the backup is damaged")
    return manifest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make a file's bytes and its folder's entry durable."""
    sync_folder(path)  # an fsync of whatever the path names
    sync_folder(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """A new file of mode 0600, durable on return."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    sync_file(path)
