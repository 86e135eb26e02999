"""What is compared: an index that is built of a file of vectors, lies in a folder, and answers one query at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Rows = NDArray[np.integer]


class Contender(ABC):
    """One index; `open` before `search`, and `close` after it. Everything that a search needs happens in `search`."""

    efforts: ClassVar[Sequence[int]]
    """Search parameters to try, from fast to thorough."""

    needs_a_question: ClassVar[bool] = False
    """Whether it reads only when it is asked first what others read in `open`: it is asked once before it counts."""

    @abstractmethod
    def open(self, folder: Path, ram_bytes: int) -> None:
        """Ready for searches, in at most so many bytes of anonymous memory."""

    def meet(self, asker: int) -> None:
        """Make what the first search of an asker would make once and for all; nothing by default."""
        del asker

    @abstractmethod
    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        """The rows (k,) nearest to `query` (d,), nearest first; may be shorter or padded with −1. In any thread."""

    @abstractmethod
    def close(self) -> None:
        """Give up all files and mappings."""

    def counts(self) -> dict[str, float]:
        """Means per query of what it counts, since this was asked last; nothing by default."""
        return {}


class Peer(Contender):
    """An index of somebody else's, which is built here."""

    @abstractmethod
    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        """Build from a `.npy` file of vectors of length 1, float32 (n, d), such that searches need no more than
        `ram_bytes` of anonymous memory; says with which parameters."""
