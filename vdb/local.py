"""`vdb.open`: the engine in this process, behind the methods of `vdb.client`.

A call is encoded and its answer decoded as over HTTP, only without a server between, so results and errors are the
same. Validation is the engine's.
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from vdb.client import wire
from vdb.client.retry import Attempts, RetryPolicy
from vdb.client.sync import Operations
from vdb.client.wire import Call
from vdb.config import Settings
from vdb.engine.answering.run import Running
from vdb.engine.engine import Engine
from vdb.errors import AnswerPending, Forbidden, InvalidArgument, SequenceTimeout, TransportError, VdbError
from vdb.protocol import columns, strict_json
from vdb.protocol.answer_answers import Event
from vdb.protocol.pointers import from_validation_error
from vdb.protocol.requests import Request
from vdb.types import Caller, Role

T = TypeVar("T")
U = TypeVar("U")


_BINARY: dict[str, type[Request]] = {"upsert": columns.UpsertHead, "search": columns.SearchHead}
_REFUSED_TIMEOUT_S = 30.0
_SEQUENCE_POLL_S = 0.005


class LocalTransport:
    """Carries calls to an engine as one role. Safe to share between threads; whoever opened the engine closes it.

    `bound_to` is the tenant of a read or write role, which can act for no other.
    """

    def __init__(self, engine: Engine, role: Role, *, bound_to: str | None = None, owns_engine: bool = False) -> None:
        self._engine, self._role, self._bound_to, self._owns_engine = engine, role, bound_to, owns_engine
        self._process_id = os.getpid()

    def execute(self, sent: Call[T], tenant: str | None) -> T:
        """Run until answered or beyond retrying, by the same policy as over HTTP.

        Raises TransportError after `close` and in a fork.
        """
        self._check_usable()
        attempts = Attempts(RetryPolicy(), sent.repeat, _REFUSED_TIMEOUT_S + sent.wait_s)
        while True:
            try:
                answer = self._awaited(sent, tenant, self._answer)
                return wire.read_answer(sent, msgspec.json.encode(answer))
            except VdbError as exc:
                self.sleep(attempts.delay_after(exc))

    def open_stream(self, sent: Call[Any], tenant: str | None) -> "LocalEvents":
        """Run until the first event is there or beyond retrying, by the same policy as over HTTP."""
        self._check_usable()
        attempts = Attempts(RetryPolicy(), sent.repeat, _REFUSED_TIMEOUT_S + sent.wait_s)
        while True:
            try:
                return self._awaited(sent, tenant, self._begun)
            except VdbError as exc:
                self.sleep(attempts.delay_after(exc))

    def close(self) -> None:
        if self._owns_engine and os.getpid() == self._process_id:
            self._engine.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _check_usable(self) -> None:
        """The threads and locks of an engine do not survive a fork, and its files are another's once it is closed."""
        if self._engine.is_closed:
            raise TransportError("the database is closed")
        if os.getpid() != self._process_id:
            raise TransportError("the database was opened before a fork: use it in the process that opened it")

    def _awaited(
        self, sent: Call[Any], tenant: str | None, run: Callable[[Call[Any], tuple[str, ...], Caller, Request], U]
    ) -> U:
        """What `run` gives, as soon as what the request waits for is there."""
        request = _request(sent)
        patience_s = min(sent.patience_s, self._engine.settings.limits.max_timeout_s)
        deadline = time.monotonic() + patience_s
        path = self._engine.pin(sent.path) if patience_s else sent.path
        while True:
            try:
                return run(sent, path, self._caller(tenant), request)
            except AnswerPending:
                if not getattr(request, "wait_ms", 0):
                    raise
                if time.monotonic() >= deadline:  # whoever waits for an answer in vain gets a miss, not an error
                    request = structs.replace(request, wait_ms=0)
            except SequenceTimeout:
                if time.monotonic() >= deadline:
                    raise
            self.sleep(_SEQUENCE_POLL_S)

    def _caller(self, tenant: str | None) -> Caller:
        if tenant is not None:
            wire.header_value(tenant, "tenant")
        if self._bound_to not in (None, tenant):
            raise Forbidden("this role is bound to another tenant")
        return self._engine.local_caller(self._role, tenant)

    def _answer(self, sent: Call[Any], path: tuple[str, ...], caller: Caller, request: Request) -> object:
        vectors = None if sent.vectors is None else sent.vectors.reshape(-1)
        answer = self._engine.run(sent.operation.name, caller, path, request, vectors)
        return answer.result() if isinstance(answer, Future) else answer

    def _begun(self, sent: Call[Any], path: tuple[str, ...], caller: Caller, request: Request) -> "LocalEvents":
        events = LocalEvents()
        events.begin(self._engine.stream(sent.operation.name, caller, path, request, events.put))
        events.read_first()
        return events


