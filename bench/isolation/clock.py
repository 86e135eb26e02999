"""A clock that the run moves: every module of the engine that reads the time reads it here."""

import sys
from typing import Self

from vdb.engine import shard

START_MS = 1_900_000_000_000


class Clock:
    """Replaces the engine's `epoch_ms` while it is entered. One at a time in a process."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._real = shard.epoch_ms

    def __enter__(self) -> Self:
        self._put(self._real, lambda: self.now_ms)
        return self

    def __exit__(self, *_: object) -> None:
        self._put(shard.epoch_ms, self._real)

    @staticmethod
    def _put(old: object, new: object) -> None:
        """Modules import the function by name, so each of their names is replaced."""
        for name, module in list(sys.modules.items()):
            if name.startswith("vdb.engine.") and getattr(module, "epoch_ms", None) is old:
                module.epoch_ms = new  # type: ignore[attr-defined]
