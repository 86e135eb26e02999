"""A run's report: figures with their bars, as a table on standard output and as a row of the results."""

import argparse
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.record import RESULTS, record

__all__ = ["Figure", "median", "parser", "publish", "table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `bar` is the most it may be, or with `at_least` the least; `runs` are its repetitions."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    runs: tuple[float, ...] = ()

    @property
    def passes(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def as_row(self) -> dict[str, Any]:
        """The figure as it stands in the results."""
        row: dict[str, Any] = {"value": _rounded(self.value), "unit": self.unit}
        if self.bar is not None:
            row |= {"bar": f"{'>=' if self.at_least else '<='} {self.bar:g}", "passes": self.passes}
        if self.runs:
            row["runs"] = [_rounded(run) for run in self.runs]
        return row


def median(name: str, runs: Sequence[float], unit: str, bar: float | None = None, *, at_least: bool = False) -> Figure:
    """The figure that is the median of repeated runs, which are kept beside it."""
    return Figure(name, statistics.median(runs), unit, bar, at_least, tuple(runs))


def parser(workload: str, description: str | None) -> argparse.ArgumentParser:
    """A workload's argument parser, with what all of them take: `--results` and `--seed`."""
    made = argparse.ArgumentParser(prog=f"python -m bench {workload}", description=description)
    made.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the row written (default: bench/results)"
    )
    made.add_argument("--seed", type=int, default=1, help="of all random numbers (default: 1)")
    return made


def publish(workload: str, arguments: Sequence[str], results: Path, figures: Sequence[Figure]) -> int:
    """Print the table and write the row; 1 where a bar is missed, else 0."""
    print(table(figures))
    command = shlex.join(["python", "-m", "bench", workload, *arguments])
    record(workload, {figure.name: figure.as_row() for figure in figures}, command, results)
    return int(any(figure.passes is False for figure in figures))


def table(figures: Sequence[Figure]) -> str:
    """Figures as aligned lines: name, value, unit, spread of the runs, bar and verdict."""
    width = max(len(figure.name) for figure in figures)
    return "\n".join(_line(figure, width) for figure in figures)


def _line(figure: Figure, width: int) -> str:
    spread = f"{_short(min(figure.runs))} to {_short(max(figure.runs))}" if figure.runs else ""
    line = f"{figure.name:<{width}}  {_short(figure.value):>10} {figure.unit:<9} {spread:<20}"
    if figure.bar is None:
        return line.rstrip()
    relation = ">=" if figure.at_least else "<="
    return f"{line} bar {relation} {_short(figure.bar):<8} {'ok' if figure.passes else 'MISSED'}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
