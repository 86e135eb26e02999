"""One HTTP exchange: the request's headers of interest, its body under the cap, and what the log will say of it.

Headers that say who asks may stand once only. A body is refused by its `Content-Length` before a byte of it is read, a
chunked one as soon as it grows over the cap; the server below discards the rest, so the connection stays usable.
"""

import itertools
import os
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter
from typing import Any

from vdb.errors import BodyTooLarge, InvalidArgument, UnsupportedMediaType
from vdb.protocol.columns import MEDIA_TYPE
from vdb.protocol.requests import Request
from vdb.types import Caller

from .encode import Reply
from .transport import CONNECTION, Connection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEY = "vdb.exchange"
"""Where the exchange stands in the ASGI scope."""

LARGE_BODY_BYTES = 256 * 1024
"""Bodies beyond it are decoded off the event loop, and their memory is counted while they are answered."""

_JSON = b"application/json"
_BINARY = MEDIA_TYPE.encode()
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_PROCESS = os.urandom(6).hex()
_count = itertools.count(1)
_ONCE = (b"authorization", b"vdb-tenant", b"content-type", b"content-encoding")


class Exchange:
    """A request and the notes taken while it is answered. Belongs to one task of the event loop."""

    __slots__ = (
        "asked", "cache", "caller", "collection", "headers", "n_body_bytes", "n_charged_bytes", "n_units", "operation",
        "outcome", "receive", "request_id", "route", "scope", "span", "started", "tenant", "trace_id",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.started = perf_counter()
        self.scope = scope
        self.receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = self._request_id()
        self.operation = ""
        self.route = ""
        self.outcome = ""
        self.collection: str | None = None
        self.cache: str | None = None
        self.tenant: str | None = None
        self.caller: Caller | None = None
        self.n_units = 0
        self.n_body_bytes = 0
        self.n_charged_bytes = 0
        self.asked: Request | None = None
        self.span: Any = None
        self.trace_id = ""

    def token(self) -> str | None:
        """The bearer token, if one was given."""
        value = self.headers.get(b"authorization")
        if value is None or value[:7].lower() != b"bearer ":
            return None
        return value[7:].strip().decode("latin-1")

    def named_tenant(self) -> str | None:
        """The tenant that a service or admin key acts for."""
        value = self.headers.get(b"vdb-tenant")
        return None if value is None else value.decode("latin-1")

    def check_headers(self) -> None:
        """Refuse a doubtful request: who asks or what the body is said twice, or an upgrade after a body."""
        if b"upgrade" in self.headers.get(b"connection", b"").lower() and self.announced_bytes(1):
            raise InvalidArgument("a request with a body cannot ask for an upgrade: speak HTTP/1.1 (curl --http1.1)")
        listed = self.scope["headers"]
        if len(self.headers) == len(listed):
            return
        names = [name for name, _ in listed]
        for name in _ONCE:
            if names.count(name) > 1:
                raise InvalidArgument(f"header {name.decode()} is given more than once")

    def is_binary(self, accepts_binary: bool) -> bool:
        """Whether the body is binary rather than JSON; raises UnsupportedMediaType for any other."""
        value = self.headers.get(b"content-type", _JSON)
        if value == _JSON:
            return False
        media_type = value.partition(b";")[0].strip().lower()
        if media_type == _BINARY and accepts_binary:
            return True
        if media_type != _JSON:
            known = f"application/json or {MEDIA_TYPE}" if accepts_binary else "application/json"
            raise UnsupportedMediaType(f"the body must be {known}")
        return False

    def announced_bytes(self, max_bytes: int) -> int:
        """How large the body may become: its declared length, the cap where it comes in chunks."""
        declared = self.headers.get(b"content-length")
        if declared is None:
            return max_bytes if b"transfer-encoding" in self.headers else 0
        return min(int(declared), max_bytes)

    @property
    def declared_bytes(self) -> int:
        """The length of the body as its head says; 0 where it comes in chunks."""
        declared = self.headers.get(b"content-length")
        return 0 if declared is None else int(declared)

    async def body(self, max_bytes: int) -> bytes:
        """The whole body; raises BodyTooLarge, UnsupportedMediaType, InvalidArgument when the caller goes away.

        `n_body_bytes` counts what came in, whatever becomes of it.
        """
        headers = self.headers
        declared = headers.get(b"content-length")
        if declared is None and b"transfer-encoding" not in headers:
            return b""
        if declared is not None and int(declared) > max_bytes:
            raise _too_large(max_bytes)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType("the body must not be compressed")
        message = await self.receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            return self._capped(message.get("body", b""), max_bytes)
        return await self._rest(message, max_bytes)

    async def _rest(self, message: Message, max_bytes: int) -> bytes:
        parts: list[bytes] = []
        while True:
            if message["type"] != "http.request":
                raise InvalidArgument("the connection closed before the body was complete")
            parts.append(message.get("body", b""))
            self.n_body_bytes += len(parts[-1])
            if self.n_body_bytes > max_bytes:
                raise _too_large(max_bytes)
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await self.receive()

    def _capped(self, body: bytes, max_bytes: int) -> bytes:
        self.n_body_bytes = len(body)
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body

    def _request_id(self) -> str:
        given = self.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.match(given):
            return given.decode()
        return f"{_PROCESS}-{next(_count):x}"


async def send_reply(scope: Scope, send: Send, reply: Reply, more_headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a reply whole: past ASGI where the server lets us, else one message for its head and one for its body."""
    headers = [
        (b"content-type", reply.media_type),
        (b"content-length", b"%d" % len(reply.body)),
        *more_headers,
        *reply.headers,
    ]
    connection: Connection | None = scope.get(CONNECTION)
    if connection is not None and connection.answer(reply.status, headers, reply.body):
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {max_bytes} bytes")
