"""Strict JSON: refuses what C decoders let pass. Owns the checks, their cheap proofs, and JSON pointer spelling.

C decoders keep the last of duplicate keys, nest as deep as the stack allows and read integers of any size. Refused:

    DuplicateKey        two equal keys in one object (after unescaping)
    NestedTooDeep       objects and arrays nested more than 32 deep
    IntegerOutOfRange   an integer literal outside -2^63 .. 2^63-1
    InvalidJson         broken syntax, NaN and Infinity, a float beyond 64 bits (1e400), invalid UTF-8, a byte order
                        mark, lone surrogates; an escaped NUL in a string is allowed

`decode` is the judge: standard library, slow, exact. The hot path decodes with msgspec and proves from byte counts that
the judge would agree; whenever a proof does not hold, the judge decides. The proofs, for text a C decoder has accepted:

    keys    Every key has one colon outside strings. So colons >= keys written >= keys decoded, and if the colons equal
            the keys decoded, none was a duplicate. With colons inside strings the same holds for `":`, provided that no
            colon follows white space. Failing both, the strings are tokenised and those before a colon counted.
    depth   Nesting is at most the number of opening brackets.
"""

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from vdb.errors import DuplicateKey, IntegerOutOfRange, InvalidArgument, InvalidJson, NestedTooDeep

MAX_DEPTH = 32
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

_MAX_INTEGER_CHARS = 20  # "-9223372036854775808"; longer literals are not even converted, which takes quadratic time
_BEYOND_INT64 = INT64_MAX + 1
_SPACE_BEFORE_COLON = (b" :", b"\n:", b"\r:", b"\t:")
# Possessive, so that text without a closing quote cannot make it backtrack.
_STRING_THEN_COLON = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"([ \t\r\n]*+:)?', re.DOTALL)
_TOP_LEVEL = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PLAIN_TYPES = frozenset((str, bool, float, type(None)))


def child_pointer(pointer: str, key: str | int) -> str:
    """The RFC 6901 pointer of member or element `key` of the value at `pointer`."""
    if isinstance(key, int):
        return f"{pointer}/{key}"
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def decode(raw: bytes | memoryview, pointer: str = "") -> object:
    """Decode one JSON document exactly and slowly; errors point below `pointer`, where the document stands."""

    has_duplicates = False

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal has_duplicates
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        has_duplicates = True
        return _Repeating(found, _first_repeated(pairs))

    def constant(name: str) -> NoReturn:
        raise InvalidJson.at(pointer, f"{name} is not JSON")

    try:
        text = bytes(raw).decode("utf-8")
        value = json.loads(text, object_pairs_hook=members, parse_int=_integer, parse_constant=constant)
    except RecursionError as exc:
        raise _too_deep(pointer) from exc
    except UnicodeDecodeError as exc:
        raise InvalidJson.at(pointer, f"not UTF-8 at byte {exc.start}") from exc
    except json.JSONDecodeError as exc:
        raise InvalidJson.at(pointer, f"{exc.msg} at character {exc.pos}") from exc
    if has_duplicates:
        _refuse_duplicate(value, pointer)
    _check_value(value, pointer, 0)
    return value


