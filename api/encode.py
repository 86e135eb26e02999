"""Answers on their way out: the one JSON encoder, and `Reply`, a finished HTTP response.

Payloads are encoded bytes already (`msgspec.Raw`) and pass through. A float32 vector becomes a list of numbers; a
vector asked for as base64 arrives here as a string.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np

JSON = b"application/json"
PROBLEM = b"application/problem+json"
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
