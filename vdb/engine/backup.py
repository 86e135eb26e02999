"""Online backups: all write queues pause, one read transaction per environment begins, writes go on, copies are made.

So catalog, collections and caches are of one instant, and contain every write that was answered before it. The pause
lasts as long as the commits in hand and the beginning of the transactions. The copies are made in the request's thread;
every collection and cache is open until it is copied, and its map cannot grow meanwhile: a write that needs it to
waits. An engine that closes gives a backup up once the environment in hand is copied, so that a stop does not take as
long as a backup.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vdb.engine.cache_shard import CacheShard
from vdb.engine.commit import CommitQueue
from vdb.engine.listing import name_after, page_of
from vdb.engine.opened import Pool
from vdb.engine.services import Services
from vdb.engine.shard import Shard, epoch_ms
from vdb.engine.tenants import moment_of
from vdb.errors import CacheNotFound, CollectionNotFound, DiskFull, InvalidArgument, ShuttingDown
from vdb.protocol import answers
from vdb.protocol.requests import CreateBackup, ListPage
from vdb.storage import catalog as store
from vdb.storage.backup import BackupFolder, Draft, Held, Manifest, cache_entry_of, entry_of
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument
from vdb.storage.env import Environment, Transaction, free_disk_bytes
from vdb.storage.keyspace import Space
from vdb.types import Caller

SCHEDULED_PREFIX = "auto-"
"""Begins the names of scheduled backups, which retention removes."""


D = TypeVar("D", CollectionDocument, CacheDocument)
S = TypeVar("S", Shard, CacheShard)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One environment at the instant; `ending` ends the transaction, once it is copied."""

    env: Environment
    txn: Transaction
    ending: ExitStack


@dataclass(frozen=True, slots=True)
class Instant:
    """Snapshots of one moment: the catalog's, and those of each active collection and cache."""

    catalog: Snapshot
    collections: list[tuple[CollectionDocument, Snapshot]]
    caches: list[tuple[CacheDocument, Snapshot]]
    pause_ms: float


def create_backup(services: Services, caller: Caller, path: tuple[str, ...], request: CreateBackup) -> answers.Backup:
    """Make a backup and answer when it is on disk; raises InvalidArgument, AlreadyExists, Conflict, DiskFull."""
    check_backup_name(request.name)
    return answer_of(request.name, make_backup(services, request.name))


def check_backup_name(name: str) -> None:
    """Raise InvalidArgument for a name that the schedule's retention would take for one of its own."""
    if name.startswith(SCHEDULED_PREFIX):
        raise InvalidArgument.at("/name", f"names that begin with {SCHEDULED_PREFIX} are the schedule's")


def make_backup(services: Services, name: str) -> Manifest:
    """Make a backup, whoever asked for it; raises what `create_backup` raises."""
    started_at_ms = epoch_ms()
    with backup_folder(services).draft(name) as draft, _instant(services) as instant:
        held = _copy(services, draft, instant)
        return draft.finish(started_at_ms, epoch_ms(), instant.pause_ms, held)


