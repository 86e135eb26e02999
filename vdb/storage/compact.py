"""Compaction of a data directory that no server uses: each environment written anew, without what was deleted.

LMDB keeps deleted bytes in free pages and in the gaps of used ones, so a copy of pages is not enough: every entry is
appended to a new environment in `compact.draft/` inside the old one's folder, which is synced and then renamed over the
old file. A crash leaves one or the other; a draft left behind is removed by the next compaction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from vdb.errors import CorruptData, DiskFull, StorageFailure
from vdb.storage.backup import sync_file
from vdb.storage.directory import DataDirectory, make_folder, remove_folder, sync_folder
from vdb.storage.env import Environment, MapFull, Transaction, free_disk_bytes
from vdb.storage.meta import check_format
from vdb.storage.probe import MAP_BYTES, is_readable

BATCH_BYTES = 32 << 20
"""Bytes of entries per commit."""

ROOM_BYTES = 64 << 20
"""Map and disk beyond what the entries take."""

Entry = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Compacted:
    """One environment before and after, in bytes of its file."""

    place: str
    before_bytes: int
    after_bytes: int


def compact(path: Path) -> list[Compacted]:
    """Write every environment of the directory anew; raises DirectoryLocked, DiskFull, CorruptData, StorageFailure."""
    if not (path / "catalog" / "data.mdb").exists():
        raise StorageFailure(f"there is no data directory at {path}")
    directory = DataDirectory(path)
    try:
        roots = (directory.collections_path, directory.caches_path)
        made = [folder for root in roots for folder in root.glob("*") if folder.name.isdecimal()]
        folders = [directory.catalog_path, *sorted(made)]
        return [_compact_one(folder, path) for folder in folders if (folder / "data.mdb").exists()]
    except OSError as exc:
        raise StorageFailure(f"cannot compact {path}: {exc.strerror}") from exc
    finally:
        directory.close()


def _compact_one(folder: Path, root: Path) -> Compacted:
    file = folder / "data.mdb"
    before_bytes = file.stat().st_size
    draft = folder / "compact.draft"
    remove_folder(draft)
    make_folder(draft)
    try:
        _rewrite(folder, draft)
        sync_file(draft / "data.mdb")
        (draft / "data.mdb").rename(file)
        sync_folder(folder)
    finally:
        remove_folder(draft)
    return Compacted(str(folder.relative_to(root)), before_bytes, file.stat().st_size)


def _rewrite(folder: Path, draft: Path) -> None:
    source = Environment(folder, map_bytes=MAP_BYTES, max_map_bytes=MAP_BYTES, read_only=True)
    try:
        check_format(source)
        if not is_readable(source):
            raise CorruptData(f"{folder} is cut short: restore it from a backup")
        if free_disk_bytes(folder) < source.live_bytes + ROOM_BYTES:
            raise DiskFull(f"compacting {folder.name} needs {source.live_bytes + ROOM_BYTES} bytes of free disk")
        map_bytes = 2 * source.live_bytes + ROOM_BYTES
        made = Environment(draft, map_bytes=map_bytes, max_map_bytes=map_bytes, create=True)
        try:
            with source.read() as txn:
                for batch in _batches(txn):
                    made.append(batch)
        except MapFull as exc:
            raise StorageFailure(f"compacting {folder.name} took more room than its data") from exc
        finally:
            made.close()
    finally:
        source.close()


def _batches(txn: Transaction) -> Iterator[Iterator[Entry]]:
    """All entries, in runs of about `BATCH_BYTES`; each run is used up before the next is asked for."""
    with txn.cursor() as cursor:
        entries = cursor.iternext()
        for first in entries:
            yield _run(first, entries)


def _run(first: Entry, entries: Iterator[Entry]) -> Iterator[Entry]:
    n_bytes = 0
    for entry in chain((first,), entries):
        yield entry
        n_bytes += len(entry[0]) + len(entry[1])
        if n_bytes >= BATCH_BYTES:
            return
