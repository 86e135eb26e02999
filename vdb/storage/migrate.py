"""Migrations: a directory of an older format is brought to this release's, one step per version.

A step is one write transaction, which ends with the new version number: it is there wholly or not at all, and after a
crash the next start makes it again. A directory is migrated at the start, as a whole, before anything is answered: what
cannot be migrated is known while going back to the backup still loses nothing.

The catalog goes first, so that from the first commit on no older release takes the directory for its own. Its number
`upgrading` says which format collections and caches may still have; it goes when all of them are done, and a start that
finds it goes on. A directory without it, of this release's format, costs a start one look into the catalog.

What fails is logged and left as it is: its first use tries again, the others are served.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from vdb.errors import CorruptData, DiskFull, FormatTooNew, StorageFailure
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument, iterate_readable
from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment, MapFull, Transaction
from vdb.storage.from_format_1 import break_usages_down
from vdb.storage.keyspace import META_UPGRADING, Space
from vdb.storage.meta import check_format, read_number, write_format, write_number
from vdb.storage.probe import is_cut_short, is_readable

logger = logging.getLogger(__name__)

Step = Callable[[Transaction], None]
Document = CollectionDocument | CacheDocument

ROOM_BYTES = 64 << 20
"""Disk that has to be free before the first step, and room in a map beyond its cap."""


def _change_nothing(txn: Transaction) -> None:
    """The step of a format that leaves this kind of environment as it is."""


CATALOG_STEPS: dict[int, Step] = dict.fromkeys(range(1, 6), _change_nothing)
COLLECTION_STEPS: dict[int, Step] = CATALOG_STEPS | {1: break_usages_down}
CACHE_STEPS: dict[int, Step] = dict.fromkeys(range(4, 6), _change_nothing)
"""Format → the step to the next one. Format 3 has the log of changes, which no older collection has kept, format 4
caches, of which no older directory has any, format 5 text indexes, which no older collection has, format 6 templates of
prompts, and what cached answers keep of a search by words."""


def upgrade(directory: DataDirectory, *, map_bytes: int, max_map_bytes: int) -> list[str]:
    """Bring every environment of a locked directory to this release's format; the places of those that were older.

    Raises FormatTooNew and, before the first step, DiskFull: nothing was touched. A later DiskFull leaves a directory
    that the next start goes on with. CorruptData and StorageFailure are the catalog's.
    """
    if not (directory.catalog_path / "data.mdb").exists():
        return []

    def opened(path: Path) -> Environment:
        return Environment(path, map_bytes=map_bytes, max_map_bytes=max_map_bytes)

    catalog = opened(directory.catalog_path)
    try:
        if is_cut_short(catalog):
            raise CorruptData(f"{directory.catalog_path} is cut short: restore it from a backup")
        if not _is_unfinished(catalog):
            return []
        with catalog.read() as txn:
            stored: list[Document] = [
                *iterate_readable(txn, Space.COLLECTION, CollectionDocument),
                *iterate_readable(txn, Space.CACHE, CacheDocument),
            ]
        documents = [document for document in stored if document.state == ACTIVE]
        _refuse_newer(directory, documents, opened)
        _refuse_without_room(catalog)
        done = ["catalog"] if _migrate(catalog, "catalog", CATALOG_STEPS, marks=True) else []
        n_left = 0
        for document in documents:
            place = f"{'cache' if isinstance(document, CacheDocument) else 'collection'} {document.name}"
            try:
                done += [place] if _migrate_at(directory, document, place, opened) else []
            except (DiskFull, FormatTooNew):
                raise
            except StorageFailure as exc:
                n_left += 1
                logger.error("%s cannot be migrated and is left as it is", place, exc_info=exc)
        if not n_left:
            with catalog.write() as txn:
                txn.delete(META_UPGRADING)
        return done
    finally:
        catalog.close()


def migrate_collection(env: Environment, collection_id: int, place: str) -> bool:
    """Bring an open collection to this release's format; whether it was older.

    Raises FormatTooNew, CorruptData, DiskFull, StorageFailure.
    """
    if check_format(env, collection_id) == FORMAT_VERSION:
        return False
    return _migrate(env, place, COLLECTION_STEPS)


def migrate_cache(env: Environment, cache_id: int, place: str) -> bool:
    """The same of an open cache."""
    if check_format(env, cache_id=cache_id) == FORMAT_VERSION:
        return False
    return _migrate(env, place, CACHE_STEPS)


def _is_unfinished(catalog: Environment) -> bool:
    version = check_format(catalog)
    with catalog.read() as txn:
        return version < FORMAT_VERSION or read_number(txn, META_UPGRADING) > 0


def _refuse_newer(directory: DataDirectory, documents: list[Document], opened: Callable[[Path], Environment]) -> None:
    """Raise FormatTooNew for an environment of a newer release, before anything is changed."""
    for document in documents:
        try:
            env = _opened_one(directory, document, opened)
            try:
                if isinstance(document, CacheDocument):
                    check_format(env, cache_id=document.id)
                else:
                    check_format(env, document.id)
            finally:
                env.close()
        except FormatTooNew:
            raise
        except StorageFailure:
            continue  # reported when its turn comes


def _opened_one(directory: DataDirectory, document: Document, opened: Callable[[Path], Environment]) -> Environment:
    """A collection's or cache's environment that can be read to its end; raises CorruptData."""
    is_cache = isinstance(document, CacheDocument)
    path = directory.cache_path(document.id) if is_cache else directory.collection_path(document.id)
    if not (path / "data.mdb").exists():
        raise CorruptData(f"{path} is missing: restore it from a backup")
    env = opened(path)
    if is_readable(env):
        return env
    env.close()
    raise CorruptData(f"{path} is cut short: restore it from a backup")


def _refuse_without_room(catalog: Environment) -> None:
    if catalog.free_disk_bytes() < ROOM_BYTES:
        raise DiskFull(
            f"the directory is of an older format, and to migrate it {ROOM_BYTES} bytes of disk have to be free: "
            "nothing was changed"
        )


def _migrate_at(
    directory: DataDirectory, document: Document, place: str, opened: Callable[[Path], Environment]
) -> bool:
    env = _opened_one(directory, document, opened)
    try:
        if isinstance(document, CacheDocument):
            return migrate_cache(env, document.id, place)
        return migrate_collection(env, document.id, place)
    finally:
        env.close()


def _migrate(env: Environment, place: str, steps: dict[int, Step], marks: bool = False) -> bool:
    """Make every step from the environment's format on; `marks` notes the format that collections may still have."""
    first = check_format(env)
    for version in range(first, FORMAT_VERSION):
        logger.info("%s is migrated from format %s to %s", place, version, version + 1)
        _make_step(env, place, version, steps[version], marks)
    return first < FORMAT_VERSION


def _make_step(env: Environment, place: str, version: int, step: Step, marks: bool) -> None:
    while True:
        try:
            with env.write() as txn:
                step(txn)
                if marks and not read_number(txn, META_UPGRADING):
                    write_number(txn, META_UPGRADING, version)
                write_format(txn, version + 1)
                return
        except MapFull as exc:
            if not (env.grow() or env.grow(ROOM_BYTES)):
                raise DiskFull(f"{place} has no room to be migrated: raise max_map_bytes") from exc
        except DiskFull as exc:
            raise DiskFull(
                f"no space is left to migrate {place}: free some and start again, it goes on from there"
            ) from exc
        except StorageFailure as exc:
            if isinstance(exc, CorruptData):
                raise
            raise StorageFailure(f"{place} was not migrated: {exc.detail}") from exc
