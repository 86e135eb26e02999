"""Restore of a backup into a new data directory, while no server uses it.

The files are verified, copied into a draft beside the directory, migrated where they are of an older format, and every
collection's and cache's sequence is moved forward by `SEQUENCE_LEAP`, so that no sequence that a client remembers is
ever given to another write. The draft is checked like `vdb check` does, then renamed to its place: a restore that is
cut short leaves no data directory.
"""

import shutil
from pathlib import Path

from vdb.errors import Conflict, CorruptData, NotFound, StorageFailure
from vdb.storage.backup import Manifest, sync_file, verify
from vdb.storage.check import check_directory
from vdb.storage.directory import DataDirectory, make_folder, remove_folder, sync_folder
from vdb.storage.env import Environment
from vdb.storage.keyspace import META_SEQUENCE
from vdb.storage.meta import check_format, read_sequence, write_number
from vdb.storage.migrate import upgrade

SEQUENCE_LEAP = 1 << 32
"""More writes than a collection takes between a backup and its restore."""

MAP_BYTES = 1 << 30
MAX_MAP_BYTES = 1 << 40


def restore(backup: Path, data_dir: Path) -> Manifest:
    """Make `data_dir`, absent or empty so far, hold what the backup holds; its manifest.

    Raises NotFound (no backup there), Conflict (the directory is not empty), CorruptData, FormatTooNew, StorageFailure.
    """
    if not backup.is_dir():
        raise NotFound(f"there is no backup at {backup}")
    target = data_dir.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{data_dir} is not empty: restore into a directory that is empty or not there")
    manifest = verify(backup)
    draft = target.with_name(f"{target.name}.restore-draft")
    try:
        remove_folder(draft)
        _fill(draft, backup, manifest)
        _refuse_faults(draft)
        draft.rename(target)
        sync_folder(target.parent)
    except OSError as exc:
        remove_folder(draft)
        raise StorageFailure(f"cannot restore into {data_dir}: {exc.strerror}") from exc
    except BaseException:
        remove_folder(draft)
        raise
    return manifest


def _fill(draft: Path, backup: Path, manifest: Manifest) -> None:
    make_folder(draft)
    for file in manifest.files:
        path = draft / file.path
        make_folder(path.parent)
        shutil.copyfile(backup / file.path, path)
        path.chmod(0o600)
        sync_file(path)
    directory = DataDirectory(draft)
    try:
        upgrade(directory, map_bytes=MAP_BYTES, max_map_bytes=MAX_MAP_BYTES)
    finally:
        directory.close()
    for held in manifest.collections:
        _leap(draft / "collections" / f"{held.id:08d}", collection_id=held.id)
    for cache in manifest.caches:
        _leap(draft / "caches" / f"{cache.id:08d}", cache_id=cache.id)


def _leap(path: Path, collection_id: int | None = None, cache_id: int | None = None) -> None:
    """Move the sequence of a collection or a cache forward."""
    env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=MAX_MAP_BYTES)
    try:
        check_format(env, collection_id, cache_id)
        with env.write() as txn:
            write_number(txn, META_SEQUENCE, read_sequence(txn) + SEQUENCE_LEAP)
    finally:
        env.close()


def _refuse_faults(draft: Path) -> None:
    faults = check_directory(draft)
    if faults:
        raise CorruptData(f"the backup does not hold a sound directory: {faults[0].where}: {faults[0].what}")
    (draft / "LOCK").unlink()
