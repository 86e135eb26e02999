"""Tables and records for people, of the structs that answers are. Plain text: no colours, no frames.

Numbers stand right, bytes and times are written for people, nothing is `–`. A table for a terminal is at most as wide
as that: the widest column gives way. Widths count what a terminal shows: a Chinese character takes two places.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from vdb.cli.printable import printable

__all__ = ["json_text", "record", "table"]

_GAP = "  "
_NONE = "–"
_MIN_COLUMN = 8
_MAX_CELL = 2_000


def table(items: Sequence[Any], columns: Sequence[str], width: int | None = None) -> list[str]:
    """A heading and one line per item. `columns` are names of fields, `usage.points` for a field within.

    `width` is the terminal's, None where lines may be of any length.
    """
    values = [[_field(item, column) for column in columns] for item in items]
    cells = [[_text(name, value) for name, value in zip(columns, row, strict=True)] for row in values]
    headings = [column.replace("_", " ").replace(".", " ") for column in columns]
    widths = [max(map(_width, column)) for column in zip(headings, *cells, strict=True)]
    _narrow(widths, width)
    is_right = [_is_number(column) for column in zip(*values, strict=True)] if values else [False] * len(columns)
    return [_line(row, widths, is_right) for row in (headings, *cells)]


def record(item: Any) -> list[str]:
    """One line per field of a struct or a mapping: its name, its value."""
    pairs = list(item.items()) if isinstance(item, dict) else list(_flat(item))
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{name.replace('_', ' '):<{width}}{_GAP}{_text(name, value)}" for name, value in pairs]


def json_text(value: Any) -> str:
    """`value`, of dicts, lists, structs and arrays, as JSON on one line."""
    return msgspec.json.encode(value, enc_hook=_plain).decode("utf-8", "replace")


def _flat(item: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in _names(item):
        value = _field(item, name)
        if _names(value):
            yield from _flat(value, f"{prefix}{name} ")
        elif not _is_unset(value):
            yield prefix + name, value


def _names(item: Any) -> tuple[str, ...]:
    """The fields of a struct; none for a plain value."""
    return tuple(getattr(item, "__struct_fields__", ()))


def _field(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = getattr(item, name)
    return item


def _is_unset(value: Any) -> bool:
    return type(value).__name__ == "UnsetType"


def _is_number(column: Sequence[Any]) -> bool:
    present = [value for value in column if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _text(name: str, value: Any) -> str:
    if value is None or _is_unset(value):
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    if isinstance(value, int | float):
        return _bytes(int(value)) if "bytes" in re.split(r"[ ._]", name) else _number(value)
    return printable(_words(value)[:_MAX_CELL]) or _NONE


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _words(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    if isinstance(value, dict) and not value:
        return ""
    return json_text(value)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _bytes(number: int) -> str:
    """Binary units, three digits."""
    size, units = float(number), iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    if number < 1024:
        return f"{number} B"
    unit = ""
    while size >= 1024 and (following := next(units, "")):
        size, unit = size / 1024, following
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def _narrow(widths: list[int], width: int | None) -> None:
    """Make the widest column narrower until the line fits, as far as that goes."""
    while width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths) > _MIN_COLUMN:
        widths[widths.index(max(widths))] -= 1


def _line(cells: Sequence[str], widths: Sequence[int], is_right: Sequence[bool]) -> str:
    padded = (_padded(*cell) for cell in zip(cells, widths, is_right, strict=True))
    return _GAP.join(padded).rstrip()


def _padded(text: str, width: int, is_right: bool) -> str:
    text = _cut(text, width)
    room = " " * (width - _width(text))
    return room + text if is_right else text + room


def _cut(text: str, width: int) -> str:
    """`text`, or its beginning and an ellipsis, in `width` places."""
    if _width(text) <= width:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) >= width:
            break
        kept += character
    return kept + "…"


def _width(text: str) -> int:
    """Places on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
