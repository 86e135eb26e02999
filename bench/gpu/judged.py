"""Whether what a device found is what it should have: by distance, so that ties cost nothing."""

import numpy as np

from vdb.kernels.reference import Float32s, Int64s

__all__ = ["largest_gap", "n_other", "recall"]


def recall(distance: Float32s, true: Float32s, slack: float) -> float:
    """The share of found distances (q, k) that are within the k-th true one (q, k), and `slack` more."""
    return float((distance <= true[:, -1:] + np.float32(slack)).mean())


def largest_gap(distance: Float32s, expected: Float32s) -> float:
    """The largest difference of two lists of distances in order; padding (+inf) on both sides is none."""
    both = np.isinf(distance) & np.isinf(expected)
    with np.errstate(invalid="ignore"):
        gaps = np.where(both, np.float32(0), np.abs(distance - expected))
    return float(gaps.max(initial=0))


def n_other(rows: Int64s, expected: Int64s) -> int:
    """Queries whose rows (q, k) are not the expected ones in the expected order."""
    return int((rows != expected).any(axis=1).sum())
