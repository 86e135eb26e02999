"""The recorder's log, read back: one event per record, in the order in which the calls returned. Format: recorder.c."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_HEAD = struct.Struct("<BBHiqII")


class Operation(IntEnum):
    """First byte of a record."""

    OPEN = 1
    CLOSE = 2
    WRITE = 3
    TRUNCATE = 4
    SYNC = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8
    RMDIR = 9
    MARK = 10


@dataclass(frozen=True, slots=True)
class Event:
    """`offset` is the flags of an OPEN and the length of a TRUNCATE; `data` the new path of a RENAME."""

    operation: Operation
    is_synchronous: bool
    fd: int
    offset: int
    path: str
    data: bytes


def read_events(log: Path) -> Iterator[Event]:
    """Every event of a log; a record cut short at its end is left out."""
    text = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(text):
        operation, flag, _, fd, offset, n_path, n_data = _HEAD.unpack_from(text, at)
        start = at + _HEAD.size
        at = start + n_path + n_data
        if at <= len(text):
            path = text[start : start + n_path].decode()
            yield Event(Operation(operation), bool(flag), fd, offset, path, text[start + n_path : at])
