"""The cheapest HTTP client there is: prepared request bytes over one kept-alive socket.

A benchmark client shares the machine with the server, so nothing is built, parsed or checked while a clock runs beyond
the status and the length of the answer.
"""

import json
import socket
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vdb.protocol.columns import MEDIA_TYPE, join_frame

JSON_TYPE = "application/json"
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_CHUNK_BYTES = 1 << 16


class Refused(Exception):
    """The server answered with something other than success."""


class Connection:
    """One kept-alive connection, to this machine by default. For one thread; `close` it, or use it in a `with`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def exchange(self, request: bytes) -> bytes:
        """Send a prepared request, return the body of its answer; raises Refused unless it is 2xx."""
        self._socket.sendall(request)
        answer = self._socket.recv(_CHUNK_BYTES)
        while (end := answer.find(_END_OF_HEAD)) < 0:
            answer += self._more()
        head = answer[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        missing = int(head[at:].split(b"\r", 1)[0]) - (len(answer) - end - len(_END_OF_HEAD))
        parts = [answer[end + len(_END_OF_HEAD) :]]
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        body = b"".join(parts)
        if answer[9:10] != b"2":
            raise Refused(f"{answer[:12].decode()}: {body[:300].decode(errors='replace')}")
        return body

    def ask(self, method: str, path: str, key: str, body: Any = None) -> Any:
        """One request of JSON, not for timed loops: its answer decoded."""
        content = b"" if body is None else json.dumps(body).encode()
        return json.loads(self.exchange(request(method, path, key, content)))

    def _more(self) -> bytes:
        received = self._socket.recv(_CHUNK_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


def request(method: str, path: str, key: str, body: bytes = b"", media_type: str = JSON_TYPE) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    if body:
        lines += [f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def binary_request(path: str, key: str, head: dict[str, Any], vectors: NDArray[np.float32]) -> bytes:
    """The bytes of a search or upsert whose vectors travel as float32."""
    return request("POST", path, key, join_frame(head, vectors), MEDIA_TYPE)


def json_search(collection: str, key: str, vector: NDArray[np.float32], limit: int = 10) -> bytes:
    """A search in JSON, its numbers as NumPy's `tolist` spells them: some 20 characters each."""
    body = json.dumps({"vector": vector.tolist(), "limit": limit}, separators=(",", ":"))
    return request("POST", f"/v1/collections/{collection}/search", key, body.encode())


def binary_search(collection: str, key: str, vector: NDArray[np.float32], limit: int = 10) -> bytes:
    """The same search with a binary body."""
    return binary_request(f"/v1/collections/{collection}/search", key, {"limit": limit}, vector)
