"""Maximal marginal relevance: relevant candidates first, those like what was chosen already later.

Source: Carbonell and Goldstein, SIGIR 1998.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["mmr"]


def mmr(relevance: NDArray[np.float64], vectors: NDArray[np.float32], k: int, diversity: float) -> NDArray[np.int64]:
    """The order of the first k candidates, int64 (min(k, n),): places in `relevance`.

    relevance (n,), finite, higher is better, of any scale: it is brought to [0, 1] over the candidates. vectors (n, d),
    unit rows; zeros where there is none. diversity in [0, 1]: each next one is the candidate with the largest
    (1 − diversity) · relevance − diversity · (its largest cosine to those chosen); 0 is the order of relevance. Equal
    ones keep their order.
    """
    n = len(relevance)
    order = np.empty(min(k, n), np.int64)
    if not len(order):
        return order
    least, most = float(relevance.min()), float(relevance.max())
    spread = most / 2.0 - least / 2.0  # halves: the difference of two finite numbers may not be finite
    wanted = (relevance / 2.0 - least / 2.0) / spread if spread > 0.0 else np.ones(n)
    likeness = np.full(n, -1.0)
    score = (1.0 - diversity) * wanted
    left = np.ones(n, np.bool_)
    for place in range(len(order)):
        chosen = int(np.argmax(np.where(left, score, -np.inf)))
        order[place], left[chosen] = chosen, False
        likeness = np.maximum(likeness, (vectors @ vectors[chosen]).astype(np.float64))
        score = (1.0 - diversity) * wanted - diversity * likeness
    return order
