"""Scroll cursors: where a scroll stopped, bound to its query by a keyed tag. Owns their text form.

Text form: URL-safe base64, no padding, of `position | tag`. `position` is one big-endian int64 per number; `tag` is 16
bytes of BLAKE2b keyed with the server's secret over the length of the query key (u64), the query key and `position`.
The query key names tenant, collection and everything else that fixes the order and the members of the result, so a
cursor of another query, tenant or collection does not verify. A cursor is signed, not encrypted.
"""

import base64
import hmac
import struct
from hashlib import blake2b

from vdb.errors import InvalidCursor, VdbError

POINTER = "/cursor"
MAX_CURSOR_CHARS = 512

_TAG_BYTES = 16
_NUMBER_BYTES = 8
_PERSON = b"vdb-cursor"


def encode_cursor(query_key: bytes, position: tuple[int, ...], secret: bytes) -> str:
    """The cursor of `position` in the query `query_key`.

    `position` holds at most 40 signed 64-bit integers; `secret` is 1 to 64 bytes.
    """
    packed = struct.pack(f">{len(position)}q", *position)
    text = _to_text(packed + _tag(query_key, packed, secret))
    assert len(text) <= MAX_CURSOR_CHARS, "too many numbers in a position"
    return text


def decode_cursor(text: str, query_key: bytes, secret: bytes) -> tuple[int, ...]:
    """The position in `text`; InvalidCursor unless `encode_cursor` made it with the same `query_key` and `secret`."""
    raw = _from_text(text)
    packed, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    if len(raw) < _TAG_BYTES or len(packed) % _NUMBER_BYTES:
        raise _refusal()
    if not hmac.compare_digest(tag, _tag(query_key, packed, secret)):
        raise _refusal()
    return struct.unpack(f">{len(packed) // _NUMBER_BYTES}q", packed)


def _tag(query_key: bytes, packed: bytes, secret: bytes) -> bytes:
    assert 1 <= len(secret) <= 64, "BLAKE2b takes a key of 1 to 64 bytes"
    signed = struct.pack(">Q", len(query_key)) + query_key + packed
    return blake2b(signed, digest_size=_TAG_BYTES, key=secret, person=_PERSON).digest()


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _from_text(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > MAX_CURSOR_CHARS:
        raise _refusal()
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as exc:
        raise _refusal() from exc
    # The decoder skips foreign characters and spare bits; only the one spelling we issue is a cursor.
    if _to_text(raw) != text:
        raise _refusal()
    return raw


def _refusal() -> VdbError:
    return InvalidCursor.at(POINTER, "not a cursor of this query")
