"""What takes part among databases: a contender whose files are what lasts, opened by one process at a time."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np

from .contender import Contender, Float32s

N_GROUPS = 100
"""The payload of a point is a text of one of so many groups."""
_FIRST = "first.npy"


def payload(row: int) -> str:
    """What is kept with a point beside its vector."""
    return f"group {row % N_GROUPS}"


class Stored(Contender):
    """Points with ids and a payload, in files below the folder. A restart takes until the first answer is there.

    `save` closes the files, so that another process may open them; the next `use` opens them again.
    """

    _folder: Path | None = None
    _setting = ""
    _is_open = False

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        np.save(folder / _FIRST, vectors[:1])
        self._folder = folder
        said = self.fill(vectors, metric, folder, n_threads)
        self._is_open = True
        return said

    def use(self, setting: str) -> None:
        assert self._folder is not None, "build or load comes first"
        if not self._is_open:
            self.open(self._folder)
            self._is_open = True
        self.aim(setting)

    def save(self, folder: Path) -> bool:
        self.close()
        self._folder = folder
        return True

    def load(self, folder: Path) -> None:
        self._folder = folder
        first: Float32s = np.load(folder / _FIRST)[0]
        self.use(self.settings[0])
        if len(self.search(first, 1)) != 1:
            raise RuntimeError("it has no answer after a restart")

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.shut()

    @abstractmethod
    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        """Make the database in `folder`, every point durable and indexed, and leave it open: as `build`."""

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Open what `fill` made there."""

    @abstractmethod
    def aim(self, setting: str) -> None:
        """Search with these parameters from now on."""

    @abstractmethod
    def shut(self) -> None:
        """Close all files."""
