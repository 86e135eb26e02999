"""Rows of results as the report takes them: the last one of each race and data set, and where a row comes from."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Row", "file_name", "last_by", "origin", "race_names", "rows_of"]

Row = dict[str, Any]
_PREFIX = "race-"


def rows_of(folder: Path, workload: str) -> list[Row]:
    """All rows of a workload, oldest first; none where there is no file."""
    path = folder / f"{workload}.json"
    found: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def race_names(folder: Path) -> list[str]:
    """Races with results, by name."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*.json"))


def last_by(rows: list[Row], key: Callable[[Row], str]) -> dict[str, Row]:
    """The last row for each key, in the order of the keys: figures of two rows are never mixed."""
    found = {key(row): row for row in rows}
    return dict(sorted(found.items()))


def file_name(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")


def origin(row: Row) -> str:
    """Date, commit and machine of a row, in a line."""
    commit, machine = row["commit"], row["machine"]
    changed = " with changes" if commit["is_dirty"] else ""
    return (
        f"{row['date'][:10]}, commit {commit['id'][:9]}{changed}; {machine['cpu']}, {machine['n_cores']} cores, "
        f"{machine['memory_gib']:g} GiB, {machine['kernel'].split('-')[0]}"
    )
