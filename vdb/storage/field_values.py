"""What a payload holds in an indexed field, as bytes whose order is the order of the values.

An entry is a tag and, behind it, the value:

    00 absent                       the payload has no such field
    01 present                      it has one, whatever it holds
    02 null
    03 unlisted                     values that are not entered: only the record says what they are
    10 boolean     00 or 01
    20 number      float64, the largest that is not above it: sign bit flipped, all bits of a negative one;
                   u16, what an integer beyond 2^53 has on top
    30 string      UTF-8, at most 200 bytes, each 00 followed by ff; then 00 00, or 00 01 if the string is longer
    40 instant     nanoseconds since 1970 + 2^79, 10 bytes

An element of a list has its tag + 1. Integers are big-endian. No value is the beginning of another. Strings that begin
with the same 200 bytes share an entry: it is not exact, but where it stands among the others is.
"""

import math
import struct
from enum import IntEnum

from vdb.protocol.instants import parse_instant
from vdb.protocol.paths import ABSENT
from vdb.protocol.strict_json import INT64_MAX, INT64_MIN

MAX_STRING_BYTES = 200
MAX_ELEMENTS = 256
"""A list of more distinct elements is not entered: it is looked up in the record."""

_EXACT_INTEGER = 1 << 53
_INSTANT_BIAS = 1 << 79
_INSTANT_BYTES = 10
_NUMBER = struct.Struct(">QH")
_BITS = struct.Struct(">Q")
_FLOAT = struct.Struct(">d")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


class Tag(IntEnum):
    """First byte of an entry. Never reuse a number."""

    ABSENT = 0x00
    PRESENT = 0x01
    NULL = 0x02
    UNLISTED = 0x03
    BOOLEAN = 0x10
    NUMBER = 0x20
    STRING = 0x30
    INSTANT = 0x40


ELEMENT = 1
"""Added to the tag of a value that is an element of a list."""

_TAGS = tuple(bytes((tag,)) for tag in range(256))
_ABSENT = frozenset((_TAGS[Tag.ABSENT],))
_PRESENT = frozenset((_TAGS[Tag.PRESENT],))
_NULL = frozenset((_TAGS[Tag.PRESENT], _TAGS[Tag.NULL]))
_UNLISTED = frozenset((_TAGS[Tag.PRESENT], _TAGS[Tag.UNLISTED]))


def encode_number(value: int | float) -> bytes:
    """A number within 64 bits: 10 bytes, the same for 1 and 1.0."""
    rest = 0
    if isinstance(value, int) and not -_EXACT_INTEGER <= value <= _EXACT_INTEGER:
        below = float(value)
        if int(below) > value:
            below = math.nextafter(below, -math.inf)
        rest, value = value - int(below), below
    bits = int(_BITS.unpack(_FLOAT.pack(value + 0.0))[0])  # adding 0.0 makes -0.0 the same as 0.0
    return _NUMBER.pack(bits ^ (_ALL if bits & _SIGN else _SIGN), rest)


def escaped(text: bytes) -> bytes:
    """The bytes of a string as they stand in an entry, without its end."""
    return text.replace(b"\x00", b"\x00\xff") if b"\x00" in text else text


def encode_string(value: str) -> tuple[bytes, bool]:
    """The bytes of a string, and whether they are of no other one."""
    text = value.encode(errors="surrogatepass")
    if len(text) > MAX_STRING_BYTES:
        return escaped(text[:MAX_STRING_BYTES]) + b"\x00\x01", False
    return escaped(text) + b"\x00\x00", True


def encode_instant(nanoseconds: int) -> bytes:
    """An instant of the years 1 to 9999, in nanoseconds since 1970."""
    return (nanoseconds + _INSTANT_BIAS).to_bytes(_INSTANT_BYTES, "big")


def entries_of_value(value: object, is_datetime: bool) -> frozenset[bytes]:
    """The entries of what `find` found in a payload; `is_datetime`: the field is declared one."""
    if isinstance(value, list):
        return _entries_of_list(value, is_datetime)
    if value is ABSENT:
        return _ABSENT
    if value is None:
        return _NULL
    entry = _scalar(value, 0, is_datetime)
    if entry is None:
        return _PRESENT
    return frozenset((_TAGS[Tag.PRESENT], entry)) if entry else _UNLISTED


def _entries_of_list(values: list[object], is_datetime: bool) -> frozenset[bytes]:
    entries = {_scalar(value, ELEMENT, is_datetime) for value in values}
    entries.discard(None)
    if b"" in entries or len(entries) > MAX_ELEMENTS:
        return _UNLISTED
    return frozenset(entry for entry in entries if entry is not None) | _PRESENT


def _scalar(value: object, of_list: int, is_datetime: bool) -> bytes | None:
    """The entry of one value: None where no operator compares it, b"" where it has no bytes to stand for it."""
    if isinstance(value, str):
        if not is_datetime or of_list:
            return _TAGS[Tag.STRING + of_list] + encode_string(value)[0]
        instant = parse_instant(value)
        return b"" if instant is None else _TAGS[Tag.INSTANT] + encode_instant(instant)
    if isinstance(value, bool):
        return _TAGS[Tag.BOOLEAN + of_list] + _TAGS[value]
    if isinstance(value, float) or (isinstance(value, int) and INT64_MIN <= value <= INT64_MAX):
        return _TAGS[Tag.NUMBER + of_list] + encode_number(value)
    return b"" if isinstance(value, int) else None
