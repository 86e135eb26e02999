"""What takes part among databases: a contender whose files are what lasts, opened by one process at a time."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from .contender import Contender, Float32s

N_GROUPS = 100
"""The payload of a point is a text of one of so many groups."""


def payload(row: int) -> str:
    """What is kept with a point beside its vector."""
    return f"group {row % N_GROUPS}"


class Stored(Contender):
    """Points with ids and a payload, in files below the folder. `load` opens them.

    `save` closes the files, so that another process may open them; the next `use` opens them again.
    """

    _folder: Path | None = None
    _setting = ""
    _is_open = False

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
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
        self.open(folder)
        self._is_open = True

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
