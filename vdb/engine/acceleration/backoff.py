"""How long something that fails again and again is left alone: twice as long each time, until it succeeds."""

import time
from collections.abc import Callable
from typing import Final

__all__ = ["FIRST_S", "LONGEST_S", "Backoff"]

FIRST_S: Final = 0.1
LONGEST_S: Final = 60.0


class Backoff:
    """One thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0
        self.n_in_a_row = 0

    @property
    def is_pausing(self) -> bool:
        """Whether it is not to be tried now."""
        return self.n_in_a_row > 1 and self._clock() < self._not_before

    def fail(self) -> None:
        """It failed. The first time it is tried again at once."""
        if self.n_in_a_row:
            self._not_before = self._clock() + min(LONGEST_S, FIRST_S * 2.0 ** min(self.n_in_a_row - 1, 16))
        self.n_in_a_row += 1

    def succeed(self) -> None:
        """It works."""
        self.n_in_a_row = 0
