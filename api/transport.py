"""The server's HTTP protocol, with the head and the body of a hot answer leaving in one system call.

uvicorn writes them one after the other, and each write is a send of its own: on a small answer the second costs more
than encoding the answer. `send_reply` corks the connection around the two.

It also bounds what uvicorn leaves open: the bytes of a request's head, the time that head and body may take to come,
and what follows the body. A trailer is no header, or it could name a tenant where a proxy let no header through.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CORK = "vdb.cork"
"""Where the connection's `Corked` stands in the ASGI scope; absent under another server."""

_MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 75.0
BODY_TIMEOUT_S = 120.0
_FAREWELL_S = 2.0


class Corked:
    """An asyncio transport that holds what is written between `cork` and `uncork`; otherwise the one it wraps."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None
        self.write_through = transport.write

    def write(self, data: bytes) -> None:
        if self._held is None:
            self.write_through(data)
        else:
            self._held.append(data)

    def cork(self) -> None:
        """Hold what is written from now on."""
        self._held = []

    def uncork(self) -> None:
        """Send what was held, at once and together."""
        held, self._held = self._held, None
        if held and not self._transport.is_closing():
            self.write_through(b"".join(held))

    def close(self) -> None:
        """Send what is held, then close."""
        self.uncork()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a transport that can be corked, with bounds on the head of a request."""

    _n_head_bytes = 0  # of the parsed part
    _n_pending_bytes = 0  # that the parser may hold, for want of a line's end
    _is_in_head = True
    _has_progressed = False
    _is_in_body = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport))  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_progressed = False
        super().data_received(data)
        self._n_pending_bytes = 0 if self._has_progressed else self._n_pending_bytes + len(data)
        if self._n_pending_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        if self._timer is None and not self.transport.is_closing():
            if self._is_in_head:
                self._await_head()
            elif self._is_in_body:  # the rest of it: one that came with its head needs no timer
                self._timer = self.loop.call_later(BODY_TIMEOUT_S, self.transport.close)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._n_head_bytes, self._is_in_head = 0, True
        self.scope[CORK] = self.transport  # type: ignore[literal-required]

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body, self._has_progressed = False, True, True
        self._stop_timer()
        super().on_headers_complete()
        if self.parser.should_upgrade():  # the parser has stopped: what follows would be read as another request
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._has_progressed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._stop_timer()
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server ends. Idle TLS clients do not answer a farewell: waiting for them would take all the grace."""
        super().shutdown()
        if self.transport.is_closing() and self.transport.get_extra_info("sslcontext") is not None:
            self.loop.call_later(_FAREWELL_S, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not taken up is nothing to warn of."""

    def _count(self, n_bytes: int) -> None:
        """Count what is kept of a head or a trailer; a bare name and value cost as much as 32 bytes."""
        self._n_head_bytes += n_bytes + 32
        if self._n_head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the head of the request is too large")  # the parser makes a 400 of it

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
