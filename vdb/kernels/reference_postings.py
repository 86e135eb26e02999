"""NumPy twins of the kernels of postings; contracts in `vdb/kernels/cpu/postings.py`."""

import numpy as np
from numpy.typing import NDArray

from vdb.kernels.reference import Int64s, UInt32s
from vdb.kernels.reference_clustering import Float64s

UInt64s = NDArray[np.uint64]

_LOW = np.uint64(0xFFFF)


def rank_postings(
    postings: UInt64s, starts: Int64s, weights: Float64s, flat: float, slope: float, allowed: UInt32s, is_limited: bool,
    top_score: Float64s, top_pid: UInt32s,
) -> int:  # fmt: skip
    """The best points by score; how many there are, or -1 where a list is damaged."""
    pids = (postings >> np.uint64(32)).astype(np.uint32)
    rises = np.diff(pids.astype(np.int64)) > 0
    rises[starts[1:-1][(starts[1:-1] > 0) & (starts[1:-1] < len(pids))] - 1] = True
    if not rises.all() or not (postings & _LOW).all():
        return -1
    found, place = np.unique(pids, return_inverse=True)
    score = np.zeros(len(found))
    parts = _parts(postings, flat, slope)
    for i, weight in enumerate(weights):
        mine = slice(starts[i], starts[i + 1])
        score[place[mine]] += weight * parts[mine]
    if is_limited:
        is_allowed = np.isin(found, allowed)
        found, score = found[is_allowed], score[is_allowed]
    is_above = score > 0
    found, score = found[is_above], score[is_above]
    best = np.lexsort((found, -score))[: len(top_pid)]
    top_score[: len(best)] = score[best]
    top_pid[: len(best)] = found[best]
    return len(best)


def score_points(
    postings: UInt64s, starts: Int64s, weights: Float64s, flat: float, slope: float, pids: UInt32s, score: Float64s
) -> None:
    """The score of each point, 0 where it has none of the terms."""
    score[:] = 0
    parts = _parts(postings, flat, slope)
    held = postings >> np.uint64(32)
    for i, weight in enumerate(weights):
        mine = held[starts[i] : starts[i + 1]]
        if len(mine):
            place = np.minimum(np.searchsorted(mine, pids.astype(np.uint64)), len(mine) - 1)
            score += np.where(mine[place] == pids, weight * parts[starts[i] + place], 0.0)


def _parts(postings: UInt64s, flat: float, slope: float) -> Float64s:
    """What each posting adds, before its term's weight."""
    frequency = np.maximum(postings & _LOW, np.uint64(1)).astype(np.float64)
    length = ((postings >> np.uint64(16)) & _LOW).astype(np.float64)
    parts: Float64s = frequency / (frequency + (flat + slope * length))
    return parts
