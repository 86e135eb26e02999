"""Laws of an index on disk beside what `bench disk` measured at sizes far beyond theirs, on a quiet machine.

Those searches have the effort of the server's table, which finds .9545 and .9547, not the least effort for .95.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.record import RESULTS
from bench.scaling.fit import Law

LARGER = {1_000_000: "2026-11-21T01:20:22+00:00", 4_000_000: "2026-11-21T01:19:56+00:00"}
"""Dates of the rows, by points."""
SAME = {
    "work at .95": "pages per query",
    "lists read at .95": "lists per query",
    "CPU at .95": "warm, CPU, median",
    "CPU of the build": "build, CPU",
}
"""What the figure is called there."""


def compared(laws: Mapping[str, Law], folder: Path = RESULTS) -> Iterator[tuple[str, int, float, float]]:
    """Of each law and larger size: its name, the size, what the law says, and what was measured."""
    rows = {row["date"]: row["figures"] for row in json.loads((folder / "disk.json").read_text(encoding="utf-8"))}
    for what, theirs in SAME.items():
        for n, date in LARGER.items():
            if what in laws:
                yield what, n, laws[what].at(n), float(rows[date][theirs]["value"])
