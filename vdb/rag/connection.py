"""Connections of `http.client` whose exchanges end by a moment, however slowly the other side sends.

http.client's timeout is for each wait by itself, so that an answer that drips could hold a thread for ever.
"""

import http.client
import io
import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from urllib.parse import urlsplit

from vdb.errors import InvalidArgument

__all__ = ["Address", "Answer", "TimedConnection", "address_of"]

_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where JSON is posted to; `context` is None for plain HTTP."""

    host: str
    port: int | None
    target: str
    context: ssl.SSLContext | None

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """One that is not yet connected."""
        if self.context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.context)


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
    """Used by one thread at a time; `close`, from any thread, ends what is under way."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None
        self._timed: _TimedSocket | None = None
        self.is_used = False
        """Whether an exchange was done on it: the other side may have closed it since."""

    def exchange(
        self, body: bytes, headers: dict[str, str], connect_timeout_s: float, timeout_s: float, max_bytes: int
    ) -> Answer:
        """Post, and read up to `max_bytes` and one. Raises OSError (TimeoutError among them), HTTPException."""
        deadline = time.monotonic() + timeout_s
        connection, timed = self._connected(min(connect_timeout_s, timeout_s))
        timed.deadline = deadline
        connection.request("POST", self._address.target, body, headers)
        response = connection.getresponse()
        found = response.read(max_bytes + 1)
        if response.length and len(found) <= max_bytes:
            raise http.client.IncompleteRead(found, response.length)
        self.is_used = True
        return Answer(response.status, response.headers, found, response.isclosed() and not response.will_close)

    def _connected(self, timeout_s: float) -> "tuple[http.client.HTTPConnection, _TimedSocket]":
        if self._connection is None or self._timed is None:
            connection = self._address.connection(timeout_s)
            connection.connect()
            self._timed = connection.sock = _TimedSocket(connection.sock)
            connection.auto_open = 0
            self._connection = connection
        return self._connection, self._timed

    def close(self) -> None:
        """Whoever reads from it is woken by an error."""
        if self._timed is not None:
            self._timed.end()


class _TimedSocket:
    """What http.client needs of a socket; every wait ends by `deadline`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.deadline = time.monotonic()

    def wait_at_most(self) -> None:
        """Have the next call end by the deadline; raises TimeoutError where it is over."""
        left_s = self.deadline - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the time for an answer is over")
        self._sock.settimeout(left_s)

    def sendall(self, data: bytes) -> None:
        self.wait_at_most()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._sock.makefile("rb", buffering=0)))

    def close(self) -> None:
        """http.client does so when an answer is the last, before it is read: the file keeps the socket open."""
        self._sock.close()

    def end(self) -> None:
        with suppress(OSError):  # it may be closed already
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._timed, self._raw = timed, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._timed.wait_at_most()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