def list_backups(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Backups:
    """The finished backups, by name."""
    after = name_after(request)
    folder = backup_folder(services)
    names = (name for name in folder.names() if name > after)
    page, cursor = page_of(names, request, services.settings.limits, str)
    return answers.Backups(backups=[answer_of(name, folder.manifest(name)) for name in page], next_cursor=cursor)


def get_backup(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Backup:
    return answer_of(path[0], backup_folder(services).manifest(path[0]))


def delete_backup(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Done:
    """Remove a backup's files."""
    backup_folder(services).delete(path[0])
    return answers.Done()


def backup_folder(services: Services) -> BackupFolder:
    """The folder of the settings; raises InvalidArgument where backups are off."""
    if not services.settings.backup_dir:
        raise InvalidArgument("backups are off: the server has no backup_dir (VDB_BACKUP_DIR)")
    root = Path(services.settings.backup_dir).absolute()
    if root.resolve().is_relative_to(services.directory.root.resolve()):
        raise InvalidArgument("backups are off: backup_dir lies inside the data directory")
    return BackupFolder(root)


@contextmanager
def _instant(services: Services) -> Iterator[Instant]:
    """Snapshots of everything at one instant. Shards stay acquired until the block ends."""
    with ExitStack() as stack:
        shards: dict[int, Shard] = {}
        caches: dict[int, CacheShard] = {}
        _acquire(services.shards, services.catalog.collections(), shards, stack)  # opening takes long: before the pause
        _acquire(services.caches, services.catalog.caches(), caches, stack)
        environments = [shard.env for shard in shards.values()] + [cache.env for cache in caches.values()]
        _refuse_without_room(services, environments)
        began = time.monotonic()
        with ExitStack() as held:
            _hold(services.catalog.queue, held)
            services.catalog.queue.await_stillness()
            catalog = _begin(services.catalog.env, stack)
            of_collections = _active(catalog.txn, Space.COLLECTION, CollectionDocument)
            of_caches = _active(catalog.txn, Space.CACHE, CacheDocument)
            _acquire(services.shards, of_collections, shards, stack)
            _acquire(services.caches, of_caches, caches, stack)
            queues: list[CommitQueue[Any]] = [shards[document.id].queue for document in of_collections]
            queues += [caches[document.id].queue for document in of_caches]
            for queue in queues:
                _hold(queue, held)
            for queue in queues:
                queue.await_stillness()
            collections = [(document, _begin(shards[document.id].env, stack)) for document in of_collections]
            kept = [(document, _begin(caches[document.id].env, stack)) for document in of_caches]
        yield Instant(catalog, collections, kept, round((time.monotonic() - began) * 1e3, 3))


def _active(txn: Transaction, space: Space, shape: type[D]) -> list[D]:
    return [document for document in store.iterate_documents(txn, space, shape) if document.state == ACTIVE]


def _acquire(pool: Pool[D, S], documents: Iterable[D], acquired: dict[int, S], stack: ExitStack) -> None:
    for document in documents:
        if document.id in acquired:
            continue
        try:
            shard = pool.acquire(document, counts_as_use=False)
        except (CacheNotFound, CollectionNotFound):  # deleted meanwhile: the catalog's snapshot will say so
            continue
        stack.callback(pool.release, shard)
        acquired[document.id] = shard


def _begin(env: Environment, stack: ExitStack) -> Snapshot:
    """A snapshot that ends with `stack`, if not before."""
    ending = stack.enter_context(ExitStack())
    return Snapshot(env, ending.enter_context(env.read()), ending)


def _hold(queue: CommitQueue[Any], held: ExitStack) -> None:
    queue.hold()
    held.callback(queue.resume)


def _refuse_without_room(services: Services, environments: Iterable[Environment]) -> None:
    n_bytes = services.catalog.env.live_bytes + sum(env.live_bytes for env in environments)
    if free_disk_bytes(Path(services.settings.backup_dir)) < n_bytes + services.settings.disk_reserve_bytes:
        raise DiskFull(f"the backup needs {n_bytes} bytes of free disk")


def _copy(services: Services, draft: Draft, instant: Instant) -> Held:
    draft.add_secret(services.secret)
    draft.add_environment("catalog", instant.catalog.env, instant.catalog.txn)
    instant.catalog.ending.close()
    held = Held()
    for document, snapshot in instant.collections:
        _refuse_while_stopping(services)
        held.collections.append(entry_of(document, snapshot.txn))
        draft.add_environment(f"collections/{document.id:08d}", snapshot.env, snapshot.txn)
        snapshot.ending.close()
    for cache, snapshot in instant.caches:
        _refuse_while_stopping(services)
        held.caches.append(cache_entry_of(cache, snapshot.txn))
        draft.add_environment(f"caches/{cache.id:08d}", snapshot.env, snapshot.txn)
        snapshot.ending.close()
    return held


def _refuse_while_stopping(services: Services) -> None:
    if services.is_stopping.is_set():
        raise ShuttingDown("the server is shutting down: the backup was given up", retry_after_s=1.0)


def answer_of(name: str, manifest: Manifest) -> answers.Backup:
    """What a manifest says, in the shape of answers."""
    return answers.Backup(
        name=name,
        bytes=manifest.n_bytes,
        n_collections=len(manifest.collections),
        pause_ms=manifest.pause_ms,
        started_at=moment_of(manifest.started_at_ms),
        finished_at=moment_of(manifest.finished_at_ms),
        release=manifest.release,
        collections=[
            answers.BackupCollection(id=held.id, name=held.name, sequence=held.sequence, n_points=held.n_points)
            for held in manifest.collections
        ],
        caches=[
            answers.BackupCache(id=held.id, name=held.name, sequence=held.sequence, n_entries=held.n_entries)
            for held in manifest.caches
        ],
    )
