"""The cost of a contender at a recall, of settings of which each has a recall and costs by repetition.

It is read off the line between the two settings around the recall, over those that none both cheaper and better stands
beside. Of many settings measured with noise, the cheapest are those that were lucky, the more of them the luckier: so
each repetition chooses settings, and their costs are read from the others, the least of each, as what disturbs a
measurement only adds to it. What stands is the median of what was read. Where even the fastest setting finds more, its
own cost stands; where none finds as much, there is no figure.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["at_recall", "costs_at"]

_Floats = NDArray[np.float64]


def costs_at(points: Sequence[tuple[float, Sequence[float]]], target: float) -> list[float] | None:
    """The cost at `target` by what each repetition chose, of (recall, costs by repetition) of any order; None: never as
    much."""
    recalls = np.array([recall for recall, _ in points])
    costs = np.array([runs for _, runs in points], np.float64)
    if target > recalls.max():
        return None
    n_runs = costs.shape[1]
    if n_runs == 1:
        return [_read(recalls, costs[:, 0], costs[:, 0], target)]
    others = (np.delete(costs, run, axis=1).min(axis=1) for run in range(n_runs))
    return [_read(recalls, costs[:, run], least, target) for run, least in enumerate(others)]


def at_recall(points: Sequence[tuple[float, float]], target: float) -> float | None:
    """Cost at `target` from (recall, cost) pairs of any order, measured once."""
    found = costs_at([(recall, (cost,)) for recall, cost in points], target)
    return None if found is None else found[0]


def _read(recalls: _Floats, chosen_by: _Floats, costs: _Floats, target: float) -> float:
    """The cost at `target` by `costs` between the settings that are the cheapest by `chosen_by`."""
    frontier: list[int] = []
    for place in np.lexsort((-recalls, chosen_by)).tolist():
        if not frontier or recalls[place] > recalls[frontier[-1]]:
            frontier.append(place)
    return float(np.interp(target, recalls[frontier], costs[frontier]))
