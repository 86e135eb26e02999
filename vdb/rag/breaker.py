"""Leaves a server alone that failed several times in a row: a second, then twice as long each time.

When that time is over one call is let through; the others wait for what becomes of it.
"""

import threading
import time
from collections.abc import Callable

from vdb.errors import ModelUnavailable

__all__ = ["LONGEST_PAUSE_S", "N_FAILURES", "Breaker"]

LONGEST_PAUSE_S = 30.0
"""Nobody waits longer before another attempt: a server that wants more is reported as it is."""
N_FAILURES = 5
"""Calls in a row that failed, until the server is left alone."""


class Breaker:
    """Of one server. Any thread may call; whoever enters leaves."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`name` is what errors call the server."""
        self._name, self._clock = name, clock
        self._lock = threading.Lock()
        self._n_failed = 0
        self._asked_from = 0.0
        self._is_probed = False

    @property
    def is_open(self) -> bool:
        """Whether a call would be refused now."""
        with self._lock:
            return self._left_s() > 0.0

    def enter(self) -> bool:
        """Begin a call; returns whether it is the one that finds out. Raises ModelUnavailable."""
        with self._lock:
            left_s = self._left_s()
            if left_s > 0.0:
                raise ModelUnavailable(
                    f"{self._name} is not asked for a while: it failed {self._n_failed} times in a row",
                    retry_after_s=left_s,
                )
            is_probe = self._n_failed >= N_FAILURES
            self._is_probed = self._is_probed or is_probe
            return is_probe

    def leave(self, is_probe: bool, has_worked: bool | None) -> None:
        """End a call; None where it does not tell whether the server works."""
        with self._lock:
            if is_probe:
                self._is_probed = False
            if has_worked:
                self._n_failed = 0
                self._asked_from = 0.0
            elif has_worked is False:
                self._n_failed += 1
                if self._n_failed >= N_FAILURES:
                    n_doubled = min(self._n_failed - N_FAILURES, 10)  # a server may be away for days
                    self._asked_from = self._clock() + min(2.0**n_doubled, LONGEST_PAUSE_S)

    def _left_s(self) -> float:
        left_s = self._asked_from - self._clock()
        return 1.0 if left_s <= 0.0 and self._is_probed else left_s
