"""The whole application over real sockets, on a thread of the test: over a scripted engine, or a real one.

`python -m tests.api.served` serves answers that never end, for a test of the shutdown.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from typing import Any, cast

from tests.api.stub_engine import StubEngine
from vdb.config import Settings
from vdb.engine.answering.run import Running
from vdb.engine.engine import Engine
from vdb.protocol.answer_answers import DeltaEvent
from vdb.rag.generate.base import Cancelled, Stop
from vdb.types import Caller
from vdb_api import app, server, streaming
from vdb_api.deps import Service
from vdb_api.logs import AccessLog
from vdb_api.middleware import Edge

WAIT_S = 20.0

Emit = Callable[[Any], None]
Script = Callable[[Emit, Stop], Any]
"""Emits events and returns the answer, on a thread of its own."""


class ScriptedEngine(StubEngine):
    """Streams what `script` emits. `stopped` is set once somebody asks for the end of an answer."""

    def __init__(self, script: Script, settings: Settings | None = None) -> None:
        super().__init__(settings=settings)
        self.script = script
        self.stopped = threading.Event()
        self.begun = threading.Event()
        self.requests: list[Any] = []

    def stream(self, name: str, caller: Caller, path: tuple[str, ...], request: Any, emit: Emit | None) -> Running:
        self.requests.append(request)
        future: Future[Any] = Future()
        stop = Stop()
        stop.ends(self.stopped.set)

        def work() -> None:
            self.begun.set()
            try:
                answer = self.script(emit or (lambda _: None), stop)
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(answer)

        threading.Thread(target=work, name="scripted-answer", daemon=True).start()
        return Running(future, stop)

    def close(self) -> None:
        """Nothing is open."""


def until_stopped(stop: Stop) -> None:
    """Wait until nobody wants the answer; raises Cancelled then, as a backend does."""
    for _ in range(int(WAIT_S / 0.01)):
        if stop.is_requested:
            raise Cancelled
        threading.Event().wait(0.01)
    raise AssertionError("nobody stopped the answer")


@dataclass
class Served:
    """An application that runs, and what it keeps count of."""

    port: int
    service: Service
    loop: asyncio.AbstractEventLoop
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any, key: str = "write", method: str = "POST") -> HTTPResponse:
        """The head of a response, whose body can be read as it comes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()

    def open(self, path: str, body: Any, key: str = "write") -> socket.socket:
        """A connection on which a request was sent and nothing read."""
        raw = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(raw)}\r\n\r\n"
        connection.sendall(head.encode() + raw)
        return connection

    def call(self, act: Callable[[], Any]) -> Any:
        """Do something on the event loop."""

        async def run() -> Any:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT_S)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the loop has come so far."""
        for _ in range(int(WAIT_S / 0.01)):
            if self.call(is_so):
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not come to that")


class _Lines:
    """A stream that the access log writes to."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def write(self, data: bytes) -> int:
        self._lines += [json.loads(line) for line in data.splitlines()]
        return len(data)

    def flush(self) -> None:
        """All is written."""


@contextmanager
def served(engine: Any) -> Iterator[Served]:
    """Serve an engine on a free loopback port; whoever opened the engine closes it."""
    listener = socket.create_server(("127.0.0.1", 0))
    service = Service(cast(Engine, engine), engine.settings)
    lines: list[dict[str, Any]] = []
    edge: Edge = app.create(service, engine.settings)
    edge._access_log = AccessLog(cast(Any, _Lines(lines)))
    running = server._server(edge, None)
    started: Future[asyncio.AbstractEventLoop] = Future()

    async def run() -> None:
        started.set_result(asyncio.get_running_loop())
        await running.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="served")
    thread.start()
    try:
        yield Served(listener.getsockname()[1], service, started.result(WAIT_S), lines)
    finally:
        service.streams.end_all()
        running.should_exit = True
        thread.join(WAIT_S)
        service.close()


def events_of(raw: bytes) -> list[tuple[str, Any]]:
    """Name and data of each event of a whole stream, read as its specification says; comments are left out."""
    found = []
    for block in raw.decode().split("\n\n")[:-1]:
        name, data = "message", []
        for line in block.split("\n"):
            field_name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field_name == "event":
                name = value
            elif field_name == "data":
                data.append(value)
        if data:
            text = "\n".join(data)
            found.append((name, text if text == "[DONE]" else json.loads(text)))
    return found


def _endless(emit: Emit, stop: Stop) -> Any:
    emit(DeltaEvent(text="Well"))
    until_stopped(stop)


def main() -> None:
    setattr(Engine, "open", lambda _: ScriptedEngine(_endless))  # noqa: B010
    setattr(streaming, "GRACE_S", 0.2)  # noqa: B010
    server.serve(Settings(port=0), lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
