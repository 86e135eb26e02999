"""Seconds of a call on a device, by the host's clock: what is launched is waited for before it is read.

A device has no clock of its own to read here, so several calls go between two readings, and the inputs rotate: a cache
that still holds those of the last call does not hold the next.
"""

import time
from collections.abc import Callable

__all__ = ["runs_of"]


def runs_of(
    call: Callable[[int], object], repeats: int, n_calls: int, settle: Callable[[], None] | None = None
) -> list[float]:
    """Seconds of one call, `repeats` times over, each the mean of `n_calls`.

    `call` is given its number, which chooses its input. As many calls as one repetition has go before, unmeasured.
    `settle` waits for what calls leave running; without it they wait themselves.
    """
    wait = settle or _nothing
    runs = []
    for repetition in range(repeats + 1):
        wait()
        began = time.perf_counter()
        for i in range(n_calls):
            call(repetition * n_calls + i)
        wait()
        if repetition:
            runs.append((time.perf_counter() - began) / n_calls)
    return runs


def _nothing() -> None:
    """Calls have waited already."""
