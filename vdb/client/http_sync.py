"""The synchronous transport: calls out, answers and errors back, with retries between."""

import time
from typing import TypeVar

from vdb.client import wire
from vdb.client.connections import ConnectionPool
from vdb.client.retry import Attempts
from vdb.client.server_url import Headers, HttpOptions, ServerUrl
from vdb.client.wire import Call
from vdb.errors import VdbError

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

    def close(self) -> None:
        self._pool.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _exchange(self, sent: Call[T], target: str, headers: dict[str, str], body: bytes | None, timeout_s: float) -> T:
        status, retry_after, data = self._pool.exchange(sent.operation.method, target, headers, body, timeout_s)
        if wire.is_success(status):
            return wire.read_answer(sent, data)
        raise wire.read_error(status, retry_after, data)
