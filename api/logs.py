"""The structured log: one JSON object per line on stderr, for our loggers, the server's below us, and each request.

Keys: `time` (UTC, RFC 3339, milliseconds), `level`, `event`, and what the event has to say. Payload text, vectors and
API keys never get here: records carry ids, names of ours, and numbers only.
"""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import msgspec

from vdb.types import NAME

_encode = msgspec.json.Encoder(enc_hook=str).encode
_OURS = ("vdb", "vdb_api")
_HELD_S = 0.05
_MOST_HELD = 64  # so many take the event loop half a millisecond
_BELOW = ("uvicorn", "uvicorn.error", "asyncio", "opentelemetry")


class JsonFormatter(logging.Formatter):
    """A log record as one JSON line; `extra={"fields": {...}}` adds keys to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def configure(level: str) -> None:
    """Send our loggers, at `level`, and the warnings of those below us to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for names, least in ((_OURS, level.upper()), (_BELOW, "WARNING")):
        for name in names:
            logger = logging.getLogger(name)
            logger.handlers = [handler]
            logger.propagate = False
            logger.setLevel(least)


class Line(NamedTuple):
    """What the access log says of a request. `scheme` is empty unless a proxy stands before the server."""

    seconds: float
    request_id: str
    trace_id: str
    client: str
    scheme: str
    method: str
    route: str
    collection: str | None
    cache: str | None
    tenant: str | None
    status: int
    stream: str
    duration_s: float
    n_bytes: int


class AccessLog:
    """Writes one line per request, past the logging module: a record there costs more than the rest of a line.

    Lines are made and leave together, `_HELD_S` after the first of them or `_MOST_HELD` at once: a system call per line
    would be a tenth of a search, and a line that is made alone, between two searches, costs more than one of many.
    Belongs to one event loop; `flush` writes what is held.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[Line] = []

    def write(self, line: Line) -> None:
        """Add a line."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_HELD_S, self.flush)
        self._lines.append(line)
        if len(self._lines) >= _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write the lines held."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        text = b"\n".join([_encode(_fields(line)) for line in lines]) + b"\n"
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The reader of stderr is gone: a request does not fail for want of its log line.
            return


def _fields(line: Line) -> dict[str, Any]:
    """What is not said has no key; names that are none of ours are not repeated."""
    fields: dict[str, Any] = {"time": _timestamp(line.seconds), "level": "info", "event": "request"}
    fields["request_id"] = line.request_id
    if line.trace_id:
        fields["trace_id"] = line.trace_id
    fields["client"] = line.client
    if line.scheme:
        fields["scheme"] = line.scheme
    fields["method"], fields["route"] = line.method, line.route
    for kind, name in (("collection", line.collection), ("cache", line.cache)):
        if name is not None and NAME.match(name):
            fields[kind] = name
    if line.tenant is not None:
        fields["tenant"] = line.tenant
    fields["status"] = line.status
    if line.stream:
        fields["stream"] = line.stream
    fields["duration_ms"], fields["bytes"] = round(line.duration_s * 1e3, 3), line.n_bytes
    return fields


def _timestamp(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03d}+00:00"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    """The text of a second, which many lines share."""
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
