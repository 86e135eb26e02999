"""Answers on their way out: the one JSON encoder, and `Reply`, a finished HTTP response.

Payloads are encoded bytes already (`msgspec.Raw`) and pass through. A float32 vector becomes a list of numbers; a
vector asked for as base64 arrives here as a string.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

JSON = b"application/json"
PROBLEM = b"application/problem+json"
PIECE = 16
"""Points or hits that are encoded in one go, where others wait meanwhile."""

TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Reply(NamedTuple):
    """A response: status, media type, body, and headers beyond those every response has."""

    status: int
    media_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def _encode_array(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"an answer holds a {type(value).__name__}")


encode = msgspec.json.Encoder(enc_hook=_encode_array).encode
"""Encode an answer; safe to call from any thread."""


_LISTS = ("points", "hits", "results")


def encode_in_pieces(answer: Any) -> bytes:
    """As `encode`, for threads: a call of the encoder holds the interpreter's lock, and with it the event loop."""
    for name in _LISTS:
        items = getattr(answer, name, None)
        if isinstance(items, list) and len(items) > PIECE:
            pieces = [encode(items[i : i + PIECE])[1:-1] for i in range(0, len(items), PIECE)]
            field = f'"{name}":['.encode()
            head, _, tail = encode(replace(answer, **{name: []})).partition(field + b"]")
            return b"".join((head, field, b",".join(pieces), b"]", tail))
    return encode(answer)
