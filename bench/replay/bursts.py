"""How bursty arrivals are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.tenants.workload import Float64s

__all__ = ["Bursts", "bursts", "dispersion"]


_FEWEST_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class Bursts:
    """Of a Poisson process `variation` and both dispersions are 1. nan where there is too little to say.

    `variation`: coefficient of variation of the gaps between arrivals. `dispersion_1s`, `dispersion_10s`: variance of
    the arrivals in windows of that length, over their mean. `peak`: the most arrivals in a window of 1 s over the mean.
    """

    variation: float
    dispersion_1s: float
    dispersion_10s: float
    peak: float


def bursts(at_s: Float64s) -> Bursts:
    """Of ascending moments, seconds."""
    gaps = np.diff(at_s)
    mean = float(gaps.mean()) if len(gaps) else 0.0
    counts = _counts(at_s, 1.0)
    return Bursts(
        float(gaps.std()) / mean if mean > 0 else float("nan"),
        dispersion(at_s, 1.0),
        dispersion(at_s, 10.0),
        float(counts.max() / counts.mean()) if len(counts) >= _FEWEST_WINDOWS else float("nan"),
    )


def dispersion(at_s: Float64s, window_s: float) -> float:
    """The index of dispersion of counts in whole windows; nan for fewer than five windows."""
    counts = _counts(at_s, window_s)
    if len(counts) < _FEWEST_WINDOWS or not counts.mean():
        return float("nan")
    return float(counts.var() / counts.mean())


def _counts(at_s: Float64s, window_s: float) -> NDArray[np.int64]:
    """Arrivals in each whole window from the first arrival on."""
    if not len(at_s):
        return np.zeros(0, np.int64)
    places = ((at_s - at_s[0]) / window_s).astype(np.int64)
    n_whole = int((at_s[-1] - at_s[0]) / window_s)
    return np.bincount(places, minlength=n_whole + 1)[:n_whole]
