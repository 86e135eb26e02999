"""The outermost ASGI application: request ids, timing, metrics, access log, and the short way of the hot routes.

Search, upsert and a cache's lookup are recognised by splitting the path and answered here, and so are the operations
whose answers may come as events; all else goes on to FastAPI.
No exception leaves this file: what nobody caught is an `internal_error`.
"""

from time import perf_counter, time
from typing import Any

from vdb.protocol.operations import BY_NAME, Operation

from .deps import Service
from .encode import Reply
from .errors import unexpected
from .exchange import KEY, Exchange, Message, Receive, Scope, Send, send_reply
from .logs import AccessLog, Line
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
        scope, origin = exchange.scope, self._origin
        self._access_log.write(
            Line(
                time(), exchange.request_id, exchange.trace_id, origin.client_of(scope),
                origin.scheme_of(scope) if origin.is_behind_proxy else "", scope["method"], exchange.route,
                exchange.collection, exchange.cache, exchange.tenant, status, exchange.outcome, duration_s, n_bytes,
            )
        )  # fmt: skip


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
