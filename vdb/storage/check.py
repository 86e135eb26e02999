"""The check of a data directory: every invariant of its format, without changing a byte of the data.

Offline: the process lock is held meanwhile, so that no server can be running. The catalog's invariants are in
`check_catalog`, a collection's in `check_collection`, a cache's in `check_cache`; this file owns the order, the folders
and the secret.
"""

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from vdb.errors import FormatTooNew, StorageFailure, VdbError
from vdb.storage.catalog import ACTIVE, CacheDocument, CollectionDocument
from vdb.storage.check_cache import check_cache
from vdb.storage.check_catalog import check_catalog
from vdb.storage.check_collection import check_collection
from vdb.storage.directory import SECRET_BYTES, DataDirectory
from vdb.storage.env import Environment, Transaction
from vdb.storage.faults import Fault, Findings
from vdb.storage.keyspace import Space, number_key
from vdb.storage.probe import MAP_BYTES, is_readable
from vdb.storage.text_index import Analysers

KNOWN_FILES = frozenset({"LOCK", "secret", "secret.draft", "catalog", "catalog.draft", "collections", "caches"})
OF_THE_FILE_SYSTEM = frozenset({"lost+found"})
"""What stands at the root of a volume of its own, whoever uses it."""


def check_directory(path: Path, analysers: Analysers | None = None) -> list[Fault]:
    """Every broken invariant of the directory at `path`, at most `faults.MAX_FAULTS` of them; see `examine`."""
    return examine(path, analysers).faults


def examine(path: Path, analysers: Analysers | None = None) -> Findings:
    """Check a directory that no server uses; raises DirectoryLocked, FormatTooNew, StorageFailure (no directory).

    Without `analysers` text indexes are looked at for their form only, not compared with the records.
    """
    if not path.is_dir():
        raise StorageFailure(f"there is no data directory at {path}")
    names = {entry.name for entry in path.iterdir()} - OF_THE_FILE_SYSTEM
    if names and not names & KNOWN_FILES:  # somebody else's folder: not even a lock is left there
        raise StorageFailure(f"there is no data directory at {path}: nothing in it is of vdb")
    directory = DataDirectory(path)
    try:
        return examine_locked(directory, analysers)
    finally:
        directory.close()


def examine_locked(directory: DataDirectory, analysers: Analysers | None = None) -> Findings:
    """Check a directory of which the caller has the lock; raises FormatTooNew."""
    findings = Findings()
    _examine(directory, findings, analysers)
    return findings


def _examine(directory: DataDirectory, findings: Findings, analysers: Analysers | None) -> None:
    for entry in sorted(directory.root.iterdir()):
        findings.expect(entry.name in KNOWN_FILES | OF_THE_FILE_SYSTEM, entry.name, "nothing of ours has this name")
    if not (directory.catalog_path / "data.mdb").exists():
        # A first start that ended early leaves no more than this.
        found = _folders(directory.collections_path) + _folders(directory.caches_path)
        findings.expect(not found, "catalog", "it is missing, though there are collections or caches")
        return
    _check_secret(directory.root / "secret", findings)
    env = _open(directory.catalog_path, "catalog", findings)
    if env is None:
        return
    try:
        with env.read() as txn:
            collections, caches = check_catalog(txn, findings)
            _check_folders(directory.collections_path, collections, findings)
            _check_folders(directory.caches_path, caches, findings)
            documents: list[CollectionDocument | CacheDocument] = [*collections, *caches]
            for document in documents:
                if document.state == ACTIVE:
                    _check_one(directory, document, txn, findings, analysers)
    except FormatTooNew:
        raise
    except StorageFailure as exc:
        findings.add("catalog", exc.detail)
    finally:
        env.close()


def _check_secret(path: Path, findings: Findings) -> None:
    if not path.exists():
        findings.add("secret", "it is missing: no key can be verified")
        return
    state = path.stat()
    findings.expect(state.st_size == SECRET_BYTES, "secret", f"it has {state.st_size} bytes, not {SECRET_BYTES}")
    findings.expect(not stat.S_IMODE(state.st_mode) & 0o077, "secret", "others than its owner may read it")


def _folders(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _check_folders(root: Path, documents: Sequence[CollectionDocument | CacheDocument], findings: Findings) -> None:
    """A folder for each active document, none without one; those half made or half removed may have one."""
    expected = set()
    for document in documents:
        path = root / f"{document.id:08d}"
        expected |= {path} if document.state == ACTIVE else {path, path.with_name(f"{path.name}.draft")}
    expected |= {path.with_name(f"{path.name}.draft") for path in expected if not (path / "data.mdb").exists()}
    kind = "collection" if root.name == "collections" else "cache"
    for path in _folders(root):
        findings.expect(path in expected, f"{root.name}/{path.name}", f"no {kind} of the catalog has this folder")


def _check_one(
    directory: DataDirectory,
    document: CollectionDocument | CacheDocument,
    catalog: Transaction,
    findings: Findings,
    analysers: Analysers | None,
) -> None:
    is_cache = isinstance(document, CacheDocument)
    path = directory.cache_path(document.id) if is_cache else directory.collection_path(document.id)
    where = f"{'cache' if is_cache else 'collection'} {document.name}"
    if not (path / "data.mdb").exists():
        findings.add(where, f"its environment {path.name} is missing")
        return
    env = _open(path, where, findings)
    if env is None:
        return
    try:
        with env.read() as txn:
            if isinstance(document, CacheDocument):
                check_cache(txn, document, _known_tenants(catalog), findings)
            else:
                check_collection(txn, document, _known_tenants(catalog), findings, analysers)
        findings.n_caches += is_cache
        findings.n_collections += not is_cache
    except FormatTooNew:
        raise
    except StorageFailure as exc:
        findings.add(where, exc.detail)
    finally:
        env.close()


def _known_tenants(catalog: Transaction) -> Callable[[int], bool]:
    return lambda tenant: catalog.get(number_key(Space.TENANT, tenant)) is not None


def _open(path: Path, where: str, findings: Findings) -> Environment | None:
    try:
        env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=MAP_BYTES, read_only=True)
    except VdbError as exc:
        findings.add(where, exc.detail)
        return None
    if is_readable(env):
        return env
    env.close()
    findings.add(where, "its file is cut short: it cannot be read to the end")
    return None
