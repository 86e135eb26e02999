"""Labels: what became of a cached answer when it was compared with a fresh one, and the newest of them as arrays.

A label is learned of a lookup that was not served, so that a fresh answer was made: a miss, or a would-be hit that was
explored. `weight` is one over the probability with which such a lookup is labelled: 1 for a miss, 1 / explore for an
explored one, so that sums of weights stand for all lookups (inverse probability weighting).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

WINDOW = 4096
"""How many labels of a (tenant, category) are kept, the newest."""
_FIRST_ROOM = 64


class LabelSource(StrEnum):
    """Who compared the answers."""

    EQUAL = "equal"
    VERDICT = "verdict"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Label:
    """One comparison. `score` is the decision score of the candidate in (0, 1), `similarity` its cosine in [-1, 1]."""

    lookup_id: int
    score: float
    similarity: float
    is_right: bool
    weight: float = 1.0
    source: LabelSource = LabelSource.VERDICT
    at_ms: int = 0


class LabelWindow:
    """The newest `WINDOW` labels, oldest first: log-odds of the score float32, right bool, weight float32.

    Not safe for threads: one writer, which is also the reader.
    """

    __slots__ = ("_is_right", "_log_odds", "_n", "_weights")

    def __init__(self) -> None:
        self._n = 0
        self._log_odds = np.empty(_FIRST_ROOM, np.float32)
        self._is_right = np.empty(_FIRST_ROOM, np.bool_)
        self._weights = np.empty(_FIRST_ROOM, np.float32)

    def __len__(self) -> int:
        return min(self._n, WINDOW)

    def add(self, log_odds: float, is_right: bool, weight: float) -> None:
        """Append one; the oldest beyond the window go."""
        if self._n == len(self._log_odds):
            self._make_room()
        self._log_odds[self._n] = log_odds
        self._is_right[self._n] = is_right
        self._weights[self._n] = weight
        self._n += 1

    def extend(self, labels: Iterable[tuple[float, bool, float]]) -> None:
        """Append many: (log-odds, right, weight)."""
        for label in labels:
            self.add(*label)

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Log-odds, 1.0 where right, weights; copies, oldest first."""
        kept = slice(max(0, self._n - WINDOW), self._n)
        return (
            self._log_odds[kept].astype(np.float64),
            self._is_right[kept].astype(np.float64),
            self._weights[kept].astype(np.float64),
        )

    def _make_room(self) -> None:
        """Twice the room, and never more than two windows: then the older half makes place."""
        n_kept = min(self._n, WINDOW)
        room = min(2 * len(self._log_odds), 2 * WINDOW)
        for name in ("_log_odds", "_is_right", "_weights"):
            old = getattr(self, name)
            new = np.empty(room, old.dtype)
            new[:n_kept] = old[self._n - n_kept : self._n]
            setattr(self, name, new)
        self._n = n_kept
