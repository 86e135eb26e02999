"""Calls as bytes: bodies, query strings, answers, and problem bodies turned back into errors.

Knows HTTP's shapes but no HTTP library. `Call` and `call` live here because everything else builds on them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from time import time
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from vdb import errors
from vdb.client.retry import Repeat
from vdb.errors import BY_CODE, InvalidJson, NestedTooDeep, TransportError, VdbError
from vdb.protocol import columns
from vdb.protocol.operations import BY_NAME, Operation

T = TypeVar("T")

JSON_TYPE = "application/json"
TENANT_HEADER = "Vdb-Tenant"

_MAX_WAIT_S = 1e6  # sockets take no more than a time_t; the server waits far less
_PATH_PART = re.compile(r"[A-Za-z0-9_-]+")
_MODEL = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_SLOT = re.compile(r"\{(\w+)\}")
_NOT_FOUND = {
    "collection": errors.CollectionNotFound,
    "tenant": errors.TenantNotFound,
    "key": errors.KeyNotFound,
    "job": errors.JobNotFound,
    "backup": errors.NotFound,
    "cache": errors.CacheNotFound,
    "category": errors.PolicyNotFound,
    "entry": errors.EntryNotFound,
    "model": errors.ModelNotFound,
}
_BY_STATUS: Mapping[int, type[VdbError]] = {
    HTTPStatus.BAD_REQUEST: errors.InvalidArgument,
    HTTPStatus.UNAUTHORIZED: errors.Unauthenticated,
    HTTPStatus.FORBIDDEN: errors.Forbidden,
    HTTPStatus.NOT_FOUND: errors.NotFound,
    HTTPStatus.CONFLICT: errors.Conflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.TooLarge,
    HTTPStatus.TOO_MANY_REQUESTS: errors.RateLimited,
    HTTPStatus.INTERNAL_SERVER_ERROR: errors.InternalError,
    HTTPStatus.SERVICE_UNAVAILABLE: errors.Unavailable,
    HTTPStatus.INSUFFICIENT_STORAGE: errors.StorageFailure,
}
_PASSING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, not yet sent: the operation, its path parameters and fields, and how to read the answer.

    `answer` is the type the body decodes to, `finish` turns that into what the caller gets. `vectors` makes the body
    binary, with `fields` as its head.
    """

    operation: Operation
    path: tuple[str, ...]
    fields: dict[str, Any]
    answer: Any
    finish: Callable[[Any], T]
    vectors: NDArray[np.float32] | None = None
    repeat: Repeat = Repeat.ALWAYS
    work_s: float = 0.0
    """How long the server may take beyond what calls take."""

    @property
    def wait_s(self) -> float:
        """How long the answer may take: the work, and the wait before it."""
        return _waited(self.work_s, 1.0) + self.patience_s

    @property
    def patience_s(self) -> float:
        """How long the request waits before any work: for `min_sequence`, or for somebody else's answer."""
        wait_s = self.fields.get("timeout_s", 0.0) if self.fields.get("min_sequence") else 0.0
        wait_ms = self.fields.get("wait_ms", 0.0)
        return max(_waited(wait_s, 1.0), _waited(wait_ms, 1e-3))


