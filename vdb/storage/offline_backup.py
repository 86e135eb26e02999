"""A backup of a data directory that no server uses: under its lock, and nothing is written to it."""

import time
from contextlib import ExitStack
from pathlib import Path

from vdb.errors import CorruptData, InvalidArgument, StorageFailure
from vdb.storage.backup import BackupFolder, Draft, Held, Manifest, cache_entry_of, entry_of
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument, iterate_documents
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import Space
from vdb.storage.meta import check_format
from vdb.storage.probe import MAP_BYTES, is_readable


def back_up(data_dir: Path, backup_dir: str, name: str) -> Manifest:
    """Make the backup `name` below `backup_dir`; raises DirectoryLocked, CorruptData, and what `draft` raises."""
    if not backup_dir:
        raise InvalidArgument("name the folder of the backups: --backup-dir or VDB_BACKUP_DIR")
    if Path(backup_dir).resolve().is_relative_to(data_dir.resolve()):
        raise InvalidArgument("the folder of the backups lies inside the data directory")
    if not (data_dir / "catalog" / "data.mdb").exists():
        raise StorageFailure(f"there is no data directory at {data_dir}")
    directory = DataDirectory(data_dir)
    try:
        with BackupFolder(Path(backup_dir).absolute()).draft(name) as draft:
            started_at_ms = _now_ms()
            draft.add_secret(directory.secret())
            held = _copy(directory, draft)
            return draft.finish(started_at_ms, _now_ms(), 0.0, held)
    finally:
        directory.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _copy(directory: DataDirectory, draft: Draft) -> Held:
    with ExitStack() as stack:
        env, catalog = _opened(directory.catalog_path, stack)
        draft.add_environment("catalog", env, catalog)
        documents = list(iterate_documents(catalog, Space.COLLECTION, CollectionDocument))
        caches = list(iterate_documents(catalog, Space.CACHE, CacheDocument))
    held = Held()
    for document in documents:
        if document.state != ACTIVE:
            continue
        with ExitStack() as stack:
            path = directory.collection_path(document.id)
            env, txn = _opened(path, stack, collection_id=document.id)
            draft.add_environment(f"collections/{path.name}", env, txn)
            held.collections.append(entry_of(document, txn))
    for cache in caches:
        if cache.state != ACTIVE:
            continue
        with ExitStack() as stack:
            path = directory.cache_path(cache.id)
            env, txn = _opened(path, stack, cache_id=cache.id)
            draft.add_environment(f"caches/{path.name}", env, txn)
            held.caches.append(cache_entry_of(cache, txn))
    return held


def _opened(
    path: Path, stack: ExitStack, collection_id: int | None = None, cache_id: int | None = None
) -> tuple[Environment, Transaction]:
    """An environment that nobody else uses, and a snapshot of it; `stack` ends both."""
    env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=MAP_BYTES, read_only=True)
    stack.callback(env.close)
    if not is_readable(env):
        raise CorruptData(f"{path} is cut short: it cannot be backed up")
    check_format(env, collection_id, cache_id)
    return env, stack.enter_context(env.read())
