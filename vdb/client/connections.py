"""Kept-alive HTTP/1.1 connections of the synchronous client, on the standard library.

Requests are written here in one piece and answers read by `http.client`: half the CPU per call of urllib3, which parses
and copies more than a JSON exchange needs. The only file that knows sockets, and where their exceptions become ours.
"""

import os
import select
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection

from vdb.client.server_url import HttpOptions, ServerUrl
from vdb.errors import TransportError, TransportTimeout

_PIECE_BYTES = 1 << 16

FOREIGN = (OSError, HTTPException, UnicodeError)
"""What `http.client` and the sockets below it raise; UnicodeError is a host name that DNS cannot carry."""


class ConnectionPool:
    """Connections to one server. Safe to share between threads: a connection is used by one at a time. Close it."""

    def __init__(self, server: ServerUrl, options: HttpOptions) -> None:
        self._server, self._options = server, options
        self._host_line = server.origin.split("//")[1]
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._process_id = os.getpid()

    def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None, timeout_s: float
    ) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of the answer. `timeout_s` bounds connecting and each wait for the server."""
        request = self._request(method, target, headers, body)
        deadline = time.monotonic() + timeout_s
        connection = self._connected(timeout_s)
        try:
            answer = connection.exchange(method, request, max(deadline - time.monotonic(), 0.001))
        except FOREIGN as exc:
            connection.close()
            raise translate(exc) from exc
        except BaseException:
            connection.close()
            raise
        self.give_back(connection)
        return answer

    def open(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None, timeout_s: float
    ) -> "tuple[int, str | None, Body]":
        """Status, Retry-After, and the body as it comes. `timeout_s` bounds connecting and each wait for the server."""
        request = self._request(method, target, headers, body)
        connection = self._connected(timeout_s)
        try:
            answer = connection.begin(method, request, timeout_s)
        except FOREIGN as exc:
            connection.close()
            raise translate(exc) from exc
        except BaseException:
            connection.close()
            raise
        return answer.status, answer.headers.get("Retry-After"), Body(self, connection, answer)

    def close(self) -> None:
        """Close idle connections now, and those in use when they come back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {target} HTTP/1.1\r\nHost: {self._host_line}\r\nAccept-Encoding: identity\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if body is None:
            return ("".join(lines) + "\r\n").encode("ascii")
        return f"{''.join(lines)}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body

    def _take(self, timeout_s: float) -> "_Connection":
        if os.getpid() != self._process_id:  # after a fork both processes would read each other's answers
            self._process_id, self._idle = os.getpid(), []
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._server, self._options, min(timeout_s, self._options.connect_timeout_s))
            if connection.is_usable():
                return connection
            connection.close()

    def _connected(self, timeout_s: float) -> "_Connection":
        if self._is_closed:
            raise TransportError("the client is closed")
        try:
            return self._take(timeout_s)
        except FOREIGN as exc:
            raise translate(exc, is_connecting=True) from exc

    def give_back(self, connection: "_Connection") -> None:
        """Keep a connection for the next exchange, if it is still of use."""
        if self._is_closed or connection.is_over or len(self._idle) >= self._options.n_connections:
            connection.close()
        else:
            self._idle.append(connection)


class Body:
    """The body of an answer as it comes. Used by one thread; close it."""

    def __init__(self, pool: ConnectionPool, connection: "_Connection", answer: HTTPResponse) -> None:
        self._pool, self._connection, self._answer = pool, connection, answer
        self._is_closed = False

    def read(self) -> bytes:
        """Some bytes, b"" at the end."""
        try:
            return self._answer.read1(_PIECE_BYTES)
        except FOREIGN as exc:
            raise translate(exc) from exc

    def close(self) -> None:
        """Give the connection back if the body was read to its end; otherwise the server sees it closed."""
        if self._is_closed:
            return
        self._is_closed = True
        is_whole = (
            self._answer.isclosed() or self._answer.length == 0
        )  # the end of one in chunks, and of one of a length
        self._answer.close()
        if is_whole and not self._answer.will_close:
            self._pool.give_back(self._connection)
        else:
            self._connection.close()


class _Connection:
    """One connection, open from the start."""

    def __init__(self, server: ServerUrl, options: HttpOptions, timeout_s: float) -> None:
        if server.scheme == "https":
            context = options.ssl_context
            opening: HTTPConnection = HTTPSConnection(server.host, server.port, timeout=timeout_s, context=context)
        else:
            opening = HTTPConnection(server.host, server.port, timeout=timeout_s)
        opening.connect()
        self._socket: socket.socket = opening.sock
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.is_over = False

    def begin(self, method: str, request: bytes, timeout_s: float) -> HTTPResponse:
        """Send a request and read the head of its answer."""
        self._socket.settimeout(timeout_s)
        self._socket.sendall(request)
        answer = HTTPResponse(self._socket, method=method)
        try:
            answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    def exchange(self, method: str, request: bytes, timeout_s: float) -> tuple[int, str | None, bytes]:
        answer = self.begin(method, request, timeout_s)
        try:
            data = answer.read()
            self.is_over = answer.will_close
            return answer.status, answer.headers.get("Retry-After"), data
        finally:
            answer.close()

    def is_usable(self) -> bool:
        """Whether the server has kept its end open: an idle connection with something to read has been closed."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self._socket.close()


def translate(exc: BaseException, is_connecting: bool = False) -> TransportError:
    """The TransportError that stands for `exc`; one that another attempt may cure says so by `retry_after_s`."""
    text = f"{type(exc).__name__}: {exc}"
    if isinstance(exc, TimeoutError):
        return TransportTimeout(text, retry_after_s=0.0 if is_connecting else None)
    is_final = isinstance(exc, (ssl.SSLError, UnicodeError))
    return TransportError(text, retry_after_s=None if is_final else 0.0)
