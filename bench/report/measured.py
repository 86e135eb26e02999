"""Of races whose rows are plain figures: contenders side by side in a table, and everything else with its bar.

A figure named `contender: measure` is a cell of the table; a measure has one unit.
"""

import itertools
import shlex
from collections.abc import Mapping
from typing import Any

from bench.report.markdown import cell, plain, table
from bench.report.rows import Row, origin

__all__ = ["part_of", "section", "verdicts"]

_MET = {True: "met", False: "**missed**"}
_Figures = Mapping[str, Any]


def part_of(row: Row) -> str:
    """Which part of such a race a row is of, by the words after the last `--data` of its command; empty for all."""
    words = shlex.split(row["command"])
    if "--data" not in words:
        return ""
    after = words[len(words) - words[::-1].index("--data") :]
    return ", ".join(itertools.takewhile(lambda word: not word.startswith("--"), after))


def section(race: str, row: Row) -> str:
    """The Markdown of a row."""
    figures = row["figures"]
    cells = {name: _split(name) for name in figures if _split(name)[0]}
    contenders = list(dict.fromkeys(contender for contender, _ in cells.values()))
    beside = cells if len(contenders) > 1 else {}
    parts = [
        f"### Race {race}{f': {plain(part_of(row))}' if part_of(row) else ''}",
        f"{origin(row)}.",
        f"    {row['command']}",
    ]
    if beside:
        parts.append(_table(figures, beside, contenders))
    others = {name: one for name, one in figures.items() if name not in beside or "bar" in one}
    return "\n\n".join(part for part in (*parts, verdicts(others)) if part)


def verdicts(figures: _Figures) -> str:
    """A list of figures, bars with whether they are met; texts and tables among them are passed over."""
    lines = []
    for name, one in figures.items():
        if isinstance(one, Mapping) and "value" in one:
            verdict = f", bar {one['bar']}: {_MET[one['passes']]}" if "bar" in one else ""
            lines.append(f"- {plain(name)}: {cell(one['value'])} {one['unit']}".rstrip() + verdict)
    return "\n".join(lines)


def _table(figures: _Figures, cells: Mapping[str, tuple[str, str]], contenders: list[str]) -> str:
    named = {(contender, measure): figures[name] for name, (contender, measure) in cells.items()}
    measures = dict.fromkeys(measure for _, measure in cells.values())
    lines = []
    for measure in measures:
        line = [named.get((one, measure)) for one in contenders]
        unit = next((one["unit"] for one in line if one), "")
        lines.append([plain(f"{measure}, {unit}" if unit else measure), *(cell(one and one["value"]) for one in line)])
    return table(["", *map(plain, contenders)], lines)


def _split(name: str) -> tuple[str, str]:
    """Contender and measure of a figure's name; no contender where it names none."""
    contender, colon, measure = name.partition(": ")
    return (contender, measure) if colon else ("", name)
