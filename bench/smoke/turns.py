"""Calls and yardsticks in turns: the median of the ratios of neighbours, or of the instructions of a call."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.smoke.instructions import Instructions
from bench.smoke.yardsticks import Yardstick

__all__ = ["Reading", "Watched", "measure"]

_LEAST_NS = 3_000_000
"""A block of calls takes about as long, and one of the yardstick: what the clock costs vanishes."""
_MOST_CALLS = 10_000
Reading = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Watched:
    """A call under watch. `clock` reads the nanoseconds of CPU that it is charged; None: those of the asking thread.

    `every`: it is measured in each so-manieth round, one call at a time where `is_single`, as it cannot be repeated
    at once.
    """

    name: str
    call: Callable[[], object]
    yardstick: Yardstick
    clock: Callable[[], int] | None = None
    every: int = 1
    is_single: bool = False


def measure(watched: Sequence[Watched], n_rounds: int, instructions: Instructions | None) -> dict[str, Reading]:
    """For each name its value and unit: instructions a call where they can be counted, else times the yardstick."""
    clocks = {one.name: one.clock or time.thread_time_ns for one in watched}
    loops = {one.name: 1 if one.is_single else _loops(one.call, clocks[one.name]) for one in watched}
    yards = {one.name: _loops(one.yardstick[1], time.thread_time_ns) for one in watched}
    ratios: dict[str, list[float]] = {one.name: [] for one in watched}
    counts: dict[str, list[float]] = {one.name: [] for one in watched}
    for round_number in range(n_rounds):
        for one in watched:
            if round_number % one.every:
                continue
            yard_ns = _block(one.yardstick[1], yards[one.name], time.thread_time_ns)
            counter = instructions if one.clock is None else None
            before = counter.read() if counter else 0
            ratios[one.name].append(_block(one.call, loops[one.name], clocks[one.name]) / yard_ns)
            if counter:
                counts[one.name].append((counter.read() - before) / loops[one.name])
    return {one.name: _reading(one, ratios[one.name], counts[one.name]) for one in watched}


def _reading(one: Watched, ratios: Sequence[float], counts: Sequence[float]) -> Reading:
    if counts:
        return {"value": statistics.median(counts), "unit": "instructions"}
    return {"value": statistics.median(ratios), "unit": f"x {one.yardstick[0]}"}


def _loops(call: Callable[[], object], clock: Callable[[], int]) -> int:
    """How many calls fill a block; those made here warm it up."""
    for _ in range(3):
        call()
    n = 1
    while (took := _block(call, n, clock) * n) < _LEAST_NS and n < _MOST_CALLS:
        n = min(_MOST_CALLS, max(2 * n, int(n * _LEAST_NS / max(took, 1))))
    return n


def _block(call: Callable[[], object], n: int, clock: Callable[[], int]) -> float:
    """Nanoseconds of one call, over `n`."""
    began = clock()
    for _ in range(n):
        call()
    return max(1.0, float(clock() - began)) / n
