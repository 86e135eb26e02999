"""The synchronous transport: calls out, answers and errors back, with retries between."""

import time
from contextlib import suppress
from typing import Any, TypeVar

from vdb.client import wire
from vdb.client.answer_calls import EventQueue
from vdb.client.connections import Body, ConnectionPool
from vdb.client.retry import Attempts
from vdb.client.server_url import Headers, HttpOptions, ServerUrl
from vdb.client.wire import Call
from vdb.errors import TransportError, VdbError
from vdb.protocol.answer_answers import Event

T = TypeVar("T")


class HttpTransport:
    """Sends calls over kept-alive connections. Safe to share between threads; `close` gives the connections back."""

    def __init__(self, url: str, api_key: str, options: HttpOptions) -> None:
        server = ServerUrl.parse(url)
        self._prefix, self._headers, self._options = server.prefix, Headers(api_key), options
        self._pool = ConnectionPool(server, options)

    def execute(self, sent: Call[T], tenant: str | None) -> T:
        """Send until answered or beyond retrying; raises what the server answered, or TransportError."""
        body, media_type = wire.body(sent)
        headers, target = self._headers.of(media_type, tenant), self._prefix + wire.target(sent)
        attempts = Attempts(self._options.retry, sent.repeat, self._options.timeout_s + sent.wait_s)
        while True:
            try:
                return self._exchange(sent, target, headers, body, attempts.remaining_s)
            except VdbError as exc:
                self.sleep(attempts.delay_after(exc))

    def open_stream(self, sent: Call[Any], tenant: str | None) -> "HttpEvents":
        """Send until the first event is there or beyond retrying; each wait for the server is bounded."""
        body, media_type = wire.body(sent)
        headers, target = self._headers.of(media_type, tenant), self._prefix + wire.target(sent)
        attempts = Attempts(self._options.retry, sent.repeat, self._options.timeout_s + sent.wait_s)
        while True:
            try:
                return self._begin(sent, target, headers, body)
            except VdbError as exc:
                self.sleep(attempts.delay_after(exc))

    def close(self) -> None:
        self._pool.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _exchange(self, sent: Call[T], target: str, headers: dict[str, str], body: bytes | None, timeout_s: float) -> T:
        status, retry_after, data = self._pool.exchange(sent.operation.method, target, headers, body, timeout_s)
        if wire.is_success(status):
            return wire.read_answer(sent, data)
        raise wire.read_error(status, retry_after, data)

    def _begin(self, sent: Call[Any], target: str, headers: dict[str, str], body: bytes | None) -> "HttpEvents":
        timeout_s = self._options.timeout_s + sent.wait_s
        status, retry_after, incoming = self._pool.open(sent.operation.method, target, headers, body, timeout_s)
        events = HttpEvents(incoming)
        try:
            if not wire.is_success(status):
                raise wire.read_error(status, retry_after, b"".join(iter(incoming.read, b"")))
            events.read_first()
        except BaseException:
            events.close()
            raise
        return events


class HttpEvents:
    """The events of one answer. Used by one thread; close it."""

    def __init__(self, body: Body) -> None:
        self._body, self._events = body, EventQueue()

    def read_first(self) -> None:
        """Wait for the first event; raises the error that it is."""
        while self._events.is_empty:
            self._feed()
        self._events.check_first()

    def read(self) -> Event | None:
        while self._events.is_empty:
            self._feed()
        event = self._events.take()
        if event is None:
            self._end()
        return event

    def close(self) -> None:
        self._body.close()

    def _feed(self) -> None:
        piece = self._body.read()
        if not piece:
            raise TransportError("the stream broke off", retry_after_s=0.0)
        self._events.feed(piece)

    def _end(self) -> None:
        """Read the end of the body, which makes the connection of use for the next call."""
        with suppress(TransportError):
            self._body.read()
