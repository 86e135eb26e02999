"""The outermost ASGI application: request ids, timing, metrics, access log, and the short way of the hot routes.

Search, upsert and a cache's lookup are recognised by splitting the path and answered here, and so are the operations
whose answers may come as events; all else goes on to FastAPI.
No exception leaves this file: what nobody caught is an `internal_error`.
"""

from time import perf_counter
from typing import Any

from vdb.protocol.operations import BY_NAME, Operation
from vdb.types import NAME

from .deps import Service
from .encode import Reply
from .errors import unexpected
from .exchange import KEY, Exchange, Message, Receive, Scope, Send, send_reply
from .logs import AccessLog, first_fields
from .routers.operations import shape_of

_SEARCH = BY_NAME["search"]
_UPSERT = BY_NAME["upsert"]
_LOOKUP = BY_NAME["cache_lookup"]
_STREAMING = {operation.path: operation for operation in BY_NAME.values() if operation.streams}
_UNKNOWN = "unknown"


class Edge:
    """Wraps the FastAPI application `inner`; `access_log` None writes no lines. Runs on the event loop."""

    def __init__(self, inner: Any, service: Service, access_log: AccessLog | None) -> None:
        self._inner = inner
        self._service = service
        self._metrics = service.metrics
        self._traces = service.traces
        self._origin = service.origin
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_websocket(receive, send)
            return
        exchange = Exchange(scope, receive)
        if self._traces is not None:
            self._traces.begin(exchange)
        self._metrics.n_in_flight += 1
        status, n_bytes = 0, 0
        try:
            status, n_bytes = await self._answer(exchange, send)
        finally:
            self._metrics.n_in_flight -= 1
            self._note(exchange, status, n_bytes)
            if self._traces is not None:
                self._traces.end(exchange, status)

    def close(self) -> None:
        """Write what the access log still holds."""
        if self._access_log is not None:
            self._access_log.flush()

    async def _answer(self, exchange: Exchange, send: Send) -> tuple[int, int]:
        scope = exchange.scope
        if scope["method"] == "POST":
            streaming = _STREAMING.get(scope["path"])
            if streaming is not None:
                return await self._answer_streaming(exchange, streaming, send)
            parts = scope["path"].split("/")
            if len(parts) == 5 and parts[3] and parts[1] == "v1":
                operation = _hot_operation(parts[2], parts[4])
                if operation is not None:
                    if operation is _LOOKUP:
                        exchange.cache = parts[3]
                    else:
                        exchange.collection = parts[3]
                    reply = await self._service.respond(exchange, operation, (parts[3],))
                    assert isinstance(reply, Reply), "these do not stream"
                    await send_reply(exchange.scope, send, reply, _own_headers(exchange))
                    return reply.status, len(reply.body)
        return await self._pass_on(exchange, send)

    async def _answer_streaming(self, exchange: Exchange, operation: Operation, send: Send) -> tuple[int, int]:
        reply = await self._service.respond(exchange, operation, ())
        if isinstance(reply, Reply):
            await send_reply(exchange.scope, send, reply, _own_headers(exchange))
            return reply.status, len(reply.body)
        sent = _Sent(exchange, send)
        await reply.send_to(sent)
        return sent.status, sent.n_bytes

    async def _pass_on(self, exchange: Exchange, send: Send) -> tuple[int, int]:
        sent = _Sent(exchange, send)
        exchange.scope[KEY] = exchange
        try:
            await self._inner(exchange.scope, exchange.receive, sent)
        except Exception as exc:
            reply = unexpected(exc, exchange.request_id, shape_of(exchange.scope["path"]))
            if sent.status:
                raise
            await send_reply(exchange.scope, send, reply, _own_headers(exchange))
            return reply.status, len(reply.body)
        return sent.status, sent.n_bytes

    def _note(self, exchange: Exchange, status: int, n_bytes: int) -> None:
        duration_s = perf_counter() - exchange.started
        self._metrics.observe(exchange.operation or _UNKNOWN, status, duration_s)
        if exchange.caller is not None:
            self._metrics.observe_names(exchange.collection, exchange.caller.tenant_id, status, duration_s)
        if self._access_log is None:
            return
        fields = first_fields("info", "request")
        fields["request_id"] = exchange.request_id
        if exchange.trace_id:
            fields["trace_id"] = exchange.trace_id
        fields["client"] = self._origin.client_of(exchange.scope)
        if self._origin.is_behind_proxy:
            fields["scheme"] = self._origin.scheme_of(exchange.scope)
        fields["method"] = exchange.scope["method"]
        fields["route"] = exchange.route
        for kind, name in (("collection", exchange.collection), ("cache", exchange.cache)):
            if name is not None and NAME.match(name):
                fields[kind] = name
        if exchange.tenant is not None:
            fields["tenant"] = exchange.tenant
        fields["status"] = status
        if exchange.outcome:
            fields["stream"] = exchange.outcome
        fields["duration_ms"] = round(duration_s * 1e3, 3)
        fields["bytes"] = n_bytes
        self._access_log.write(fields)


class _Sent:
    """`send` for FastAPI and for events: adds our headers, and remembers status and size."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self.status = 0
        self.n_bytes = 0
        self._exchange = exchange
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *_own_headers(self._exchange)]
        else:
            self.n_bytes += len(message.get("body", b""))
        await self._send(message)


def _hot_operation(kind: str, last_step: str) -> Operation | None:
    if kind == "collections":
        return _SEARCH if last_step == "search" else _UPSERT if last_step == "points" else None
    return _LOOKUP if kind == "caches" and last_step == "lookup" else None


def _own_headers(exchange: Exchange) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    duration_ms = (perf_counter() - exchange.started) * 1e3
    return (
        (b"x-request-id", exchange.request_id.encode()),
        (b"server-timing", b"total;dur=%.3f" % duration_ms),
    )


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})
