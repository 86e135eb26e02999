"""Declared fields: which operators and operands each type takes, and which stored values it admits."""

from collections.abc import Callable, Mapping
from typing import Any

from vdb.engine.filters.ast import Kind, Op
from vdb.errors import FieldTypeMismatch
from vdb.protocol.instants import parse_instant
from vdb.protocol.paths import ABSENT, find, pointer_to
from vdb.protocol.strict_json import INT64_MAX, INT64_MIN

_ANY_TYPE = {Op.EXISTS, Op.IS_NULL}
_EQUALITY = _ANY_TYPE | {Op.EQ, Op.NE, Op.IN, Op.NIN}
_ORDERED = _EQUALITY | {Op.GT, Op.GTE, Op.LT, Op.LTE}

OPERATORS: dict[str, frozenset[Op]] = {
    "number": frozenset(_ORDERED),
    "integer": frozenset(_ORDERED),
    "string": frozenset(_ORDERED | {Op.PREFIX}),
    "boolean": frozenset(_EQUALITY),
    "datetime": frozenset(_ORDERED),
    "list": frozenset(_ANY_TYPE | {Op.CONTAINS}),
}
"""The operators that a field of each declared type takes."""

OPERAND_KINDS: dict[str, Kind] = {
    "number": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "string": Kind.STRING,
    "boolean": Kind.BOOLEAN,
    "datetime": Kind.DATETIME,
}
"""The kind of operand that a field of each declared type is compared with; elements of a list may be of any kind."""

FIELD_TYPES = frozenset(OPERATORS)
"""The types a collection may declare for a field."""


def check_fields(payload: dict[str, Any], fields: Mapping[str, str], pointer: str) -> None:
    """FieldTypeMismatch unless every declared field is absent, null, or of its type.

    `payload` stands at `pointer`, to which the error's pointer is appended; `fields` maps a path to its declared type.
    """
    for field, declared in fields.items():
        value = find(payload, field)
        if value is not ABSENT and value is not None and not _ADMITS[declared](value):
            raise FieldTypeMismatch.at(pointer_to(payload, field, pointer), f"{field} must be {EXPECTED[declared]}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX


def _is_datetime(value: object) -> bool:
    return isinstance(value, str) and parse_instant(value) is not None


_ADMITS: dict[str, Callable[[object], bool]] = {
    "number": _is_number,
    "integer": _is_integer,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "datetime": _is_datetime,
    "list": lambda value: isinstance(value, list),
}

EXPECTED: dict[str, str] = {
    "number": "a number",
    "integer": "an integer within 64 bits",
    "string": "a string",
    "boolean": "true or false",
    "datetime": "an RFC 3339 datetime with an offset, such as 2024-05-01T12:00:00Z",
    "list": "a list",
}
"""What a value or operand of each declared type must be, for messages."""