def decode_payload(raw: bytes, pointer: str) -> dict[str, Any]:
    """Decode a payload: as strict as `decode`, and an object; fast when the payload is small and plain."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_object(raw, pointer)
    if type(value) is not dict or not _agrees(raw, value):
        return _decode_object(raw, pointer)
    return value


def count_keys(value: object) -> int:
    """How many object keys a decoded JSON value holds, at all depths (nested at most `MAX_DEPTH` deep)."""
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    return sum(map(count_keys, value)) if isinstance(value, list) else 0


def count_top_level_keys(raw: bytes) -> int:
    """How many distinct keys the object `raw` has itself, given that a typed decoder accepted it; members are skipped.

    For `check_body` where the shape has defaults, so that the decoded value does not say which fields were written.
    """
    return len(_TOP_LEVEL.decode(raw))


def check_body(raw: bytes, n_known_keys: int) -> None:
    """Refuse a body with a duplicate key, given that a typed decoder accepted it and found `n_known_keys` keys in all.

    `n_known_keys` must not exceed the number of distinct keys written: count the fields present in the body and the
    `count_keys` of what was decoded without types. Too low a number costs time only.
    """
    if not _has_no_duplicates(raw, n_known_keys):
        decode(raw)


def _decode_object(raw: bytes, pointer: str) -> dict[str, Any]:
    value = decode(raw, pointer)
    if not isinstance(value, dict):
        raise InvalidArgument.at(pointer, "must be a JSON object")
    return value


def _agrees(raw: bytes, value: dict[str, Any]) -> bool:
    """True if the proofs hold: `decode` would return the same `value`."""
    n_keys = len(value)
    for item in value.values():
        kind = type(item)
        if kind in _PLAIN_TYPES:
            continue
        if kind is int:
            if not INT64_MIN <= item <= INT64_MAX:
                return False
            continue
        n_nested = _count_if_strict(item, 1)
        if n_nested < 0:
            return False
        n_keys += n_nested
    return _has_no_duplicates(raw, n_keys)


def _count_if_strict(value: object, depth: int) -> int:
    """Keys within `value`, with `depth` containers around it; -1 if it is too deep or holds too large an integer."""
    if isinstance(value, int):
        return 0 if INT64_MIN <= value <= INT64_MAX else -1
    if not isinstance(value, (dict, list)):
        return 0
    if depth >= MAX_DEPTH:
        return -1
    total = len(value) if isinstance(value, dict) else 0
    for item in value.values() if isinstance(value, dict) else value:
        n_nested = _count_if_strict(item, depth + 1)
        if n_nested < 0:
            return -1
        total += n_nested
    return total


def _has_no_duplicates(raw: bytes, n_keys: int) -> bool:
    """The key proofs of the module docstring, cheapest first."""
    if raw.count(b":") == n_keys:
        return True
    if raw.count(b'":') == n_keys and not any(pair in raw for pair in _SPACE_BEFORE_COLON):
        return True
    return sum(1 for found in _STRING_THEN_COLON.finditer(raw) if found.group(1) is not None) == n_keys


class _Repeating(dict[str, object]):
    """An object in which `key` was written twice."""

    def __init__(self, members: dict[str, object], key: str) -> None:
        super().__init__(members)
        self.key = key


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _refuse_duplicate(value: object, pointer: str) -> NoReturn:
    """Raise for the outermost object with a key written twice; without recursion, depth is not judged yet."""
    waiting: list[tuple[object, str]] = [(value, pointer)]
    for item, place in waiting:
        if isinstance(item, _Repeating):
            raise DuplicateKey.at(child_pointer(place, item.key), f"duplicate key {json.dumps(item.key)}")
        members = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, member in members:
            if isinstance(member, (dict, list)):
                waiting.append((member, child_pointer(place, key)))
    raise AssertionError("called for a value without duplicate keys")


def _integer(literal: str) -> int:
    return int(literal) if len(literal) <= _MAX_INTEGER_CHARS else _BEYOND_INT64


def _too_deep(pointer: str) -> Exception:
    return NestedTooDeep.at(pointer, f"nested deeper than {MAX_DEPTH} levels")


def _check_value(value: object, pointer: str, depth: int) -> None:
    """Refuse what the grammar allows and we do not; `depth` containers stand around `value`."""
    if isinstance(value, str):
        _check_text(value, pointer)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJson.at(pointer, "number beyond the range of a 64-bit float")
    elif isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise IntegerOutOfRange.at(pointer, "integer beyond 64 bits")
    elif isinstance(value, (dict, list)):
        if depth >= MAX_DEPTH:
            raise _too_deep(pointer)
        _check_members(value, pointer, depth + 1)


def _check_members(value: dict[str, object] | list[object], pointer: str, depth: int) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(item, f"{pointer}/{index}", depth)
        return
    for key, item in value.items():
        _check_text(key, pointer)
        _check_value(item, child_pointer(pointer, key), depth)


def _check_text(text: str, pointer: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidJson.at(pointer, "lone surrogate in a string") from exc
