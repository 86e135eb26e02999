"""Errors as RFC 9457 problems, or as OpenAI's. The only file that knows HTTP status numbers.

A class without a line of its own takes the status of its nearest base. 422 is not used.
"""

import logging
import math
import re
from typing import Any, Literal

from vdb import errors
from vdb.protocol.operations import Operation

from .encode import JSON, PROBLEM, Reply, encode

_log = logging.getLogger(__name__)

OK = 200
CREATED = 201
LEFT = 499
"""For the log and the metrics, as nginx has it: the client was gone before its answer."""

Shape = Literal["vdb", "openai"]

_STATUS: dict[type[errors.VdbError], int] = {
    errors.VdbError: 500,
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RateLimited: 429,
    errors.InternalError: 500,
    errors.TransportError: 502,
    errors.Unavailable: 503,
    errors.StorageFailure: 503,
    errors.DiskFull: 507,
}

_TITLES: dict[int, str] = {
    400: "Bad request",
    401: "Authentication needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many requests",
    500: "Internal error",
    502: "Transport failed",
    503: "Try again later",
    507: "Storage is full",
}

_OPENAI_TYPES: dict[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_INDEX = re.compile(r"/(\d+)(?=/|\Z)")

_CHALLENGES = (401,)
_RETRIED = (429, 503)
_DEFAULT_RETRY_S = 1.0
_LONGEST_RETRY_S = 86_400.0

_COMMON = (400, 401, 403, 404, 413, 415, 429, 500, 503, 507)


def status_of(error: errors.VdbError | type[errors.VdbError]) -> int:
    """The HTTP status of an error or of its class."""
    cls = error if isinstance(error, type) else type(error)
    return next(_STATUS[base] for base in cls.__mro__ if base in _STATUS)


def is_refusal(status: int) -> bool:
    """Whether the status says: too many, come again."""
    return status in _RETRIED


def success_of(operation: Operation) -> int:
    """The HTTP status of an operation that worked."""
    return CREATED if operation.created else OK


def is_fault(status: int) -> bool:
    """Whether a status says that the server failed, not the request."""
    return status >= 500


def declared_statuses() -> dict[int, str]:
    """Every status an operation's error may have, and its title; for the OpenAPI document."""
    return {status: _TITLES[status] for status in (*_COMMON, 405, 409)}


def problem(
    error: errors.VdbError, request_id: str, headers: tuple[tuple[bytes, bytes], ...] = (), shape: Shape = "vdb"
) -> Reply:
    """The response of an error."""
    status = status_of(error)
    headers += _own_headers(status, error.retry_after_s)
    if shape == "openai":
        return Reply(status, JSON, encode({"error": _openai_body(error, status)}), headers)
    body: dict[str, Any] = {
        "type": f"urn:vdb:error:{error.code}",
        "title": _TITLES[status],
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.problems],
        "request_id": request_id,
    }
    return Reply(status, PROBLEM, encode(body), headers)


def unexpected(exc: BaseException, request_id: str, shape: Shape = "vdb") -> Reply:
    """The response of a bug of ours: the trace goes to the log, nothing of it to the caller."""
    _log.error("request failed", exc_info=exc, extra={"fields": {"request_id": request_id}})
    error = errors.InternalError("internal error; the server's log has it under the request id")
    return problem(error, request_id, shape=shape)


def _openai_body(error: errors.VdbError, status: int) -> dict[str, str | None]:
    """What OpenAI's clients read; `param` is the place of the first problem, as in `messages[0].content`."""
    pointer = error.problems[0].pointer if error.problems else ""
    kind = _OPENAI_TYPES.get(status, "server_error" if is_fault(status) else "invalid_request_error")
    param = _INDEX.sub(r"[\1]", pointer).replace("/", ".").lstrip(".")
    return {"message": error.detail, "type": kind, "param": param or None, "code": error.code}


def _own_headers(status: int, retry_after_s: float | None) -> tuple[tuple[bytes, bytes], ...]:
    if status in _CHALLENGES:
        return ((b"www-authenticate", b"Bearer"),)
    if status in _RETRIED:
        wait_s = _DEFAULT_RETRY_S if retry_after_s is None else min(retry_after_s, _LONGEST_RETRY_S)
        wait_s = max(1, math.ceil(wait_s))  # a debt at a rate next to nothing is no number of seconds
        return ((b"retry-after", str(wait_s).encode()),)
    return ()
