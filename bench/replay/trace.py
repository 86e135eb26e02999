"""Arrivals with their token counts, from a file or made from a seed.

Forms of files, by what is in them, also packed by gzip: CSV with the columns TIMESTAMP (ISO 8601), ContextTokens and
GeneratedTokens, as the Azure LLM inference traces have; JSON Lines with `timestamp` (ms), `input_length` and
`output_length`, as Mooncake's have.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np

from bench.tenants.workload import Float64s, Int64s

__all__ = ["BadTrace", "Trace", "generated", "read"]


_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_N_GENERATED, _PER_S = 8_000, 2.5
_SWING, _MEMORY, _IN_A_BURST = 1.0, 0.9, 8.0
"""Of what is made: the deviation of the rate's logarithm, how much of it lasts from second to second, and the mean
number of requests that come together."""


class BadTrace(Exception):
    """A file is no trace; the message says where and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in the order of their arrival: seconds from the first float64 (n,), tokens int64 (n,) of either kind."""

    source: str
    at_s: Float64s
    context: Int64s
    generated: Int64s

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def per_s(self) -> float:
        """Mean rate from the first request to the last."""
        return (len(self) - 1) / float(self.at_s[-1]) if len(self) > 1 and self.at_s[-1] > 0 else float(len(self))

    def sped_up(self, factor: float) -> "Trace":
        """The same requests in 1/`factor` of the time."""
        return replace(self, at_s=self.at_s / factor)

    def first(self, seconds: float) -> "Trace":
        """What arrives in the first `seconds`."""
        n = int(np.searchsorted(self.at_s, seconds, side="right"))
        return replace(self, at_s=self.at_s[:n], context=self.context[:n], generated=self.generated[:n])


def read(path: Path) -> Trace:
    """The trace of a file. Raises BadTrace."""
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            first = next(lines, (0, ""))
            parse = _json_lines if first[1].lstrip().startswith("{") else _csv
            rows = list(parse(chain([first], lines)))
    except (OSError, UnicodeError, EOFError) as exc:
        raise BadTrace(f"{path} cannot be read: {exc}") from exc
    except BadTrace as exc:
        raise BadTrace(f"{path}: {exc}") from exc
    if not rows:
        raise BadTrace(f"{path}: there are no requests in it")
    return _trace(path.name, np.array(rows, np.float64))


def generated(seed: int) -> Trace:
    """8,000 bursty arrivals in the manner of the Azure trace of code: a rate that swings for seconds, bursts in it."""
    rng = np.random.default_rng([seed, 40])
    n_seconds = 4 * int(_N_GENERATED / _PER_S)
    swing, level = np.empty(n_seconds), 0.0
    for second, step in enumerate(rng.standard_normal(n_seconds) * _SWING * np.sqrt(1 - _MEMORY**2)):
        level = _MEMORY * level + step
        swing[second] = level
    rate = np.exp(swing - _SWING**2 / 2) * _PER_S / _IN_A_BURST
    starts = np.repeat(np.arange(n_seconds, dtype=np.float64), rng.poisson(rate))
    starts += rng.random(len(starts))
    sizes = rng.geometric(1 / _IN_A_BURST, len(starts))
    at_s = np.repeat(starts, sizes) + rng.exponential(0.05, int(sizes.sum()))
    at_s = np.sort(at_s)[:_N_GENERATED]
    n = len(at_s)
    context = np.clip(rng.lognormal(np.log(1_500), 1.2, n), 8, 8_000)
    written = np.clip(rng.lognormal(np.log(15), 1.0, n), 1, 2_000)
    return _trace(f"made from the seed {seed}", np.stack([at_s, context, written], axis=1))


def _trace(source: str, rows: Float64s) -> Trace:
    """Rows (n, 3) of seconds and tokens as a trace that begins at 0."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return Trace(source, rows[:, 0] - rows[0, 0], rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64))


def _csv(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[float, float, float]]:
    numbered = iter(lines)
    header = next(csv.reader([next(numbered, (0, ""))[1].lstrip("\ufeff")]), [])
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise BadTrace(f"has no column {missing[0]}: CSV with {', '.join(_COLUMNS)}, or JSON Lines, is read")
    places = [header.index(name) for name in _COLUMNS]

    def parsed(line: str) -> tuple[float, float, float]:
        fields = next(csv.reader([line]))
        at, context, written = (fields[place] for place in places)
        return datetime.fromisoformat(at).timestamp(), float(int(context)), float(int(written))

    yield from _each(numbered, parsed)


def _json_lines(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[float, float, float]]:
    def parsed(line: str) -> tuple[float, float, float]:
        row = json.loads(line)
        return float(row["timestamp"]) / 1e3, float(row["input_length"]), float(row["output_length"])

    yield from _each(lines, parsed)


def _each(
    lines: Iterable[tuple[int, str]], parsed: Callable[[str], tuple[float, float, float]]
) -> Iterator[tuple[float, float, float]]:
    for number, line in lines:
        try:
            row = parsed(line)
        except (ValueError, KeyError, IndexError, TypeError) as exc:
            raise BadTrace(f"line {number} is no request: {exc!r}") from exc
        if not all(np.isfinite(row)) or min(row[1:]) < 0:
            raise BadTrace(f"line {number}: times and tokens are finite, tokens at least 0")
        yield row
