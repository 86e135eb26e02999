"""Requests over one kept-alive connection to a server on 127.0.0.1, by the standard library."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

__all__ = ["JSON_TYPE", "Exchange", "Refused"]

JSON_TYPE = "application/json"
_TIMEOUT_S = 600.0


class Refused(Exception):
    """The server answered with something other than success."""


class Exchange:
    """One connection, made with the first request, and again where the server closed it. For one thread."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        """`headers` go with every request."""
        self._port, self._headers = port, dict(headers or {})
        self._connection: HTTPConnection | None = None

    def post(self, path: str, body: bytes, media_type: str = JSON_TYPE) -> bytes:
        """The body of the answer to a POST. Raises Refused unless it is 2xx."""
        return self._sent("POST", path, body, media_type)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request of JSON and its answer, decoded; None where the answer is empty."""
        answer = self._sent(method, path, b"" if body is None else json.dumps(body).encode(), JSON_TYPE)
        return json.loads(answer) if answer else None

    def _sent(self, method: str, path: str, body: bytes, media_type: str) -> bytes:
        if self._connection is not None:
            try:
                return self._exchanged(self._connection, method, path, body, media_type)
            except (OSError, HTTPException):  # the server was started anew: once more, by a new connection
                self._connection.close()
        self._connection = HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._exchanged(self._connection, method, path, body, media_type)

    def _exchanged(self, connection: HTTPConnection, method: str, path: str, body: bytes, media_type: str) -> bytes:
        headers = self._headers | {"Content-Type": media_type} if body else self._headers
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status // 100 != 2:
            raise Refused(f"{method} {path}: {answer.status}: {content[:300].decode(errors='replace')}")
        return content
