"""Dotted paths: finding a field in a payload.

A top-level key spelled exactly like the whole path wins (`{"a.b": 1}` for `a.b`); otherwise the path is split at its
dots and walked through nested objects. Lists are not walked.
"""

from typing import Any, Final

from vdb.protocol.strict_json import child_pointer


class Absent:
    """The type of `ABSENT`, which stands for a field that a payload does not have."""


ABSENT: Final = Absent()


def walk(payload: dict[str, Any], parts: tuple[str, ...]) -> object:
    """The value at `parts` through nested objects, or `ABSENT`."""
    value: object = payload
    for part in parts:
        if not isinstance(value, dict):
            return ABSENT
        value = value.get(part, ABSENT)
    return value


def find(payload: dict[str, Any], field: str) -> object:
    """The value of `field`, or `ABSENT`."""
    value = payload.get(field, ABSENT)
    return walk(payload, tuple(field.split("."))) if value is ABSENT else value


def pointer_to(payload: dict[str, Any], field: str, pointer: str) -> str:
    """The JSON pointer of `field`, present in the payload that stands at `pointer`."""
    if field in payload:
        return child_pointer(pointer, field)
    for part in field.split("."):
        pointer = child_pointer(pointer, part)
    return pointer
