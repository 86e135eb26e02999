"""`vdb.open`: the engine in this process, behind the methods of `vdb.client`.

A call is encoded and its answer decoded as over HTTP, only without a server between, so results and errors are the
same. Validation is the engine's.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from vdb.client import wire
from vdb.client.retry import Attempts, RetryPolicy
from vdb.client.sync import Operations
from vdb.client.wire import Call
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.errors import AnswerPending, Forbidden, InvalidArgument, SequenceTimeout, TransportError, VdbError
from vdb.protocol import columns, strict_json
from vdb.protocol.pointers import from_validation_error
from vdb.protocol.requests import Request
from vdb.types import Role

T = TypeVar("T")


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
                return self._run(sent, tenant)
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

    def _run(self, sent: Call[T], tenant: str | None) -> T:
        request = _request(sent)
        wait_s = min(sent.wait_s, self._engine.settings.limits.max_timeout_s)
        deadline = time.monotonic() + wait_s
        path = self._engine.pin(sent.path) if wait_s else sent.path
        while True:
            try:
                answer = self._answer(sent, path, tenant, request)
                return wire.read_answer(sent, msgspec.json.encode(answer))
            except AnswerPending:
                if not getattr(request, "wait_ms", 0):
                    raise
                if time.monotonic() >= deadline:  # whoever waits for an answer in vain gets a miss, not an error
                    request = structs.replace(request, wait_ms=0)
            except SequenceTimeout:
                if time.monotonic() >= deadline:
                    raise
            self.sleep(_SEQUENCE_POLL_S)

    def _answer(self, sent: Call[Any], path: tuple[str, ...], tenant: str | None, request: Request) -> object:
        if tenant is not None:
            wire.header_value(tenant, "tenant")
        if self._bound_to not in (None, tenant):
            raise Forbidden("this role is bound to another tenant")
        caller = self._engine.local_caller(self._role, tenant)
        vectors = None if sent.vectors is None else sent.vectors.reshape(-1)
        answer = self._engine.run(sent.operation.name, caller, path, request, vectors)
        return answer.result() if isinstance(answer, Future) else answer


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
