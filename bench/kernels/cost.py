"""CPU time of calls, and how fast one core reads."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba import njit

_LEAST_NS = 200_000
"""A measurement repeats its call until it is about this long: the clock's own cost vanishes."""


def cheapest(calls: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """CPU nanoseconds of one call of each, `repeats` times, in turn: what disturbs the machine disturbs all alike."""
    for call in calls.values():
        call()
    loops = {name: max(1, int(_LEAST_NS / max(1, _nanoseconds(call, 1)))) for name, call in calls.items()}
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            runs[name].append(_nanoseconds(call, loops[name]))
    return runs


def _nanoseconds(call: Callable[[], None], n: int) -> float:
    before = time.thread_time_ns()
    for _ in range(n):
        call()
    return (time.thread_time_ns() - before) / n


@njit(nogil=True, fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
def _sum(words: Any) -> Any:
    total = np.uint64(0)
    for i in range(words.shape[0]):
        total += words[i]
    return total


def gigabytes_per_s(n_bytes: int, repeats: int) -> float:
    """What one core reads of `n_bytes`, over and over, at best."""
    words = np.ones(n_bytes // 8, np.uint64)
    runs = cheapest({"read": lambda: _sum(words)}, repeats)["read"]
    return n_bytes / min(runs)
