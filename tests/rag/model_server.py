"""A model server whose every answer is scripted, faults of HTTP among them: on 127.0.0.1, one thread per connection."""

import base64
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np

DIMENSION = 4


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Say:
    """One answer. `cut` sends no more than so many bytes of it and breaks off; `wait` is waited for before it."""

    body: Any = None
    status: int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: threading.Event | None = None
    is_last: bool = False
    drip_s: float = 0.0
    """Between single bytes."""
    parts: Sequence[bytes | threading.Event] | None = None
    """In place of a body: sent one by one, an event waited for; in chunks, or until the connection is closed."""
    is_chunked: bool = True
    breaks_off: bool = False
    """After the parts, in place of their end."""


Script = Callable[[Request, int], Say]
"""What is said to the request of a number, from 0 on."""


class ModelServer:
    """What was asked is in `asked`; `n_connections` counts those that were made."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[Request] = []
        self.n_connections = 0
        self.left = threading.Event()
        """A client went away in the middle of parts."""
        self.n_at_once = self.most_at_once = 0
        self._script, self._context = script, context
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://localhost:{self._listener.getsockname()[1]}/v1/asked"

    def stop(self) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join()

    def drop_connections(self) -> None:
        """As a server does with those that have been idle for long."""
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.n_connections += 1
                self._open.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            sock = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with sock, sock.makefile("rb") as reader:
                while self._exchange(sock, reader):
                    continue

    def _exchange(self, sock: socket.socket, reader: Any) -> bool:
        """Whether the connection goes on."""
        first = reader.readline()
        if not first:
            return False
        headers = dict(_header(_whole(line)) for line in iter(reader.readline, b"\r\n"))
        asked = reader.read(int(headers["content-length"]))
        if len(asked) < int(headers["content-length"]):
            raise ConnectionResetError
        request = Request(first.split()[1].decode(), headers, json.loads(asked))
        with self._lock:
            number = len(self.asked)
            self.asked.append(request)
            self.n_at_once += 1
            self.most_at_once = max(self.most_at_once, self.n_at_once)
        say = self._script(request, number)
        if say.wait is not None:
            say.wait.wait(30)
        with self._lock:
            self.n_at_once -= 1
        return self._send(sock, say) if say.parts is None else self._send_parts(sock, say, say.parts)

    def _send(self, sock: socket.socket, say: Say) -> bool:
        body = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
        lines = {"Content-Length": str(len(body)), **({"Connection": "close"} if say.is_last else {}), **say.headers}
        head = [f"HTTP/1.1 {int(say.status)} Said", *(f"{name}: {value}" for name, value in lines.items() if value)]
        data = "\r\n".join([*head, "", ""]).encode() + body
        if say.drip_s:
            for byte in data:
                sock.sendall(bytes((byte,)))
                if self._stopped.wait(say.drip_s):
                    return False
            return False
        sock.sendall(data if say.cut is None else data[: len(data) - len(body) + say.cut] if say.cut >= 0 else b"")
        return say.cut is None and not say.is_last

    def _send_parts(self, sock: socket.socket, say: Say, parts: Sequence[bytes | threading.Event]) -> bool:
        framing = "Transfer-Encoding: chunked" if say.is_chunked else "Connection: close"
        lines = [framing, *(f"{name}: {value}" for name, value in say.headers.items())]
        sock.sendall("\r\n".join([f"HTTP/1.1 {int(say.status)} Said", *lines, "", ""]).encode())
        try:
            for part in parts:
                if isinstance(part, threading.Event):
                    self._wait_beside(sock, part)
                else:
                    sock.sendall(b"%x\r\n%b\r\n" % (len(part), part) if say.is_chunked else part)
            if say.is_chunked and not say.breaks_off:
                sock.sendall(b"0\r\n\r\n")
        except OSError:
            self.left.set()
            raise
        return say.is_chunked and not say.breaks_off

    def _wait_beside(self, sock: socket.socket, event: threading.Event) -> None:
        """Raises ConnectionError where the client goes away meanwhile."""
        there = select.poll()  # `select` refuses descriptors from 1,024 on, which a long run of tests may reach
        there.register(sock, select.POLLIN)
        while not event.wait(0.005):
            if self._stopped.is_set():
                raise ConnectionAbortedError
            if there.poll(0) and not sock.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError


def _whole(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise ConnectionResetError
    return line


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode().partition(":")
    return name.strip().lower(), value.strip()


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[ModelServer]:
    """A server that is stopped at the end."""
    server = ModelServer(script, context)
    try:
        yield server
    finally:
        server.stop()


def vector_of(text: str) -> list[float]:
    """What the scripted model makes of a text: equal texts have equal vectors."""
    return [float(len(text)), float(sum(text.encode()) % 97), 1.0, 0.5]


def embeddings(request: Request, vectors: Sequence[Any] | None = None, **more: Any) -> dict[str, Any]:
    """An answer of OpenAI's shape, the last text first; base64 where that was asked for."""
    rows: Sequence[Any] = vectors if vectors is not None else [vector_of(text) for text in request.body["input"]]
    if request.body["encoding_format"] == "base64":
        rows = [base64.b64encode(np.array(row, "<f4").tobytes()).decode() for row in rows]
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    return {"object": "list", "data": data[::-1], "model": request.body["model"], "usage": {"total_tokens": 3}, **more}
