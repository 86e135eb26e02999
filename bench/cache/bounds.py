"""How sure a share is that was counted."""

import math

_HALVINGS = 60


def lower_bound(n_found: int, n: int, confidence: float = 0.95) -> float:
    """The one-sided Clopper-Pearson bound: the least share with which `n_found` of `n` or more are that likely."""
    if n_found <= 0:
        return 0.0
    low, high = 0.0, n_found / n
    for _ in range(_HALVINGS):
        share = (low + high) / 2.0
        if _at_least(n_found, n, share) < 1.0 - confidence:
            low = share
        else:
            high = share
    return low


def _at_least(n_found: int, n: int, share: float) -> float:
    """The chance of `n_found` or more of `n`."""
    fewer = math.fsum(math.exp(_log_chance(k, n, share)) for k in range(n_found))
    return 1.0 - fewer


def _log_chance(k: int, n: int, share: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(share) + (n - k) * math.log1p(-share)
