"""Keys of a data directory that no server uses, and backups without a server: the methods of the client.

Answers are those of the API.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from vdb.config import Settings
from vdb.engine.audit import OK, AuditLog, entry_of, is_audited
from vdb.engine.backup import answer_of, check_backup_name
from vdb.engine.engine import Engine
from vdb.errors import InternalError, InvalidArgument, StorageFailure, VdbError
from vdb.protocol import answers, requests
from vdb.protocol.operations import BY_NAME, Operation
from vdb.storage.backup import BackupFolder
from vdb.storage.offline_backup import back_up
from vdb.types import Role

__all__ = ["OfflineBackups", "OfflineKeys", "open_keys"]


class OfflineKeys:
    """Keys as `vdb.client` manages them, without a server. Used by one thread; `open_keys` closes it.

    What changes something is written to the audit log, if there is one, with the user of the machine as actor.
    """

    def __init__(self, engine: Engine, audit_log: AuditLog | None = None) -> None:
        self._engine, self._audit_log = engine, audit_log

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
        error: VdbError | None = None
        answer: Any = None
        try:
            answer = self._engine.run(name, self._engine.local_caller(), path, request)
        except VdbError as exc:
            error = exc
            raise
        except BaseException:  # noted as what it is, and shown as a bug by whoever called
            error = InternalError("the operation did not end as it should")
            raise
        finally:
            self._note(BY_NAME[name], path, request, error, getattr(answer, "id", None))
        return answer

    def _note(
        self,
        operation: Operation,
        path: tuple[str, ...],
        request: requests.Request,
        error: VdbError | None,
        made: str | None,
    ) -> None:
        if self._audit_log is None or not is_audited(operation, error):
            return
        caller, outcome = self._engine.local_caller(), OK if error is None else error.code
        more = {"client": "offline", "user": _user(), "made": made if operation.method == "POST" else None}
        self._audit_log.write(entry_of(operation, path, request, caller, outcome, **more))


@contextmanager
def open_keys(data_dir: Path) -> Iterator[OfflineKeys]:
    """The keys of the directory, which is locked meanwhile; nothing runs on it in the background.

    Raises StorageFailure (no data directory there), DirectoryLocked, FormatTooNew, CorruptData.
    """
    if not (data_dir / "catalog" / "data.mdb").exists():
        raise StorageFailure(f"there is no data directory at {data_dir}")
    audit_log = AuditLog.of(Settings.with_environment())
    with closing(audit_log) if audit_log is not None else nullcontext():
        # Whoever replaces a lost key may do so on a full disk: the reserve is there for that.
        engine = Engine.open(Settings(data_dir=data_dir, disk_reserve_bytes=0), is_serving=False)
        try:
            yield OfflineKeys(engine, audit_log)
        finally:
            engine.close()


def _user() -> str:
    """The user whom the machine knows, whatever the environment says."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


class OfflineBackups:
    """Backups as `vdb.client` manages them, of a directory that no server uses. Nothing to close."""

    def __init__(self, data_dir: Path, backup_dir: str) -> None:
        """Raises InvalidArgument where no folder is named."""
        if not backup_dir:
            raise InvalidArgument("name the folder of the backups: --backup-dir or VDB_BACKUP_DIR")
        self._data_dir, self._backup_dir = data_dir, backup_dir
        self._folder = BackupFolder(Path(backup_dir).absolute())

    def create_backup(self, name: str) -> answers.Backup:
        check_backup_name(name)
        return answer_of(name, back_up(self._data_dir, self._backup_dir, name))

    def backups(self) -> list[answers.Backup]:
        return [self.get_backup(name) for name in self._folder.names()]

    def get_backup(self, name: str) -> answers.Backup:
        return answer_of(name, self._folder.manifest(name))

    def delete_backup(self, name: str) -> answers.Done:
        self._folder.delete(name)
        return answers.Done()
