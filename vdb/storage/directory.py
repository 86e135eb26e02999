"""The data directory: what lies where, the process lock, and crash-safe creation and removal of folders.

LOCK                       held (flock) by the process that uses the directory; its text is that process's pid
secret                     32 random bytes, mode 0600: the key of the API keys' hashes
catalog/                   environment of collections, caches, tenants, keys, jobs
collections/00000001/      environment of the collection with id 1
collections/00000001/index/    files derived from that environment; may be missing, or be removed while nobody uses them
caches/00000001/           environment of the cache with id 1
"""

import errno
import fcntl
import os
import secrets
import shutil
from pathlib import Path

from vdb.errors import DirectoryLocked, DiskFull, StorageFailure

SECRET_BYTES = 32

INDEX_FOLDER = "index"


class DataDirectory:
    """A locked data directory. One per process; `close` lets the next process in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            if not root.exists():
                make_folder(root.absolute())
            self._lock = os.open(root / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StorageFailure(f"cannot use the data directory {root}: {exc.strerror}") from exc
        self._take_lock()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise DirectoryLocked(f"{self.root} is in use by another process (pid {holder})") from exc
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._lock)

    @property
    def catalog_path(self) -> Path:
        return self.root / "catalog"

    @property
    def collections_path(self) -> Path:
        return self.root / "collections"

    def collection_path(self, collection_id: int) -> Path:
        return self.collections_path / f"{collection_id:08d}"

    def index_path(self, collection_id: int) -> Path:
        """Folder of the files that are derived from a collection's environment; made by who writes the first."""
        return self.collection_path(collection_id) / INDEX_FOLDER

    @property
    def caches_path(self) -> Path:
        return self.root / "caches"

    def cache_path(self, cache_id: int) -> Path:
        return self.caches_path / f"{cache_id:08d}"

    def secret(self) -> bytes:
        """The key of the API keys' hashes, made with the directory; raises StorageFailure when it was lost since."""
        path = self.root / "secret"
        if not path.exists():
            if self.catalog_path.exists():
                raise StorageFailure(f"{path} is missing, and without it no key is known: restore it from a backup")
            _write_durably(path, secrets.token_bytes(SECRET_BYTES))
        data = path.read_bytes()
        if len(data) != SECRET_BYTES:
            raise StorageFailure(f"{path} does not hold {SECRET_BYTES} bytes; restore it from a backup")
        return data


def storage_error(exc: OSError, what: str) -> StorageFailure:
    """A failure of the system as an error of ours: DiskFull where no space is left, else StorageFailure."""
    kind = DiskFull if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StorageFailure
    return kind(f"{what}: {exc.strerror}")


def make_folder(path: Path) -> None:
    """Create a folder (and its parents) so that it is there after a power failure."""
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    sync_folder(path)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it; nothing there is fine."""
    if path.exists():
        shutil.rmtree(path)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_durably(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.rename(path)
    sync_folder(path.parent)
