"""The threshold of support below which a collection's answers are "not found", from questions that were asked of it.

Of answerable questions at most a share `max_lost` may be refused: not just of those that were given, but of all such
questions, as surely as `CONFIDENCE` (the bound of Clopper and Pearson, Biometrika 26, 1934). Few questions bear no
threshold: 45 of which none is lost are the least for a share of .05. Within what they bear it is as high as refuses
most of the unanswerable ones, and half-way down to the next lower one that refuses as many.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["CONFIDENCE", "Calibrated", "calibrated", "lost_bound", "n_needed"]

CONFIDENCE: Final = 0.9
_STEPS: Final = 50
_DIGITS: Final = 4
"""Of a threshold: more than is measured of it."""


class Calibrated(NamedTuple):
    """`threshold`: None where the questions bear none. `lost` and `refused` are the shares of the answerable and of
    the unanswerable questions that it refuses, of those given; `bound`: of all answerable ones no more are lost."""

    threshold: float | None
    lost: float
    bound: float
    refused: float | None


def calibrated(answerable: Sequence[float], unanswerable: Sequence[float], max_lost: float) -> Calibrated:
    """From the supports of questions that can be answered, at least one, and of others, maybe none."""
    own, others = sorted(answerable), sorted(unanswerable)
    n = len(own)
    n_lost = _most_lost(n, max_lost)
    if n_lost is None:
        return Calibrated(None, 0.0, lost_bound(0, n), None)
    highest = own[n_lost] if n_lost < n else 1.0
    lower = bisect_left(others, highest)
    lowest = others[lower - 1] if lower else 0.0
    threshold = math.floor((highest + max(lowest, 0.0)) / 2 * 10**_DIGITS) / 10**_DIGITS if others else highest
    if bisect_left(others, threshold) < lower:
        threshold = highest
    n_lost = bisect_left(own, threshold)
    refused = bisect_left(others, threshold) / len(others) if others else None
    return Calibrated(threshold, n_lost / n, lost_bound(n_lost, n), refused)


def lost_bound(n_lost: int, n: int) -> float:
    """The share that is not exceeded, as surely as `CONFIDENCE`, where `n_lost` of `n` drawn were lost."""
    if n_lost >= n:
        return 1.0
    low, high = n_lost / n, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(n_lost, n, middle) > 1.0 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def n_needed(max_lost: float) -> int:
    """Answerable questions without which no threshold can be borne."""
    if max_lost >= 1.0:
        return 1
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log1p(-max_lost)) if max_lost > 0 else 0


def _most_lost(n: int, max_lost: float) -> int | None:
    """How many of `n` may be lost; None where even none is too many."""
    if lost_bound(0, n) > max_lost:
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        if lost_bound(middle, n) <= max_lost:
            low = middle
        else:
            high = middle
    return low


def _at_most(n_lost: int, n: int, share: float) -> float:
    """The probability that of `n` drawn at most `n_lost` are lost, where `share` of all are."""
    if share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    term = n * math.log1p(-share)
    odds = math.log(share) - math.log1p(-share)
    total = 0.0
    for i in range(n_lost + 1):
        total += math.exp(term)
        term += math.log((n - i) / (i + 1)) + odds if i < n else 0.0
    return total
