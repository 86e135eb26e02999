"""Figures of now beside those of the last row: by how much they moved, and whether that is worth a look."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LEAST_SHARE", "Moved", "Now", "combined", "moved", "text"]

LEAST_SHARE = 0.05
"""Less than this is never worth a look."""
_SPREADS = 2.0
"""Nor is what stays within so many spreads of the recorded runs."""
_SAME = ("python", "numpy", "numba")
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Now:
    """A figure in its unit, once per run."""

    unit: str
    runs: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """From the least run to the most, as a share of the median."""
        return (max(self.runs) - min(self.runs)) / self.value

    def as_row(self) -> dict[str, Any]:
        """The figure as it stands in the results."""
        rounded = [float(f"{run:.6g}") for run in self.runs]
        return {"value": float(f"{self.value:.6g}"), "unit": self.unit, "runs": rounded}


@dataclass(frozen=True, slots=True)
class Moved:
    """By which share a figure grew since the row; `hint` is the share from which on that is worth a look."""

    share: float
    hint: float

    @property
    def is_worth_a_look(self) -> bool:
        return abs(self.share) > self.hint

    @property
    def arrow(self) -> str:
        """▲ costs more, ▼ costs less, = within what runs differ by."""
        if not self.is_worth_a_look:
            return "="
        return "▲" if self.share > 0 else "▼"


def combined(runs: Sequence[Mapping[str, Now]]) -> dict[str, Now]:
    """Runs of the same figures as one; those that not all of them have, or not in one unit, are left out."""
    found = {}
    for name, first in runs[0].items():
        every = [run[name] for run in runs if name in run and run[name].unit == first.unit]
        if len(every) == len(runs):
            found[name] = Now(first.unit, tuple(value for one in every for value in one.runs))
    return found


def moved(now: Now, recorded: _Row) -> Moved | None:
    """How a figure stands to the recorded one; None where they cannot be compared."""
    if recorded.get("unit") != now.unit or not recorded.get("value"):
        return None
    before = Now(now.unit, tuple(recorded.get("runs") or (recorded["value"],)))
    return Moved(now.value / before.value - 1, max(LEAST_SHARE, _SPREADS * before.spread))


def text(now: Mapping[str, Now], row: _Row | None, here: _Row) -> str:
    """The table, with what makes the comparison doubtful; `here` holds machine and versions of this run."""
    figures = row["figures"] if row else {}
    width = max((len(name) for name in (*now, *figures)), default=0)
    lines = [f"{'':<{width}}  {'now':>10} {'row':>10}  {'unit':<13}{'moved':>8}  worth a look from"]
    changes = []
    for name, figure in now.items():
        change = moved(figure, figures.get(name, {}))
        changes.append(change)
        recorded = f"{figures[name]['value']:.4g}" if name in figures else "-"
        spread = f"   spread {figure.spread:.1%} of {len(figure.runs)} runs" if len(figure.runs) > 1 else ""
        shown = f"{change.share:>+8.1%}  {change.hint:.0%} {change.arrow}" if change else f"{'-':>8}"
        lines.append(f"{name:<{width}}  {figure.value:>10.4g} {recorded:>10}  {figure.unit:<13}{shown}{spread}")
    lines += [f"{name:<{width}}  no longer measured" for name in figures if name not in now]
    return "\n".join([*lines, "", *_said(changes, row, here)])


def _said(changes: Sequence[Moved | None], row: _Row | None, here: _Row) -> list[str]:
    if row is None:
        return ["No row to compare with: `python -m bench smoke --record` writes one."]
    worse = sum(1 for change in changes if change and change.arrow == "▲")
    better = sum(1 for change in changes if change and change.arrow == "▼")
    said = [
        f"Beside the row of {row['date'][:10]}, commit {row['commit']['id'][:9]}: {worse} ▲ cost more, {better} ▼ less."
    ]
    if row["machine"]["cpu"] != here["machine"]["cpu"]:
        said.append(f"That row is of another CPU ({row['machine']['cpu']}): ratios between kinds of work differ there.")
    others = [name for name in _SAME if row["versions"].get(name) != here["versions"].get(name)]
    if others:
        said.append(f"That row is of other releases of {', '.join(others)}.")
    if worse:
        said.append("Run it again before you look: a busy machine moves figures too. Nothing fails by this.")
    return said
