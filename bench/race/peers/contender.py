"""What takes part in a race in process: an index that is built of a file of vectors and answers one query at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Rows = NDArray[np.integer]


class LeftOut(Exception):
    """It takes no part; the message says why, in words for the report."""


class Contender(ABC):
    """One index or one database. `build` or `load` comes first, then for each setting `use` and many times `search`.

    Searches run in one thread: whatever else a library would start is to be switched off.
    """

    @property
    @abstractmethod
    def settings(self) -> Sequence[str]:
        """Search parameters from fast to thorough, each a short text for the report; read after `build`."""

    @abstractmethod
    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        """Build from `vectors` (n, d), by `metric` "l2", "cosine" or "ip", in at most so many threads; says with which
        parameters. `folder` is empty, for what lies on disk. Raises LeftOut where it cannot."""

    @abstractmethod
    def use(self, setting: str) -> None:
        """Search with these parameters from now on."""

    @abstractmethod
    def search(self, query: Float32s, k: int) -> Rows:
        """The rows (k,) nearest to `query` (d,), nearest first; may be shorter or padded with −1.

        This call is what is timed: everything that a search needs happens in it, from the plain array on.
        """

    def save(self, folder: Path) -> bool:
        """Write what `load` needs into the folder that `build` was given; False where there is no such thing."""
        del folder
        return False

    def load(self, folder: Path) -> None:
        """Be as after `build`, from what was saved, in a new process: a restart takes this and a search after it."""
        raise LeftOut("it cannot be loaded")

    def close(self) -> None:  # noqa: B027  # most hold nothing that outlives the process
        """Give up what it holds."""