class _Entry(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _OpenAIError(msgspec.Struct):
    """An error of the operations that have OpenAI's shape."""

    code: str
    message: str = ""


class _ProblemBody(msgspec.Struct):
    """RFC 9457, as far as it is read; or OpenAI's shape, which has an `error` alone."""

    code: str = ""
    detail: str = ""
    errors: list[_Entry] = []
    status: int = 0
    error: _OpenAIError | None = None


def _waited(given: Any, unit_s: float) -> float:
    """A field's seconds; 0 for what the server will refuse."""
    return min(float(given) * unit_s, _MAX_WAIT_S) if isinstance(given, (int, float)) and given > 0.0 else 0.0


def same(answer: Any) -> Any:
    """The `finish` of calls whose answer is handed over as it is."""
    return answer


def call(
    name: str,
    path: tuple[str, ...] = (),
    fields: Mapping[str, Any] | None = None,
    *,
    answer: Any = None,
    finish: Callable[[Any], T] = same,
    vectors: NDArray[np.float32] | None = None,
    repeat: Repeat = Repeat.ALWAYS,
    work_s: float = 0.0,
) -> Call[T]:
    """The call of operation `name`; fields that are UNSET are left out. Raises NotFound for an impossible path.

    A name or id that no path can carry names nothing that exists, and must not reach another route ("..").
    """
    operation = BY_NAME[name]
    for kind, part in zip(_slots(operation.path), path, strict=True):
        form = _MODEL if kind == "model" else _PATH_PART
        if not isinstance(part, str) or not form.fullmatch(part):
            raise _NOT_FOUND[kind](f"{kind} not found")
    kept = {key: value for key, value in (fields or {}).items() if value is not UNSET}
    return Call(operation, path, kept, answer or operation.answer, finish, vectors, repeat, work_s)


def target(sent: Call[Any]) -> str:
    """Path and query string."""
    path = _SLOT.sub("%s", sent.operation.path) % sent.path if sent.path else sent.operation.path
    if sent.operation.method != "GET" or not sent.fields:
        return path
    return f"{path}?{urlencode({key: value for key, value in sent.fields.items() if value is not None})}"


def body(sent: Call[Any]) -> tuple[bytes | None, str]:
    """The body (None where the route has none) and its media type."""
    if sent.vectors is not None:
        return columns.join_frame(msgspec.Raw(encode(sent.fields)), sent.vectors), columns.MEDIA_TYPE
    if sent.operation.method in ("GET", "DELETE"):
        return None, JSON_TYPE
    return encode(sent.fields), JSON_TYPE


def encode(value: object, pointer: str = "") -> bytes:
    """`value` as JSON, numpy scalars and arrays included; InvalidJson at `pointer` for what JSON cannot say."""
    try:
        raw = _ENCODER.encode(value)
        # The encoder writes null for NaN, which would lose data without a word.
        is_lossy = b"null" in raw and _holds_nan(value)
    except RecursionError as exc:
        raise NestedTooDeep.at(pointer, "nested too deep") from exc
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as exc:
        raise InvalidJson.at(pointer, f"cannot be written as JSON: {type(exc).__name__}") from exc
    if is_lossy:
        raise InvalidJson.at(pointer, "NaN and infinity are not JSON")
    return raw


def read_answer(sent: Call[T], data: bytes) -> T:
    """What the caller gets from a successful answer's body; TransportError where it is not such an answer."""
    try:
        return sent.finish(_decoder(sent.answer).decode(data))
    except (msgspec.MsgspecError, ValueError) as exc:
        raise TransportError(f"the answer to {sent.operation.name} is not what vdb answers") from exc


def is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def read_error(status: int, retry_after: str | None, data: bytes) -> VdbError:
    """The error an answer stands for, by its `code`; by its status where the code is of a later release."""
    wait_s = _seconds(retry_after)
    problem = _problem_in(data)
    if problem is None:
        again_s = (wait_s or 0.0) if status in _PASSING else None
        return TransportError(f"status {status} without a problem body", retry_after_s=again_s)
    cls = BY_CODE.get(problem.code) or _BY_STATUS.get(status, VdbError)
    problems = tuple(errors.Problem(entry.pointer, entry.detail) for entry in problem.errors)
    return cls(problem.detail, problems=problems, retry_after_s=wait_s)


def read_error_event(data: bytes) -> VdbError:
    """The error that ended a stream."""
    problem = _problem_in(data)
    return read_error(0 if problem is None else problem.status, None, data)


def _problem_in(data: bytes) -> _ProblemBody | None:
    try:
        found: _ProblemBody = _decoder(_ProblemBody).decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None
    if found.error is not None:
        return _ProblemBody(found.error.code, found.error.message)
    return found if found.code else None


@cache
def _slots(path: str) -> tuple[str, ...]:
    return tuple(_SLOT.findall(path))


@cache
def _decoder(answer: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(answer)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def _holds_nan(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_holds_nan, value.values()))
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not bool(np.isfinite(value).all())
    return isinstance(value, (list, tuple, set, frozenset)) and any(map(_holds_nan, value))


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, which is a number of seconds or an HTTP date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def header_value(text: str, what: str) -> str:
    """`text` if a header can carry it; InvalidArgument, without the text, if not."""
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise errors.InvalidArgument(f"{what} must be printable ASCII")
    return text
