"""An engine that answers from a script, and a way to ask the application without sockets.

`python -m tests.api.stub_engine` serves one whose writes take a while, for tests of the shutdown.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

from vdb.config import Settings
from vdb.engine.answering.run import Running
from vdb.engine.engine import Engine
from vdb.errors import CollectionNotFound, Unauthenticated, VdbError
from vdb.protocol import answers
from vdb.protocol.operations import Operation
from vdb.protocol.requests import Request
from vdb.rag.generate.base import Stop
from vdb.types import Caller, Role
from vdb_api import app, server
from vdb_api.deps import Service
from vdb_api.traces import Traces

Run = Callable[[str, tuple[str, ...], Request, Any], Any]

SLOW_WRITE_S = 1.0


@dataclass
class Call:
    """What the engine was asked."""

    name: str
    path: tuple[str, ...]
    request: Any
    vectors: Any
    thread: str


class StubMeter:
    """Lets everything in, until `error` is set; notes what was charged and counted."""

    def __init__(self) -> None:
        self.error: VdbError | None = None
        self.n_refused = {"reads": 0}
        self.noted: list[tuple[Any, ...]] = []

    def admit(self, caller: Caller, operation: Operation, n_bytes: int) -> None:
        self.noted.append(("admit", operation.name, n_bytes))
        if self.error is not None:
            raise self.error

    def settle(self, caller: Caller, operation: Operation, request: Request) -> int:
        return 1

    def finish(self, caller: Caller, operation: Operation, *counts: int) -> None:
        self.noted.append(("finish", operation.name, *counts))

    def refuse(self, caller: Caller, operation: Operation) -> None:
        self.noted.append(("refuse", operation.name))


class StubEngine:
    """Answers with `answer(name, path, request, vectors)`; knows the keys `admin` and `write`."""

    def __init__(self, answer: Run | None = None, settings: Settings | None = None, is_quick: bool = True) -> None:
        self.settings = settings or Settings()
        self.first_admin_key: str | None = None
        self.calls: list[Call] = []
        self.tenants: list[str | None] = []
        self.is_ready = True
        self.meter = StubMeter()
        self._answer = answer or _not_found
        self._is_quick = is_quick

    def authenticate(self, token: str | None, tenant: str | None) -> Caller:
        self.tenants.append(tenant)
        if token == "admin":
            return Caller("1", Role.ADMIN, tenant)
        if token == "write":
            return Caller("2", Role.WRITE, "acme", 1)
        raise Unauthenticated("no such key")

    def pin(self, path: tuple[str, ...]) -> tuple[str, ...]:
        return path

    def is_quick(self, *_: Any) -> bool:
        return self._is_quick

    def run(self, name: str, caller: Caller, path: tuple[str, ...], request: Request, vectors: Any = None) -> Any:
        self.calls.append(Call(name, path, request, vectors, threading.current_thread().name))
        return self._answer(name, path, request, vectors)

    def stream(self, name: str, caller: Caller, path: tuple[str, ...], request: Request, emit: Any) -> Running:
        """An answer that is there at once, without events."""
        future: Future[Any] = Future()
        future.set_result(self.run(name, caller, path, request))
        return Running(future, Stop())

    def collection_named(self, name: str) -> str | None:
        return name if name == "notes" else None

    def collection_names(self) -> set[str]:
        return {"notes"}

    def tenant_name(self, tenant_id: int) -> str:
        return f"tenant-{tenant_id}"

    def await_kernels(self, timeout_s: float) -> None:
        assert timeout_s > 0

    def health(self) -> dict[str, object]:
        return {"status": "ready" if self.is_ready else "starting", "kernels": "numpy", "version": "0"}

    def metrics(self) -> list[Any]:
        return [("vdb_points", "gauge", "Points.", [({"collection": 'a"b'}, 3.0)])]

    def answer_stages(self) -> list[tuple[str, list[int], float]]:
        return []

    def close(self) -> None:
        print("closed", file=sys.stderr)


@dataclass
class Asked:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: Any = field(default=None)

    @property
    def code(self) -> str:
        """The error's code; checks that the response is a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        return str(self.json["code"])

    @property
    def pointers(self) -> list[str]:
        return [fault["pointer"] for fault in self.json["errors"]]


def ask(
    engine: StubEngine,
    method: str,
    path: str,
    body: object = b"",
    *,
    key: str | None = "admin",
    query: str = "",
    headers: Iterable[tuple[str, str]] = (),
    chunks: list[bytes] | None = None,
    traces: Traces | None = None,
) -> Asked:
    """Send one request through the whole application."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [(name.lower().encode(), value.encode()) for name, value in headers]
    if key is not None:
        given.append((b"authorization", f"Bearer {key}".encode()))
    if chunks is not None:
        given.append((b"transfer-encoding", b"chunked"))
    elif raw and b"content-length" not in dict(given):
        given.append((b"content-length", str(len(raw)).encode()))
    left = [raw] if chunks is None else list(chunks)

    async def receive() -> Any:
        if not left:  # the client waits for its answer
            await asyncio.Event().wait()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return asyncio.run(_exchange(engine, method, path, query, given, receive, traces))


async def exchange(
    engine: StubEngine, method: str, path: str, headers: Iterable[tuple[str, str]], receive: Callable[[], Any]
) -> Asked:
    """Send a request whose body comes from `receive`, with the key `write`."""
    given = [(name.encode(), value.encode()) for name, value in (*headers, ("authorization", "Bearer write"))]
    return await _exchange(engine, method, path, "", given, receive)


async def _exchange(
    engine: StubEngine,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[bytes, bytes]],
    receive: Callable[[], Any],
    traces: Traces | None = None,
) -> Asked:
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers, "root_path": "", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    service = Service(cast(Engine, engine), engine.settings, traces=traces)
    try:
        await app.create(service, engine.settings)(scope, receive, send)
    finally:
        service.close()
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    decoded = json.loads(body) if "json" in answered.get("content-type", "") else None
    return Asked(sent[0]["status"], answered, body, decoded)


def _not_found(*_: Any) -> Any:
    raise CollectionNotFound("no such collection")


def _slowly(*_: Any) -> Any:
    future: Future[Any] = Future()
    threading.Timer(SLOW_WRITE_S, future.set_result, [answers.Written(sequence=7)]).start()
    return future


def main() -> None:
    engine = StubEngine(_slowly)
    setattr(Engine, "open", lambda _: engine)  # noqa: B010
    server.serve(Settings(port=0), lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
