"""Keys of a data directory that no server uses, and backups without a server: the methods of the client.

Answers are those of the API.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from vdb.config import Settings
from vdb.engine.backup import answer_of
from vdb.engine.engine import Engine
from vdb.errors import InvalidArgument, StorageFailure
from vdb.protocol import answers, requests
from vdb.storage.backup import BackupFolder
from vdb.storage.offline_backup import back_up
from vdb.types import Role

__all__ = ["OfflineBackups", "OfflineKeys", "open_keys"]


class OfflineKeys:
    """Keys as `vdb.client` manages them, without a server. Used by one thread; `open_keys` closes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keys(self) -> list[answers.Key]:
        found: list[answers.Key] = []
        cursor: str | None = None
        while True:
            page = self._run("list_keys", requests.ListPage(cursor=cursor))
            found += page.keys
            cursor = page.next_cursor
            if cursor is None:
                return found

    def create_key(
        self, tenant: str | None = None, role: str = "write", name: str = "", expires_at: datetime | None = None
    ) -> answers.Key:
        request = requests.CreateKey(role=Role(role), tenant=tenant, name=name, expires_at=expires_at)
        made: answers.Key = self._run("create_key", request)
        return made

    def get_key(self, key_id: str) -> answers.Key:
        found: answers.Key = self._run("get_key", requests.Empty(), key_id)
        return found

    def rotate_key(self, key_id: str, grace_s: float = 0.0) -> answers.Key:
        made: answers.Key = self._run("rotate_key", requests.RotateKey(grace_s=grace_s), key_id)
        return made

    def delete_key(self, key_id: str) -> answers.Done:
        gone: answers.Done = self._run("delete_key", requests.Empty(), key_id)
        return gone

    def _run(self, name: str, request: requests.Request, *path: str) -> Any:
        return self._engine.run(name, self._engine.local_caller(), path, request)


@contextmanager
def open_keys(data_dir: Path) -> Iterator[OfflineKeys]:
    """The keys of the directory, which is locked meanwhile; nothing runs on it in the background.

    Raises StorageFailure (no data directory there), DirectoryLocked, FormatTooNew, CorruptData.
    """
    if not (data_dir / "catalog" / "data.mdb").exists():
        raise StorageFailure(f"there is no data directory at {data_dir}")
    # Whoever replaces a lost key may do so on a full disk: the reserve is there for that.
    engine = Engine.open(Settings(data_dir=data_dir, disk_reserve_bytes=0), is_serving=False)
    try:
        yield OfflineKeys(engine)
    finally:
        engine.close()


class OfflineBackups:
    """Backups as `vdb.client` manages them, of a directory that no server uses. Nothing to close."""

    def __init__(self, data_dir: Path, backup_dir: str) -> None:
        """Raises InvalidArgument where no folder is named."""
        if not backup_dir:
            raise InvalidArgument("name the folder of the backups: --backup-dir or VDB_BACKUP_DIR")
        self._data_dir, self._backup_dir = data_dir, backup_dir
        self._folder = BackupFolder(Path(backup_dir).absolute())

    def create_backup(self, name: str) -> answers.Backup:
        return answer_of(name, back_up(self._data_dir, self._backup_dir, name))

    def backups(self) -> list[answers.Backup]:
        return [self.get_backup(name) for name in self._folder.names()]

    def get_backup(self, name: str) -> answers.Backup:
        return answer_of(name, self._folder.manifest(name))

    def delete_backup(self, name: str) -> answers.Done:
        self._folder.delete(name)
        return answers.Done()
