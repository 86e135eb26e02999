"""When to try again what failed: at once it would only read a whole collection in vain, every second."""

import time

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 600.0
"""After one failure, and at most: each doubles the wait."""
OTHERWISE = 2.0
"""A collection that is this many times what it was is tried at once."""


class Attempts:
    """Of one collection's index, by the thread that works on it."""

    def __init__(self) -> None:
        self._wait_s = 0.0
        self._not_before_s = 0.0
        self._n_points = 0

    def are_due(self, n_points: int) -> bool:
        """Whether to try with so many points."""
        if self._wait_s and time.monotonic() < self._not_before_s and n_points < OTHERWISE * self._n_points:
            return False
        self._n_points = n_points
        return True

    def fail(self) -> None:
        """The last attempt failed."""
        self._wait_s = min(max(FIRST_WAIT_S, 2 * self._wait_s), LONGEST_WAIT_S)
        self._not_before_s = time.monotonic() + self._wait_s

    def succeed(self) -> None:
        self._wait_s = 0.0
