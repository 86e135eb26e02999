"""Places for calls under way, of which there are so many; whoever gets none waits, and may be woken."""

import threading
import time
from collections.abc import Callable

__all__ = ["Places"]


class Places:
    """Any thread may call."""

    def __init__(self, n_places: int) -> None:
        self._n_places = n_places
        self._changed = threading.Condition()
        self._n_taken = self._n_waiting = 0

    @property
    def load(self) -> float:
        """Taken and waited for, of all; above 1 where somebody waits."""
        return (self._n_taken + self._n_waiting) / self._n_places

    def take(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a place; False where the time ran out, or `is_over` when woken."""
        until = time.monotonic() + timeout_s
        with self._changed:
            self._n_waiting += 1
            try:
                while not is_over():
                    if self._n_taken < self._n_places:
                        self._n_taken += 1
                        return True
                    if not self._changed.wait(until - time.monotonic()):
                        break
                self._changed.notify()  # it may have been woken for a place
                return False
            finally:
                self._n_waiting -= 1

    def give_back(self) -> None:
        """Let the next one have it."""
        with self._changed:
            self._n_taken -= 1
            self._changed.notify()

    def wake(self) -> None:
        """Have all that wait look whether they still want to."""
        with self._changed:
            self._changed.notify_all()