class LocalEvents:
    """The events of one answer of an engine in this process. Used by one thread, but for `put`; close it."""

    def __init__(self) -> None:
        self._ready: SimpleQueue[Event | None] = SimpleQueue()
        self._first: list[Event | None] = []
        self._running: Running | None = None

    def put(self, event: Event) -> None:
        """Take an event; from any thread."""
        self._ready.put(event)

    def begin(self, running: Running) -> None:
        """The answer is under way."""
        self._running = running
        running.future.add_done_callback(lambda _: self._ready.put(None))

    def read_first(self) -> None:
        """Wait for the first event; raises the error that comes instead."""
        try:
            self._first = [self._next()]
        except BaseException:
            self.close()
            raise

    def read(self) -> Event | None:
        return self._first.pop() if self._first else self._next()

    def close(self) -> None:
        if self._running is not None and not self._running.future.done():
            self._running.stop.request()

    def _next(self) -> Event | None:
        event = self._ready.get()
        if event is None and self._running is not None:
            self._running.future.result()
        return event


class Database(Operations):
    """A data directory opened in this process, as an admin. Safe to share between threads; close it, or use `with`."""

    def __init__(self, engine: Engine, tenant: str | None) -> None:
        super().__init__(LocalTransport(engine, Role.ADMIN, owns_engine=True), tenant)
        self._engine = engine

    def __repr__(self) -> str:
        return f"Database({str(self._engine.settings.data_dir)!r}, tenant={self._tenant!r})"

    def as_tenant(self, tenant: str, role: str = "write") -> Operations:
        """The same database as a key of `tenant` with `role` sees it; closing it closes nothing."""
        try:
            bound = Role(role)
        except ValueError as exc:
            raise InvalidArgument.at("/role", f"must be one of {', '.join(Role)}") from exc
        is_bound = bound in (Role.READ, Role.WRITE)
        return Operations(LocalTransport(self._engine, bound, bound_to=tenant if is_bound else None), tenant)


def open_database(path: str | PathLike[str], tenant: str | None, settings: Mapping[str, object]) -> Database:
    """See `vdb.open`. The environment is not read: settings are those given."""
    if not isinstance(path, (str, PathLike)) or "\0" in os.fspath(path):
        raise InvalidArgument("the path of a database must be a path")
    try:
        chosen = Settings.with_environment({}, data_dir=Path(path), **settings)
    except TypeError as exc:
        raise InvalidArgument(f"unknown setting: {exc}") from exc
    return Database(Engine.open(chosen), tenant)


def _request(sent: Call[Any]) -> Request:
    """The operation's request, decoded from the very bytes a server would get."""
    shape = sent.operation.request if sent.vectors is None else _BINARY[sent.operation.name]
    _judge(sent)
    try:
        return msgspec.json.decode(wire.encode(sent.fields), type=shape)
    except msgspec.ValidationError as exc:
        raise from_validation_error(exc) from exc


def _judge(sent: Call[Any]) -> None:
    """Refuse what typed decoding lets pass: integers beyond 64 bits, nesting too deep. Payloads are the engine's."""
    fields = dict(sent.fields)
    if sent.operation.name == "upsert":
        fields = {"if_version": fields.get("if_version")}
    elif sent.operation.name == "update_payload":
        fields = {"points": [{"if_version": point.get("if_version")} for point in fields["points"]]}
    elif sent.operation.name == "put_documents":
        return
    elif sent.operation.name == "search":
        strict_json.decode(wire.encode(fields.pop("filter", None)), "/filter")
    strict_json.decode(wire.encode(fields))
