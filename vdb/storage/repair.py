"""Repair of a data directory that no server uses: derived entries are rebuilt, the data itself is left as it is.

Records, vectors and documents are the data; indexes, usages, totals, names, hashes and counters follow from them and
can be made anew. What cannot is reported. Only `drop_damaged` sets it aside: the raw keys and values go into a file,
then they are removed with what followed from them, so that their ids can be written again. No byte of a sound directory
changes, and a repair that was cut short is finished by the next one.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from vdb.errors import CorruptData, DiskFull, FormatTooNew, InvalidArgument, StorageFailure
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument, iterate_readable
from vdb.storage.check import examine_locked
from vdb.storage.directory import INDEX_FOLDER, DataDirectory, remove_folder
from vdb.storage.edits import Aside, Edits
from vdb.storage.env import Environment
from vdb.storage.faults import Findings
from vdb.storage.keyspace import Space
from vdb.storage.meta import check_format
from vdb.storage.migrate import migrate_cache, migrate_collection, upgrade
from vdb.storage.probe import is_readable
from vdb.storage.repair_cache import CacheRepair
from vdb.storage.repair_catalog import CatalogRepair
from vdb.storage.repair_collection import CollectionRepair
from vdb.storage.repair_indexes import mend_indexes
from vdb.storage.repair_text import mend_text
from vdb.storage.text_index import Analysers

logger = logging.getLogger(__name__)

MAP_BYTES = 1 << 30
MAX_MAP_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Change:
    """What was done in one environment: `n` times `what`."""

    where: str
    what: str
    n: int


@dataclass(slots=True)
class Repaired:
    """What a repair did, and what a check finds after it."""

    migrated: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    aside: Path | None = None
    """The file of what was set aside, if anything was."""
    n_aside: int = 0
    findings: Findings = field(default_factory=Findings)


def repair(
    path: Path, *, drop_damaged: bool = False, aside_dir: Path | None = None, analysers: Analysers | None = None
) -> Repaired:
    """Repair the directory at `path`, migrated first where it is of an older format.

    What `drop_damaged` sets aside goes to `aside_dir`, by default the folder `<path>.damaged`. Without `analysers` a
    damaged text index is removed only, and built by the server that opens the collection. Raises DirectoryLocked,
    FormatTooNew, InvalidArgument (the folder lies inside the directory), DiskFull, StorageFailure (no directory, or the
    catalog cannot be read); then it may be run again.
    """
    if not (path / "catalog" / "data.mdb").exists():
        raise StorageFailure(f"there is no data directory at {path}")
    folder = aside_dir or path.absolute().with_name(f"{path.absolute().name}.damaged")
    if folder.resolve().is_relative_to(path.resolve()):
        raise InvalidArgument("the folder of what is set aside lies inside the data directory")
    directory = DataDirectory(path)
    try:
        _opened(directory.catalog_path).close()  # a file that is cut short is not read: that would end the process
        done = Repaired(migrated=upgrade(directory, map_bytes=MAP_BYTES, max_map_bytes=MAX_MAP_BYTES))
        aside = Aside(folder) if drop_damaged else None
        for document in _repair_catalog(directory, done, aside):
            try:
                if isinstance(document, CacheDocument):
                    _repair_cache(directory, document, done, aside)
                else:
                    _repair_collection(directory, document, done, aside, analysers)
            except (DiskFull, FormatTooNew):
                raise
            except StorageFailure as exc:  # the check says what is wrong with it
                logger.error("%s cannot be repaired", document.name, exc_info=exc)
        if aside is not None and aside.n_entries:
            done.aside, done.n_aside = aside.path, aside.n_entries
        done.findings = examine_locked(directory, analysers)
        return done
    finally:
        directory.close()


def _repair_catalog(
    directory: DataDirectory, done: Repaired, aside: Aside | None
) -> list[CollectionDocument | CacheDocument]:
    """The collections and caches to repair next."""
    env = _opened(directory.catalog_path)
    try:
        check_format(env)
        edits = Edits(env, "catalog", aside)
        try:
            CatalogRepair(env, edits).run()
        finally:
            _note(done, edits)
        with env.read() as txn:
            documents: list[CollectionDocument | CacheDocument] = [
                *iterate_readable(txn, Space.COLLECTION, CollectionDocument),
                *iterate_readable(txn, Space.CACHE, CacheDocument),
            ]
    finally:
        env.close()
    return [document for document in documents if document.state == ACTIVE]


def _repair_collection(
    directory: DataDirectory,
    document: CollectionDocument,
    done: Repaired,
    aside: Aside | None,
    analysers: Analysers | None,
) -> None:
    path = directory.collection_path(document.id)
    if not (path / "data.mdb").exists():
        return
    env = _opened(path)
    try:
        place = f"collection {document.name}"
        if migrate_collection(env, document.id, place):  # the migration of all had to leave it
            done.migrated.append(place)
        edits = Edits(env, place, aside)
        try:
            CollectionRepair(env, document, edits).run()
        finally:
            _note(done, edits)
        if edits.done and (path / INDEX_FOLDER).exists():
            remove_folder(path / INDEX_FOLDER)
            done.changes.append(Change(place, "the index's files removed: they are made anew", 1))
        edits = Edits(env, place, None)  # of their own: neither the log nor those files depend on these indexes
        try:
            mend_indexes(env, document, edits)
            mend_text(env, document, edits, analysers)
        finally:
            _note(done, edits)
    finally:
        env.close()


def _repair_cache(directory: DataDirectory, document: CacheDocument, done: Repaired, aside: Aside | None) -> None:
    path = directory.cache_path(document.id)
    if not (path / "data.mdb").exists():
        return
    env = _opened(path)
    try:
        if migrate_cache(env, document.id, f"cache {document.name}"):
            done.migrated.append(f"cache {document.name}")
        edits = Edits(env, f"cache {document.name}", aside)
        try:
            CacheRepair(env, document, edits).run()
        finally:
            _note(done, edits)
    finally:
        env.close()


def _opened(path: Path) -> Environment:
    env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=MAX_MAP_BYTES)
    if is_readable(env):
        return env
    env.close()
    raise CorruptData(f"{path} is cut short: restore it from a backup")


def _note(done: Repaired, edits: Edits) -> None:
    done.changes += [Change(edits.place, what, n) for what, n in sorted(edits.done.items())]
