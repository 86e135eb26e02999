"""What a route needs: `Service` takes an exchange from its headers to its reply.

Order: headers, key, rate limit, query string, media type, body, decode, engine, encode. Work that is long for the event
loop (large bodies, searches the engine does not call quick) runs in a bounded pool of threads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from time import monotonic, perf_counter
from typing import Any, TypeVar

from msgspec import structs

from vdb.config import Settings
from vdb.engine.audit import AuditLog
from vdb.engine.engine import Engine
from vdb.engine.fair import NO_TENANT, Room
from vdb.engine.fair_pool import FairPool
from vdb.errors import (
    AnswerPending,
    Forbidden,
    InternalError,
    QueueFull,
    RateLimited,
    SequenceTimeout,
    ShuttingDown,
    VdbError,
)
from vdb.protocol.operations import Operation
from vdb.protocol.requests import Request
from vdb.types import Caller, Role

from .audit import Audit
from .decode import Vectors, decode_body, decode_query
from .delivery import Delivery
from .encode import JSON, TEXT, Reply, encode, encode_in_pieces
from .errors import LEFT, OK, problem, success_of, unexpected
from .exchange import LARGE_BODY_BYTES, Exchange
from .forwarded import Origin
from .metrics import RequestMetrics, exposition
from .streaming import ClientLeft, EventStream, Streams, Underway
from .traces import Traces

T = TypeVar("T")
Answered = bytes | EventStream

_POLL_S = 0.005
_LONGEST_POLL_S = 0.1
_TENANT_POLLED_TOGETHER = 32
_POLLED_TOGETHER = 256
"""Requests that wait for a sequence, of a tenant and in all, that are looked at so often; more are looked at less."""

_TRUSTED_S = 1.0
_BINARY_OPERATIONS = ("search", "upsert")


class Service:
    """The engine behind HTTP. Lives on one event loop; `close` it after the last request and before the engine."""

    def __init__(
        self, engine: Engine, settings: Settings, audit_log: AuditLog | None = None, traces: Traces | None = None
    ) -> None:
        """`audit_log`, if it is given, is closed with the service."""
        self.engine = engine
        self.origin = Origin(settings.trusted_proxies)
        self.audit = Audit(audit_log, self.origin) if audit_log is not None else None
        self.traces = traces
        self._limits = settings.limits
        self._pool = FairPool(settings.n_readers, settings.limits.max_queued_requests, "vdb-reader")
        self.streams = Streams()
        self.metrics = RequestMetrics(engine, self.streams, lambda: self._pool.n_waiting)
        self._delivery = Delivery()
        self._large_bytes = Room(settings.limits.max_queued_bytes)
        self._awaiting = Room(settings.limits.max_queued_requests)

    def close(self) -> None:
        """Wait for the pool's work and end its threads."""
        self._pool.shutdown()
        if self.audit is not None:
            self.audit.close()

    async def respond(self, exchange: Exchange, operation: Operation, path: tuple[str, ...]) -> Reply | EventStream:
        """Answer an operation; every error becomes a reply. Events are for those that stream only."""
        exchange.operation = operation.name
        exchange.route = operation.path
        error: VdbError | None = None
        request_id, shape = exchange.request_id, operation.shape
        try:
            answer = await self._answer(exchange, operation, path)
            if isinstance(answer, EventStream):
                answer.at_end.append(partial(self._finish, exchange, operation))
                return answer
            reply = Reply(success_of(operation), JSON, answer)
        except (RateLimited, QueueFull) as exc:
            self.metrics.n_queue_full += isinstance(exc, QueueFull)
            self._refuse(exchange, operation)
            error, reply = exc, problem(exc, request_id, shape=shape)
        except VdbError as exc:
            exchange.n_units = 0
            error, reply = exc, problem(exc, request_id, shape=shape)
            self._finish(exchange, operation, len(reply.body))
        except ClientLeft:
            reply = Reply(LEFT, JSON, b"")
            self._finish(exchange, operation, 0)
        except asyncio.CancelledError:
            # Only a shutdown that has run out of time cancels a request; the task ends with this reply.
            error = ShuttingDown("the server is shutting down")
            reply = problem(error, request_id, shape=shape)
        except Exception as exc:
            error, reply = InternalError(), unexpected(exc, request_id, shape)
        else:
            self._finish(exchange, operation, len(reply.body))
        if self.audit is not None:
            await self.audit.note(exchange, operation, path, error, reply.body)
        return reply

    def authenticate(self, exchange: Exchange) -> Caller:
        """Who asks, by key and tenant header."""
        exchange.check_headers()
        tenant = exchange.named_tenant()
        caller = self.engine.authenticate(exchange.token(), tenant)
        exchange.tenant = caller.tenant
        exchange.caller = caller
        return caller

    def scrape(self, exchange: Exchange) -> Reply:
        """The metrics, for an admin key."""
        if self.authenticate(exchange).role is not Role.ADMIN:
            raise Forbidden("metrics need an admin key")
        return self.scrape_freely()

    def scrape_freely(self) -> Reply:
        """The metrics, for a caller who is trusted already."""
        n_lost = self.audit.n_lost if self.audit is not None else 0
        return Reply(OK, TEXT, exposition(self.metrics, self.engine, n_lost))

    def _refuse(self, exchange: Exchange, operation: Operation) -> None:
        if exchange.caller is not None:
            self.engine.meter.refuse(exchange.caller, operation)

    def _finish(self, exchange: Exchange, operation: Operation, n_bytes_out: int) -> None:
        """Count an answered request, and charge the bytes that its head did not announce."""
        if exchange.caller is None:
            return
        n_uncharged = max(0, exchange.n_body_bytes - exchange.n_charged_bytes) + n_bytes_out
        self.engine.meter.finish(
            exchange.caller, operation, exchange.n_units, exchange.n_body_bytes, n_bytes_out, n_uncharged
        )

    async def _answer(self, exchange: Exchange, operation: Operation, path: tuple[str, ...]) -> Answered:
        caller = self.authenticate(exchange)
        n_bytes = exchange.announced_bytes(self._limits.max_body_bytes)
        exchange.n_charged_bytes = min(n_bytes, exchange.declared_bytes)
        self.engine.meter.admit(caller, operation, exchange.n_charged_bytes)
        if n_bytes <= LARGE_BODY_BYTES:
            return await self._answer_caller(exchange, operation, path, caller)
        tenant = caller.tenant_id or NO_TENANT
        if self._large_bytes.n_taken and not self._large_bytes.has_place(tenant, n_bytes):
            raise QueueFull("too many large requests are being answered")
        self._large_bytes.enter(tenant, n_bytes)
        answer: Answered = b""
        try:
            answer = await self._answer_caller(exchange, operation, path, caller)
        finally:
            if not isinstance(answer, EventStream):
                self._large_bytes.leave(tenant, n_bytes)
        if isinstance(answer, EventStream):
            answer.at_end.append(lambda _: self._large_bytes.leave(tenant, n_bytes))
        return answer

    async def _answer_caller(
        self, exchange: Exchange, operation: Operation, path: tuple[str, ...], caller: Caller
    ) -> Answered:
        query = exchange.scope["query_string"]
        listed = decode_query(operation, query) if query or operation.method == "GET" else None
        body = await exchange.body(self._limits.max_body_bytes)
        if perf_counter() - exchange.started > _TRUSTED_S:
            caller = self.authenticate(exchange)  # the key may have gone while the body came in
        is_binary = exchange.is_binary(operation.name in _BINARY_OPERATIONS) if body else False
        if listed is not None and not body:
            request, vectors, is_small = listed, None, True
        elif len(body) <= LARGE_BODY_BYTES:
            (request, vectors), is_small = decode_body(operation, body, is_binary), True
        else:
            request, vectors = await self._in_thread(caller, decode_body, operation, body, is_binary)
            is_small = False
        exchange.n_units = self.engine.meter.settle(caller, operation, request)
        if getattr(request, "min_sequence", 0):  # it may wait, while names change
            path = self.engine.pin(path)
        exchange.asked = request
        if operation.streams:
            exchange.collection = collection_in(request)
        try:
            return await self._run(exchange, operation, caller, path, request, vectors, is_small)
        except SequenceTimeout:
            return await self._run_later(exchange, operation, path, request, vectors)

    async def _run_later(
        self,
        exchange: Exchange,
        operation: Operation,
        path: tuple[str, ...],
        request: Request,
        vectors: Vectors | None,
    ) -> Answered:
        """Try again until the collection has reached the sequence; ever more seldom, and only while the key is good.

        How many may wait is bounded, and how often they are looked at: each costs a request's rate once only.
        """
        tenant = NO_TENANT if exchange.caller is None else exchange.caller.tenant_id or NO_TENANT
        if not self._awaiting.has_place(tenant):
            raise QueueFull("too many requests wait for a sequence", retry_after_s=1.0)
        self._awaiting.enter(tenant)
        try:
            return await self._await_sequence(exchange, operation, path, request, vectors, tenant)
        finally:
            self._awaiting.leave(tenant)

    async def _await_sequence(
        self,
        exchange: Exchange,
        operation: Operation,
        path: tuple[str, ...],
        request: Request,
        vectors: Vectors | None,
        tenant: int,
    ) -> Answered:
        ends = monotonic() + min(_patience_s(request), self._limits.max_timeout_s)
        pause_s = _POLL_S
        while True:
            remaining_s = ends - monotonic()
            await asyncio.sleep(max(0.0, min(pause_s, remaining_s)))
            pause_s = min(2 * pause_s, self._longest_poll_s(tenant))
            try:
                return await self._run(exchange, operation, self.authenticate(exchange), path, request, vectors, True)
            except AnswerPending:
                if not getattr(request, "wait_ms", 0):
                    raise
                if remaining_s <= 0.0:  # whoever waits for an answer in vain gets a miss, not an error
                    request = structs.replace(request, wait_ms=0)
            except SequenceTimeout:
                if remaining_s <= 0.0:
                    raise

    def _longest_poll_s(self, tenant: int) -> float:
        """How often a request that waits is looked at: so often that all of them cost the event loop little."""
        of_tenant, of_all = self._awaiting.held_by(tenant) / _TENANT_POLLED_TOGETHER, self._awaiting.n_taken
        return _LONGEST_POLL_S * max(1.0, of_tenant, of_all / _POLLED_TOGETHER)

    async def _run(
        self,
        exchange: Exchange,
        operation: Operation,
        caller: Caller,
        path: tuple[str, ...],
        request: Request,
        vectors: Vectors | None,
        is_small: bool,
    ) -> Answered:
        engine, name = self.engine, operation.name
        if operation.streams:
            return await self._run_underway(exchange, operation, caller, path, request, is_small)
        if is_small and engine.is_quick(name, caller, path, request, vectors):
            answer = engine.run(name, caller, path, request, vectors)
            if not isinstance(answer, Future):
                return encode(answer)
        else:
            answer = await self._in_thread(caller, self._run_in_thread, name, caller, path, request, vectors)
            if isinstance(answer, bytes):
                return answer
        # A write that is queued is made, whatever becomes of the caller.
        began = perf_counter()
        found = await self._delivery.wait(answer)
        if operation.access == "read":  # a search that asked a model: its answer may be large
            return await self._in_thread(caller, encode_in_pieces, found)
        if self.traces is not None:
            self.traces.note("commit", began, perf_counter() - began)
        return encode(found)

    async def _run_underway(
        self,
        exchange: Exchange,
        operation: Operation,
        caller: Caller,
        path: tuple[str, ...],
        request: Request,
        is_small: bool,
    ) -> Answered:
        """An answer that is stopped when its caller leaves; as a stream once there is something to send."""
        underway = Underway(exchange, operation.shape, self.streams)
        is_streamed = bool(getattr(request, "stream", False))
        emit = underway.put if is_streamed else None
        try:
            begin, name = self.engine.stream, operation.name
            if is_small and self.engine.is_quick(name, caller, path, request):
                underway.begin(begin(name, caller, path, request, emit))
            else:
                underway.begin(await self._in_thread(caller, begin, name, caller, path, request, emit))
            if is_streamed:
                await underway.first_event()
                return EventStream(underway, self.streams)
            answer = encode(await underway.result())
        except BaseException:
            underway.close()
            raise
        underway.close()
        return answer

    def _run_in_thread(
        self, name: str, caller: Caller, path: tuple[str, ...], request: Request, vectors: Vectors | None
    ) -> bytes | Future[Any]:
        answer = self.engine.run(name, caller, path, request, vectors)
        return answer if isinstance(answer, Future) else encode_in_pieces(answer)

    async def _in_thread(self, caller: Caller, work: Callable[..., T], *arguments: Any) -> T:
        if self.traces is not None:  # its stages belong to the request's span
            work = partial(copy_context().run, work)
        return await asyncio.wrap_future(self._pool.submit(caller.tenant_id or NO_TENANT, work, *arguments))


def collection_in(request: Request) -> str | None:
    """The collection that a request's body names."""
    name = getattr(request, "collection", None) or getattr(request, "model", None)
    return name.partition("/")[0] if isinstance(name, str) else None


def _patience_s(request: Request) -> float:
    """How long a request waits for a sequence; a chat says it among our options."""
    patience_s: float = getattr(getattr(request, "rag", None) or request, "timeout_s", 0.0)
    return patience_s
