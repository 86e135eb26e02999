"""The category of a question that names none: that of the nearest centroid, unless two are about as near.

A centroid is the mean of a category's vectors: entries whose category was given, and a policy's examples. It is kept as
a sum, so that vectors come and go. Vectors are float32 (d,) of unit length.
"""

import numpy as np
from numpy.typing import NDArray

REJECT_MARGIN = 0.05
"""How much nearer, in cosine, the nearest centroid has to be than the second; 0 counts as second where there is one."""

Vector = NDArray[np.float32]


class Centroids:
    """The centroids of one tenant. One writer at a time; a reader beside it may see a centroid half updated, which
    moves it by less than one vector."""

    __slots__ = ("_counts", "_directions", "_names", "_rows", "_sums")

    def __init__(self, dimension: int) -> None:
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._counts: list[int] = []
        self._sums = np.zeros((0, dimension), np.float64)
        self._directions = np.zeros((0, dimension), np.float32)

    def add(self, category: str, vector: Vector) -> None:
        """Count a vector in."""
        row = self._rows.get(category)
        if row is None:
            row = self._append(category)
        self._counts[row] += 1
        self._sums[row] += vector
        self._renew(row)

    def remove(self, category: str, vector: Vector) -> None:
        """Count a vector out that was counted in; a category without vectors is nearest to nothing."""
        row = self._rows[category]
        self._counts[row] -= 1
        if self._counts[row]:
            self._sums[row] -= vector
        else:
            self._sums[row] = 0.0
        self._renew(row)

    def classify(self, vector: Vector, margin: float = REJECT_MARGIN) -> str | None:
        """The category of the nearest centroid; None where it is not nearer by `margin` than the second."""
        if not self._names:
            return None
        similarities = self._directions @ vector
        nearest = int(similarities.argmax())
        first = float(similarities[nearest])
        similarities[nearest] = -np.inf
        second = max(float(similarities.max()), 0.0) if len(similarities) > 1 else 0.0
        return self._names[nearest] if first > 0.0 and first - second >= margin else None

    def _append(self, category: str) -> int:
        """A row for a new category, in arrays of its own: whoever holds the old ones goes on with them."""
        row = len(self._names)
        empty = np.zeros((1, self._sums.shape[1]))
        self._sums = np.concatenate([self._sums, empty])
        directions = np.concatenate([self._directions, empty.astype(np.float32)])
        self._rows[category] = row
        self._names.append(category)
        self._counts.append(0)
        self._directions = directions
        return row

    def _renew(self, row: int) -> None:
        length = float(np.linalg.norm(self._sums[row]))
        self._directions[row] = self._sums[row] / length if length > 0.0 else 0.0
