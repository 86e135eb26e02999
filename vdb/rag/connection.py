"""Connections of `http.client` whose exchanges end by a moment, however slowly the other side sends.

http.client's timeout is for each wait by itself, so that an answer that drips could hold a thread for ever.
"""

import http.client
import io
import math
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from urllib.parse import urlsplit

from vdb.errors import InvalidArgument

__all__ = ["Address", "Answer", "TimedConnection", "address_of", "is_over"]

_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where JSON is posted to; `context` is None for plain HTTP."""

    host: str
    port: int | None
    target: str
    context: ssl.SSLContext | None

    @property
    def head(self) -> bytes:
        """The first lines of a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port is not None and self.port != self._usual_port:
            host = f"{host}:{self.port}"
        return f"POST {self.target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n".encode("ascii")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self._usual_port if self.port is None else self.port

    @property
    def _usual_port(self) -> int:
        return http.client.HTTP_PORT if self.context is None else http.client.HTTPS_PORT


def address_of(url: str, place: str, ca_file: str = "") -> Address:
    """The parts of an http or https URL; raises InvalidArgument, which names the place."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise InvalidArgument(f"{place} is no URL") from exc
    if parts.scheme not in ("http", "https") or not host or not _VISIBLE.fullmatch(url):
        raise InvalidArgument(f"{place} is an http or https URL")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidArgument(f"{place} has no user, password or fragment in it")
    context = None
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as exc:
            raise InvalidArgument(f"{place}: ca_file {ca_file} holds no certificates that can be read") from exc
    return Address(host, port, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", context)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` may be one byte longer than was asked for, then there is more."""

    status: int
    headers: Message
    body: bytes
    is_kept: bool
    """Whether the connection can be used again."""

    @property
    def is_ok(self) -> bool:
        return self.status == HTTPStatus.OK


class TimedConnection:
    """Used by one thread at a time, which closes it; `end`, from any thread, ends what is under way."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._head = address.head
        self._timed: _TimedSocket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._lock = threading.Lock()
        self._dialled: socket.socket | None = None
        self._is_ended = False
        self.is_used = False
        """Whether an exchange was done on it: the other side may have closed it since."""

    def exchange(
        self, body: bytes, headers: dict[str, str], connect_timeout_s: float, timeout_s: float, max_bytes: int
    ) -> Answer:
        """Post, and read up to `max_bytes` and one. Raises OSError (TimeoutError among them), HTTPException."""
        response = self.begin(body, headers, connect_timeout_s, time.monotonic() + timeout_s)
        found = response.read(max_bytes + 1)
        if response.length and len(found) <= max_bytes:
            raise http.client.IncompleteRead(found, response.length)
        return Answer(response.status, response.headers, found, is_over(response))

    def begin(
        self,
        body: bytes,
        headers: dict[str, str],
        connect_timeout_s: float,
        deadline: float,
        idle_s: float = math.inf,
    ) -> http.client.HTTPResponse:
        """Post; the head of the answer is read, its body is not. Raises OSError (TimeoutError among them),
        HTTPException.

        All ends by `deadline`, of the monotonic clock, the body too; no wait for bytes is longer than `idle_s`.
        """
        timed = self._connected(min(connect_timeout_s, deadline - time.monotonic()))
        timed.deadline, timed.idle_s = deadline, idle_s
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        # One piece: a head that goes ahead wakes the server, and the thread that waits for it, once more.
        timed.sendall(b"%s%sContent-Length: %d\r\n\r\n%s" % (self._head, fields.encode("latin-1"), len(body), body))
        response = self._response = http.client.HTTPResponse(timed, method="POST")  # type: ignore[arg-type]
        response.begin()
        self.is_used = True
        return response

    def hurry(self, deadline: float) -> None:
        """Have what is still read end by another moment."""
        if self._timed is not None:
            self._timed.deadline = deadline

    def _connected(self, timeout_s: float) -> "_TimedSocket":
        if self._timed is None:
            self._timed = _TimedSocket(self._dial(time.monotonic() + timeout_s))
        return self._timed

    def _dial(self, deadline: float) -> socket.socket:
        """A socket to the first address of the host that takes the connection."""
        error: OSError = ConnectionError("the host has no address")
        host, port = self._address.place
        for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                self._hold(sock, deadline)
                sock.connect(place)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._greeted(sock, host, deadline)
            except OSError as exc:
                sock.close()
                error = exc
        raise error

    def _greeted(self, sock: socket.socket, host: str, deadline: float) -> socket.socket:
        """The socket, or for https what TLS makes of it."""
        if self._address.context is None:
            self._hold(sock, deadline)
            return sock
        over_tls = self._address.context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        try:
            self._hold(over_tls, deadline)
            over_tls.do_handshake()
            self._hold(over_tls, deadline)
        except BaseException:
            over_tls.close()
            raise
        return over_tls

    def _hold(self, sock: socket.socket, deadline: float) -> None:
        """Have `end` end what is done with the socket next, and the time."""
        left_s = deadline - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the time to connect is over")
        sock.settimeout(left_s)
        with self._lock:
            self._dialled = sock
            if self._is_ended:
                raise ConnectionAbortedError("closed")

    def end(self) -> None:
        """Whoever connects, or reads from it, is woken by an error; nothing more is done with it."""
        with self._lock:
            self._is_ended = True
            sock = self._dialled
        if sock is not None:
            with suppress(OSError):  # it may be closed already
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it; nobody uses it."""
        self.end()
        if self._response is not None:  # it may hold the socket open
            self._response.close()
        if self._timed is not None:
            self._timed.close()


def is_over(response: http.client.HTTPResponse) -> bool:
    """Whether an answer was read to its end, and its connection can be used again."""
    return response.isclosed() and not response.will_close


class _TimedSocket:
    """What http.client needs of a socket; every wait ends by `deadline`, and after `idle_s`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._set_s = sock.gettimeout()
        self.deadline = time.monotonic()
        self.idle_s = math.inf

    def wait_at_most(self) -> None:
        """Have the next call end in time; raises TimeoutError where that is over."""
        left_s = self.deadline - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the time for an answer is over")
        left_s = min(left_s, self.idle_s)
        if left_s != self._set_s:  # setting it is a system call
            self._sock.settimeout(left_s)
            self._set_s = left_s

    def sendall(self, data: bytes) -> None:
        self.wait_at_most()
        try:
            self._sock.sendall(data)
        except ValueError as exc:
            raise _closed() from exc

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._sock.makefile("rb", buffering=0)))

    def close(self) -> None:
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._timed, self._raw = timed, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._timed.wait_at_most()
        try:
            return self._raw.readinto(buffer)
        except ValueError as exc:
            raise _closed() from exc

    def close(self) -> None:
        self._raw.close()
        super().close()


def _closed() -> ConnectionAbortedError:
    """What TLS says ValueError of: another thread has shut the socket meanwhile."""
    return ConnectionAbortedError("closed")
