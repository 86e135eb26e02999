"""Values of options: sizes, times, lists, JSON. Each function raises ArgumentTypeError, whose text argparse shows."""

import json
import math
import re
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

__all__ = [
    "count_or_none",
    "field_type",
    "json_value",
    "moment",
    "names",
    "number_or_none",
    "pair",
    "size_or_none",
    "text_field",
]

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgtp", start=1)
    for suffix, base in (("", 1024), ("b", 1000), ("ib", 1024))
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_MAX_NUMBER = (1 << 62) - 1
_MAX_DIGITS = 40


def size_or_none(text: str) -> int | None:
    """Bytes: `1000000`, `500MB`, `10GiB` (or `10G`); `none` for no cap."""
    if text == "none":
        return None
    found = _SIZE.fullmatch(text)
    unit = None if found is None else _UNITS.get(found[2].lower())
    if found is None or unit is None:
        raise ArgumentTypeError(f"{text!r} is not a size such as 500MB or 10GiB, nor none")
    number = found[1][:_MAX_DIGITS]
    return _bounded(int(float(number) * unit) if "." in number else int(number) * unit)


def count_or_none(text: str) -> int | None:
    """A whole number, or `none` for no cap."""
    if text == "none":
        return None
    if not text.isdecimal() or not text.isascii():
        raise ArgumentTypeError(f"{text!r} is not a number, nor none")
    return _bounded(int(text[:_MAX_DIGITS]))


def number_or_none(text: str) -> float | None:
    """A number of 0 or more, or `none` for no limit."""
    if text == "none":
        return None
    try:
        number = float(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not a number, nor none") from exc
    if not 0 <= number < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of 0 or more, nor none")
    return number


def _bounded(number: int) -> int:
    if number > _MAX_NUMBER:
        raise ArgumentTypeError("the number is too large")
    return number


def moment(text: str) -> datetime:
    """A time, such as `2027-01-31` or `2027-01-31T12:00:00Z`; local where it does not say its zone."""
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.astimezone()
    except (ValueError, OverflowError, OSError) as exc:
        raise ArgumentTypeError(f"{text!r} is not a time such as 2027-01-31T12:00:00Z") from exc


def names(text: str) -> list[str]:
    """Names, separated by commas."""
    return [name for name in text.split(",") if name]


def pair(text: str) -> tuple[str, str]:
    """`name=value`; the name ends at the first equals sign."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def field_type(text: str) -> tuple[str, str]:
    """`field=type`; the type begins at the last equals sign."""
    name, sign, kind = text.rpartition("=")
    if not sign or not name:
        raise ArgumentTypeError(f"{text!r} is not of the form FIELD=TYPE")
    return name, kind


def text_field(text: str) -> tuple[str, int]:
    """`field`, or `field=weight` with a whole number behind the last equals sign."""
    name, sign, weight = text.rpartition("=")
    if not sign and text:
        return text, 1
    if not name or not (weight.isascii() and weight.isdecimal() and len(weight) <= 3):
        raise ArgumentTypeError(f"{text!r} is not of the form FIELD or FIELD=WEIGHT")
    return name, int(weight)


def json_value(text: str) -> Any:
    """JSON; NaN and infinity, which are not JSON, are refused."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        raise ArgumentTypeError(f"not JSON: {exc}") from exc


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number
