"""The structured log: one JSON object per line on stderr, for our loggers, the server's below us, and each request.

Keys: `time` (UTC, RFC 3339, milliseconds), `level`, `event`, and what the event has to say. Payload text, vectors and
API keys never get here: records carry ids, names of ours, and numbers only.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode
_OURS = ("vdb", "vdb_api")
_BELOW = ("uvicorn", "uvicorn.error", "asyncio")


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


class AccessLog:
    """Writes one line per request, past the logging module: a record there costs more than the rest of a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, fields: dict[str, Any]) -> None:
        """Write a line; `fields` begins with what `first_fields` returns."""
        try:
            self._stream.write(_encode(fields) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The reader of stderr is gone: a request does not fail for want of its log line.
            return


def first_fields(level: str, event: str) -> dict[str, Any]:
    """The keys every line begins with."""
    return {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
