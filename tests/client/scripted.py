"""An HTTP server that answers from a script, one entry per request, and remembers what it was asked."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass(frozen=True)
class Reply:
    """What to answer: a body to encode (bytes go out as they are), or a broken or slow exchange."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    delay_s: float = 0.0
    claimed_bytes: int | None = None


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


class Script:
    """Replies to come and requests that came; the last reply is repeated."""

    def __init__(self, *replies: Reply) -> None:
        self._replies, self._lock = list(replies), threading.Lock()
        self.asked: list[Asked] = []
        self.url = ""
        self.open: list[socket.socket] = []

    def hang_up(self) -> None:
        """Close every connection, as a server does that has waited too long, and let the news arrive."""
        for connection in self.open:
            connection.shutdown(socket.SHUT_RDWR)
        self.open.clear()
        time.sleep(0.05)

    def next(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def problem(status: int, code: str, detail: str = "said so", retry_after: str | None = None, **more: Any) -> Reply:
    """An RFC 9457 answer."""
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return Reply(status, {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}, headers)


@contextmanager
def serving(*replies: Reply) -> Iterator[Script]:
    """Serve a script on a free loopback port."""
    script = Script(*replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            script.open.append(self.connection)

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = script.next(
                Asked(self.command, self.path, dict(self.headers.items()), body, self.client_address[1])
            )
            stopping.wait(reply.delay_s)
            if reply.hangs_up:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            raw = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(reply.claimed_bytes or len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            if reply.claimed_bytes is not None:
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    stopping = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield script
    finally:
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
