"""The server's HTTP protocol, with the head and the body of a hot answer leaving in one system call.

uvicorn writes them one after the other, and each write is a send of its own: on a small answer the second costs more
than encoding the answer. `send_reply` corks the connection around the two.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CORK = "vdb.cork"
"""Where the connection's `Corked` stands in the ASGI scope; absent under another server."""


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
    """uvicorn's protocol over a transport that can be corked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Corked(transport))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CORK] = self.transport  # type: ignore[literal-required]
