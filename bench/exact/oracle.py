"""The truth of exact search: all distances in NumPy, float64, over the rows a caller may see and a filter lets pass.

Recall counts by distance: a hit is right if it may be seen, matches, is named once, says its true distance, and that
is within the tolerance of the k-th nearest. Rows at equal distance stand for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.protocol.answers import Hit

TOLERANCE = 1e-5
"""Of a distance, relative above 1 and absolute below: float32 sums of some hundred terms."""

Float64s = NDArray[np.float64]


@dataclass(slots=True)
class Tally:
    """What was asked for and what came: `n_wrong` are hits that should not be there or say a wrong distance."""

    n_expected: int = 0
    n_right: int = 0
    n_wrong: int = 0

    def add(self, right: int, n_hits: int, expected: int) -> None:
        self.n_right += right
        self.n_wrong += n_hits - right
        self.n_expected += expected

    @property
    def recall(self) -> float:
        return self.n_right / self.n_expected if self.n_expected else 1.0


def distances(metric: str, query: NDArray[np.float32], rows: Float64s) -> Float64s:
    """Distances (n,) as the API states them."""
    wide = query.astype(np.float64)
    if metric == "l2":
        return np.asarray(np.linalg.norm(rows - wide, axis=1))
    products = rows @ wide
    if metric == "ip":
        return np.asarray(-products)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(wide)
    return np.asarray(1 - np.divide(products, norms, out=np.zeros_like(products), where=norms > 0))


def judge(tally: Tally, hits: Sequence[Hit], allowed: NDArray[np.int64], true: Float64s, limit: int) -> None:
    """Count one answer; `true` are the distances of the rows `allowed`, whose ids are `p<row>`."""
    expected = min(limit, len(allowed))
    if expected == 0:
        tally.add(0, len(hits), 0)
        return
    worst = float(np.partition(true, expected - 1)[expected - 1])
    place = {f"p{row}": i for i, row in enumerate(allowed.tolist())}
    right = {hit.id for hit in hits if hit.id in place and _is_right(hit, float(true[place[hit.id]]), worst)}
    tally.add(len(right), len(hits), expected)


def _is_right(hit: Hit, true: float, worst: float) -> bool:
    tolerance = TOLERANCE * max(1.0, abs(true))
    if not isinstance(hit.distance, float):
        return False
    return abs(hit.distance - true) <= tolerance and true <= worst + tolerance
