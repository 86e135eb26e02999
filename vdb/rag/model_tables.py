"""Tables of models in a TOML file, read strictly: what is misspelt, of wrong form or missing is refused."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from vdb.errors import InvalidArgument
from vdb.layered import Rules, checked, meant, secret_of_file

__all__ = ["MAX_NAME", "OPENAI", "api_key_of", "demand", "entries"]

OPENAI: Final = "openai"
MAX_NAME: Final = 256

_Entry = TypeVar("_Entry")


def entries(
    path: Path, tables: Mapping[str, Any], kind: str, empty: _Entry, rules: Rules
) -> Iterator[tuple[str, _Entry, Mapping[str, Any], str]]:
    """Each table of a kind: its name, what it holds, the same as it was given, and where it stands.

    `empty` is a frozen dataclass of the defaults. Raises InvalidArgument.
    """
    known = {field.name for field in fields(empty)}  # type: ignore[arg-type]
    given = tables.get(kind, {})
    if not isinstance(given, dict):
        raise InvalidArgument(f"{path}: {kind} is a table of tables: write [{kind}.NAME]")
    for name, table in given.items():
        place = f"{path}: {kind}.{name}"
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise InvalidArgument(f"{path}: a name in {kind} has 1 to {MAX_NAME} printable characters")
        if not isinstance(table, dict):
            raise InvalidArgument(f"{place} is a table: write [{kind}.{name}]")
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                raise InvalidArgument(f"{place}: {key!r} is no key of a model{meant(key, known)}")
            values[key] = checked(key, value, getattr(empty, key), rules, f"{place}.{key}")
        yield name, replace(empty, **values), table, place  # type: ignore[type-var]


def demand(given: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
    """Raise InvalidArgument where one of the keys is missing or empty."""
    for key in keys:
        if not given.get(key):
            raise InvalidArgument(f"{place}: {key!r} is missing")


def api_key_of(file: str, place: str, warnings: list[str]) -> str:
    """The key in a file, "" where none is named; raises InvalidArgument where it is no key."""
    if not file:
        return ""
    api_key, found = secret_of_file(f"{place}.api_key_file", file)
    warnings += found
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise InvalidArgument(f"{place}.api_key_file holds more than a key: one line of printable ASCII")
    return api_key
