"""Values of a settings dataclass from a file, the environment and options, later ones winning; and back as TOML.

Knows no setting: what a field may hold follows from its default (bool, int, float, str, Path, tuple of str), from
`Bounds` of numbers and from lists of choices. The attribute docstrings of the dataclass are its documentation. Every
refusal is an InvalidArgument that names the place: `vdb.toml: port`, `VDB_PORT`, `--port`.
"""

import ast
import difflib
import inspect
import json
import math
import os
import stat
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from vdb.errors import InvalidArgument

__all__ = [
    "MAX_INTEGER",
    "Bounds",
    "Rules",
    "checked",
    "documentation",
    "flag_of",
    "meant",
    "parsed",
    "secret_of_file",
    "toml_of",
    "values_of_file",
]

MAX_INTEGER = (1 << 63) - 1
_MAX_SECRET_FILE_BYTES = 4096
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

Bounds = tuple[float, float]
"""The least and the most a number may be."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of fields beyond their kind; `secrets` are never shown. A number without bounds is 0 or more."""

    bounds: Mapping[str, Bounds]
    choices: Mapping[str, tuple[str, ...]]
    secrets: tuple[str, ...] = ()


def flag_of(name: str) -> str:
    """The command-line option of a setting."""
    return "--" + name.replace("_", "-")


def values_of_file(path: Path, what: str = "the settings file") -> dict[str, Any]:
    """The tables of a TOML file, not yet checked; InvalidArgument where there is none or it is malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InvalidArgument(f"cannot read {what} {path}: {exc.strerror}") from exc
    except RecursionError as exc:
        raise InvalidArgument(f"{path}: nested too deep") from exc
    except ValueError as exc:  # no TOML, no UTF-8, or a number of too many digits
        raise InvalidArgument(f"{path}: {exc}") from exc


def meant(name: str, known: Iterable[str]) -> str:
    """`: did you mean …?` for a name that is not known and looks like one that is."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f": did you mean {close[0]!r}?" if close else ""


def secret_of_file(place: str, path: str) -> tuple[str, list[str]]:
    """The key in a file, without white space around it, and a warning where others than its owner may read it.

    Raises InvalidArgument where there is none.
    """
    try:
        with open(path, "rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_MAX_SECRET_FILE_BYTES + 1)
    except OSError as exc:
        raise InvalidArgument(f"cannot read {place} {path}: {exc.strerror}") from exc
    key = data.decode("utf-8", "replace").strip()
    if not key or len(data) > _MAX_SECRET_FILE_BYTES:
        raise InvalidArgument(f"{place} {path} holds no key: it is empty, or larger than a key can be")
    is_open = bool(stat.S_IMODE(mode) & 0o077)
    return key, [f"others than its owner may read {place} {path}: chmod 600 it"] if is_open else []


def parsed(name: str, text: str, default: object, rules: Rules, place: str) -> object:
    """The value that a variable's `text` stands for; lists are separated by commas."""
    try:
        if isinstance(default, bool):
            return _FLAGS[text.lower()]
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        value = type(default)(text)  # type: ignore[call-arg]
    except (KeyError, ValueError) as exc:
        raise _wrong(name, text, rules, place) from exc
    return checked(name, value, default, rules, place)


def checked(name: str, value: object, default: object, rules: Rules, place: str) -> object:
    """`value` if it is of the kind of `default` and within its bounds; a path or a list may come as a file has them."""
    if isinstance(default, Path) and isinstance(value, str):
        value = Path(value)
    if isinstance(default, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is int and abs(value) > MAX_INTEGER:  # one that may not fit a float
        raise _wrong(name, value, rules, place)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    is_of_kind = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)
    if not is_of_kind or (isinstance(value, tuple) and not all(isinstance(part, str) for part in value)):
        raise _wrong(name, value, rules, place)
    if isinstance(value, (str, Path)) and "\0" in str(value):
        raise _wrong(name, value, rules, place)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(name, value, rules, place)
    choices = rules.choices.get(name)
    if choices is not None and value not in choices:
        raise InvalidArgument(f"{place} must be one of {', '.join(choices)}, not {value!r}")
    return value


def _check_bounds(name: str, value: float, rules: Rules, place: str) -> None:
    least, most = rules.bounds.get(name, (0, MAX_INTEGER))
    if not math.isfinite(value) or not least <= value <= most:
        shown = f"{least:g} or more" if most == MAX_INTEGER else f"{least:g} to {most:.15g}"
        raise InvalidArgument(f"{place} must be {shown}, not {value}")


def _wrong(name: str, value: object, rules: Rules, place: str) -> InvalidArgument:
    shown = "" if name in rules.secrets else f": {value!r}"
    return InvalidArgument(f"{place} has a value of wrong form{shown}")


@cache
def documentation(shape: type) -> dict[str, str]:
    """The text under each field of a dataclass, as one line; empty where the source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(shape)))
    except (OSError, TypeError):
        return {}
    (definition,) = tree.body
    found: dict[str, str] = {}
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for node, below in pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_text:
            found[node.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return found


def toml_of(shown: object, origins: Mapping[str, str], rules: Rules, prefix: str = "") -> list[str]:
    """A settings dataclass as lines of a TOML file, each with where its value came from; secrets stand masked."""
    lines: list[str] = []
    tables: list[str] = []
    for field in fields(shown):  # type: ignore[arg-type]
        value, origin = getattr(shown, field.name), origins.get(prefix + field.name, "default")
        if hasattr(value, "__dataclass_fields__"):
            tables += ["", f"[{field.name}]", *toml_of(value, origins, rules, f"{field.name}.")]
        elif field.name in rules.secrets and value:
            lines.append(f'# {field.name} = "***"  # {origin}')
        else:
            lines.append(f"{field.name} = {_toml_value(value)}  # {origin}")
    return lines + tables


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
