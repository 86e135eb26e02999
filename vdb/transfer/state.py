"""How far a transfer has come: a small JSON file, replaced as a whole, so that a second run goes on after a kill.

It names the source (size, modification time, a hash of head and tail), the target and the mapping. A run that differs
in one of them is refused: what was written before would not be what the rest is.
"""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vdb.errors import InvalidArgument

_ENDS_BYTES = 64 << 10

S = TypeVar("S", bound=msgspec.Struct)


class Fingerprint(msgspec.Struct, frozen=True):
    """What tells one content of a file from another without reading all of it."""

    size: int
    modified_ns: int
    digest: str


class ImportState(msgspec.Struct, forbid_unknown_fields=True):
    """An import up to its last acknowledged chunk. `owner` is the tenant that a written point turned out to be of."""

    source: Fingerprint
    target: dict[str, Any]
    mapping: dict[str, Any]
    row: int = 0
    offset: int = 0
    n_written: int = 0
    n_rejected: int = 0
    rejected_bytes: int = 0
    written_id: str | None = None
    owner: str | None = None
    version: int = 1


class ExportState(msgspec.Struct, forbid_unknown_fields=True):
    """An export up to its last page on disk."""

    target: dict[str, Any]
    form: dict[str, Any]
    cursor: str | None = None
    n_points: int = 0
    n_bytes: int = 0
    is_read: bool = False
    version: int = 1


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of a file; raises InvalidArgument where it cannot be read."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            hashed = blake2b(file.read(_ENDS_BYTES), digest_size=16)
            file.seek(max(0, status.st_size - _ENDS_BYTES))
            hashed.update(file.read(_ENDS_BYTES))
    except OSError as exc:
        raise InvalidArgument(f"{path.name}: cannot be read: {exc.strerror}") from exc
    return Fingerprint(status.st_size, status.st_mtime_ns, hashed.hexdigest())


def load(path: Path, shape: type[S]) -> S | None:
    """The state in the file, None where there is none; raises InvalidArgument for a damaged one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidArgument(f"{path} is not a state of this command: --restart begins anew") from exc


def save(path: Path, state: msgspec.Struct) -> None:
    """Replace the file; after a crash it holds the old state or this one. Raises InvalidArgument."""
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        raise InvalidArgument(f"the state {path} cannot be written: {exc.strerror} (--state names another)") from exc


def difference(old: msgspec.Struct, new: msgspec.Struct, names: tuple[str, ...]) -> str | None:
    """Which of the fields `names` differs between two states, with both values where they are short; None if none."""
    for name in names:
        before, now = msgspec.to_builtins(getattr(old, name)), msgspec.to_builtins(getattr(new, name))
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                return f"{name} {key} was {before.get(key)!r} and is {now.get(key)!r}"
    return None
