"""What a row of bench/results is: its keys, their types, and that nothing in it names a place or a machine.

`problems` of a row are sentences; a row that `bench.record` wrote has none. Figures are numbers with a unit, or, of
races and contests, tables of their own: those of races are checked too, since the report is drawn from them.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bench.record import PLACE

__all__ = ["problems"]

_ROW = {"date": str, "commit": dict, "machine": dict, "versions": dict, "command": str, "figures": dict}
_MACHINE = {"cpu": str, "n_cores": int, "memory_gib": float, "kernel": str, "load_1min": float}
_FIGURE = {"value", "unit", "bar", "passes", "runs"}
_RACE = ("data set", "k", "repetitions", "contenders", "left out")
_CONTENDER = ("at recall", "sweeps", "packages", "parameters")
_SWEEP = ("setting", "recall", "cpu us", "wall us")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BAR = re.compile(r"(<=|>=) -?[0-9.e+-]+")


def problems(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with a row; empty where nothing is."""
    found = list(_shape(row, _ROW, "row"))
    if found:
        return found
    return [*_head(row), *_figures(row["figures"], "figures"), *_race(row), *_places(row, "row")]


def _shape(found: Mapping[str, Any], shape: Mapping[str, type], name: str) -> Iterator[str]:
    for key, kind in shape.items():
        if key not in found:
            yield f"{name} has no {key!r}"
        elif not isinstance(found[key], (int, float) if kind is float else kind):
            yield f"{name}: {key!r} is no {kind.__name__}"


def _head(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"row: unknown key {key!r}" for key in row.keys() - _ROW.keys())
    yield from _shape(row["machine"], _MACHINE, "machine")
    yield from (f"machine: unknown key {key!r}" for key in row["machine"].keys() - _MACHINE.keys() - {"accelerator"})
    if row["commit"].keys() != {"id", "is_dirty"} or not _COMMIT.fullmatch(str(row["commit"].get("id"))):
        yield "commit is not an id of 40 digits and is_dirty"
    elif not isinstance(row["commit"]["is_dirty"], bool):
        yield "whether the commit was changed is not known"
    if not {"python", "vdb", "numpy"} <= row["versions"].keys():
        yield "versions lack python, vdb or numpy"
    if not row["command"].startswith("python -m bench "):
        yield "command is none of ours"
    if "--quick" in row["command"]:
        yield "a quick run measures nothing"
    try:
        is_placed = datetime.fromisoformat(row["date"]).tzinfo is not None
    except ValueError:
        is_placed = False
    if not is_placed:
        yield "date is no ISO date with its zone"


def _figures(found: Mapping[str, Any], name: str) -> Iterator[str]:
    """Of every figure at any depth: a number with its unit, a bar with its verdict, runs that are numbers."""
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _figures(value, f"{name}: {key}")
    if "value" not in found or "unit" not in found:
        return
    if not isinstance(found["value"], (int, float)) or not isinstance(found["unit"], str):
        yield f"{name} is no number with a unit"
    yield from (f"{name}: unknown key {key!r}" for key in found.keys() - _FIGURE)
    if ("bar" in found) != ("passes" in found) or not _BAR.fullmatch(found.get("bar", "<= 0")):
        yield f"{name}: bar without its verdict"
    if not all(isinstance(run, (int, float)) for run in found.get("runs", ())):
        yield f"{name}: runs are no numbers"


def _race(row: Mapping[str, Any]) -> Iterator[str]:
    """Of a race's row: what the report reads."""
    figures = row["figures"]
    if "data set" not in figures or "contenders" not in figures:
        return
    yield from (f"race has no {key!r}" for key in _RACE if key not in figures)
    for name, contender in figures["contenders"].items():
        yield from (f"{name} has no {key!r}" for key in _CONTENDER if key not in contender)
        for sweep in contender.get("sweeps", ()):
            yield from (f"{name}: a setting has no {key!r}" for key in _SWEEP if key not in sweep)
            if not 0 <= sweep.get("recall", 0) <= 1:
                yield f"{name}: recall {sweep['recall']}"


def _places(value: object, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _places(key, name)
            yield from _places(one, f"{name}: {key}")
    elif isinstance(value, list):
        for one in value:
            yield from _places(one, name)
    elif isinstance(value, str) and (found := PLACE.search(value)):
        yield f"{name} names a place: {found[0]}"
