"""An index that notes its changes while a successor is made of it, to do them there as well. One writer at a time."""

from collections.abc import Callable
from typing import Any, Self


class Noting:
    """What is written between the moment that a successor is made of and its turn to answer is done on both."""

    _log: list[Callable[[Any], None]] | None = None

    @property
    def n_noted(self) -> int:
        """Changes that were not done on the successor yet."""
        return len(self._log or ())

    def replay(self, successor: Self, n_most: int | None = None) -> None:
        """Do the changes noted so far, or the first of them, on the successor. The last time under the lock."""
        assert self._log is not None, "begin_layout comes first"
        changes = self._log[:n_most]
        for change in changes:
            change(successor)
        del self._log[: len(changes)]

    def abandon_layout(self) -> None:
        """No successor is being made any more."""
        self._log = None

    def _begin_noting(self) -> None:
        self._log = []

    def _note(self, change: Callable[[Self], None]) -> None:
        if self._log is not None:
            self._log.append(change)
