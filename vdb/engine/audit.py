"""The audit log: one JSON line per attempted management operation, appended and with the system before the answer goes.

Management is what the table of operations gives to admin keys: everything of it that changes something, and what was
refused of the rest. A line has `time`, `operation`, `outcome` (`ok` or an error's code), `actor` (key id, key name,
role; null where nobody was recognised), `client`, `request_id`, `target` (the names in the path), `request` (what was
asked, without what is long or free-form) and `made` (the id of what was made). Never a secret.

A line that cannot be written does not undo or prevent the operation: it goes to the server's log as an error instead,
is counted, and the audit log says how many are missing as soon as it can be written again.
"""

import errno
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct

from vdb.config import Settings
from vdb.errors import Forbidden, InvalidArgument, Unauthenticated, VdbError
from vdb.protocol.operations import Operation
from vdb.protocol.requests import Request, SetAliases
from vdb.storage.directory import sync_folder
from vdb.types import NAME, Caller, Role

MAX_REFUSALS_PER_MINUTE = 60
"""Lines per minute and outcome from callers who are no admin; the rest is counted."""

OK = "ok"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAX_TEXT = 200
_MAX_LISTED = 20
_KEY_ID = re.compile(r"key-(?:environment|[0-9a-f]{24})\Z")
_PLACE = re.compile(r"\{(\w+)\}")

_log = logging.getLogger(__name__)


def is_audited(operation: Operation, error: VdbError | None) -> bool:
    """Whether an attempt belongs into the log."""
    if operation.access != "admin":
        return False
    return operation.method != "GET" or isinstance(error, (Unauthenticated, Forbidden))


def entry_of(
    operation: Operation,
    path: tuple[str, ...],
    request: Request | None,
    caller: Caller | None,
    outcome: str,
    **more: object,
) -> dict[str, Any]:
    """A line's content; `more` are further keys, left out where they are None or empty."""
    actor = None if caller is None else {"key_id": caller.key_id, "key_name": caller.key_name, "role": caller.role}
    entry: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "operation": operation.name,
        "outcome": outcome,
        "actor": actor,
        **{name: value for name, value in more.items() if value},
    }
    places = _PLACE.findall(operation.path)
    if places:
        entry["target"] = {place: _shown_name(name) for place, name in zip(places, path, strict=True)}
    if isinstance(request, Struct) and (asked := _plain(request)):
        if isinstance(request, SetAliases) and len(request.set) <= _MAX_LISTED:  # names, and all there is to tell
            asked["set"] = {_shown_name(alias): _shown_name(name) for alias, name in request.set.items()}
        entry["request"] = asked
    return entry


class AuditLog:
    """An append-only file of JSON lines. Safe to share between threads; whoever opened it closes it."""

    def __init__(self, path: str, is_synced: bool = False) -> None:
        """`is_synced`: each line is on the disk before `write` returns.

        Raises InvalidArgument where the file cannot be opened, but not for a full disk: an admin has to come in then.
        """
        self.path = path
        self.n_lost = 0
        self._is_synced = is_synced
        self._lock = threading.Lock()
        self._n_unreported = 0
        self._is_cut = False
        self._refusals: dict[str, _Minute] = {}
        self._handle: int | None = None
        try:
            self._handle = _opened(path, is_synced)
        except OSError as exc:
            if exc.errno not in _FULL:
                raise InvalidArgument(f"cannot open audit_log {path}: {exc.strerror}") from exc
            _log.error("the audit log cannot be opened yet", extra={"fields": {"audit_log": path}})

    @classmethod
    def of(cls, settings: Settings) -> "AuditLog | None":
        """The log that the settings name, if they name one."""
        return cls(settings.audit_log, settings.audit_fsync) if settings.audit_log else None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a line. What comes from callers who are no admin is bounded; never raises."""
        actor = entry.get("actor")
        is_trusted = actor is not None and actor["role"] == Role.ADMIN
        with self._lock:
            if is_trusted or self._is_within_bounds(str(entry["outcome"])):
                self._append(entry)

    def close(self) -> None:
        """Say what was left out, and close the file."""
        with self._lock:
            for outcome in list(self._refusals):
                self._say_left_out(outcome)
            if self._handle is not None:
                os.close(self._handle)

    def _is_within_bounds(self, outcome: str) -> bool:
        minute = int(time.monotonic() // 60)
        current = self._refusals.get(outcome)
        if current is None or current.minute != minute:
            self._say_left_out(outcome)
            current = self._refusals[outcome] = _Minute(minute)
        current.n += 1
        return current.n <= MAX_REFUSALS_PER_MINUTE

    def _say_left_out(self, outcome: str) -> None:
        over = self._refusals.pop(outcome, None)
        if over is not None and over.n > MAX_REFUSALS_PER_MINUTE:
            self._append({**_event("refusals_left_out"), "outcome": outcome, "n": over.n - MAX_REFUSALS_PER_MINUTE})

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            handle = self._handle = self._current()
            if self._n_unreported:
                self._put(handle, {**_event("lines_lost"), "n": self._n_unreported})
                self._n_unreported = 0
            self._put(handle, entry)
        except OSError as exc:
            self.n_lost += 1
            self._n_unreported += 1
            fields = {"audit_log": self.path, "reason": exc.strerror, "entry": entry}
            _log.error("the audit log cannot be written", extra={"fields": fields})

    def _put(self, handle: int, entry: Mapping[str, Any]) -> None:
        """One line in one write; one that was cut by a full disk is closed off first."""
        line = b"\n" * self._is_cut + json.dumps(entry, default=str).encode() + b"\n"
        n_written = os.write(handle, line)
        if n_written < len(line):
            self._is_cut = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_cut = False
        if self._is_synced:
            _sync(handle)

    def _current(self) -> int:
        """The file that now has the path: a rotation that renames needs no signal."""
        if self._handle is None:
            return _opened(self.path, self._is_synced)
        mine = os.fstat(self._handle)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if there is not None and (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
            return self._handle
        handle = _opened(self.path, self._is_synced)
        os.close(self._handle)
        self._is_cut = False
        return handle


class _Minute:
    """Refusals of one kind within a minute."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.n = 0


def _opened(path: str, is_synced: bool) -> int:
    """The file, made where it is missing; `is_synced` makes its name durable too."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
    if is_synced and stat.S_ISREG(os.fstat(handle).st_mode):
        try:
            sync_folder(Path(path).absolute().parent)
        except OSError:
            os.close(handle)
            raise
    return handle


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe has no disk below it
            raise


def _event(name: str) -> dict[str, Any]:
    return {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": name}


def _shown_name(name: str) -> str:
    """A name of the path; what cannot be one may be anything, even a secret put in the wrong place."""
    is_key = name.startswith("key-")
    return name if (_KEY_ID.match(name) if is_key else NAME.match(name)) else "invalid"


def _plain(value: object) -> Any:
    """What of a request may stand in a line: scalars, short lists of them, structs of these; of others their size."""
    if isinstance(value, Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _plain(field) for name, field in fields if field is not UNSET and field is not None}
    if isinstance(value, str):
        return str(value)[:_MAX_TEXT]
    if value is None or isinstance(value, (bool, int, float, datetime)):
        return value
    if isinstance(value, list) and len(value) <= _MAX_LISTED and all(isinstance(part, str) for part in value):
        return [_plain(part) for part in value]
    return {"n": len(value)} if isinstance(value, (list, dict)) else {}
