"""What a search takes at a recall: settings are run once and counted, and only those around the recall are timed.

Counts of a search are the same in every run, so which setting is cheapest is decided by work counted, not by time.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.tenants.truth import TOLERANCE
from bench.tenants.workload import Float32s, Int64s, K, Workload

TARGETS = {".95": 0.95, ".99": 0.99}
"""Recalls by the name that figures have."""
N_PASSES = 5

Search = Callable[[Float32s], tuple[Int64s, Int64s]]
"""Of a query (d,): ids int64 (≤ k,) and counts int64 (c,)."""


@dataclass(frozen=True, slots=True)
class Point:
    """A setting: mean recall, mean counts by name, and the work that they come to."""

    setting: str
    recall: float
    counts: dict[str, float]
    work: float


def run(workload: Workload, setting: str, search: Search, names: Sequence[str], work: Callable[..., float]) -> Point:
    """Ask all queries once. `work` takes the mean counts by name."""
    answers = np.full((len(workload.queries), K), -1, np.int64)
    counted = []
    for i, query in enumerate(workload.queries):
        ids, counts = search(query)
        answers[i, : len(ids)] = ids
        counted.append(counts[: len(names)])
    means = dict(zip(names, np.mean(counted, axis=0).tolist(), strict=True))
    return Point(setting, recall(workload, answers), means, work(means))


def recall(workload: Workload, answers: Int64s) -> float:
    """Mean recall of ids int64 (q, K), padded with −1, where one tenant owns all: as `judge` has it, many times faster.

    It counts by distance: a hit is right that is no farther than the K-th neighbour, and a tolerance.
    """
    limits = workload.truth.distances[:, -1:]
    limits = limits + TOLERANCE * np.maximum(1.0, np.abs(limits))
    hits = workload.vectors[np.maximum(answers, 0)].astype(np.float64)
    products = np.einsum("qkd,qd->qk", hits, workload.queries.astype(np.float64))
    is_near = (1 - products <= limits) & (answers >= 0)
    return float(is_near.sum(axis=1).mean() / answers.shape[1])


def around(points: Sequence[Point], target: float) -> tuple[Point, Point, float] | None:
    """Two settings and the share of the second: on the line between them recall is the target, at the least work.

    Where the least setting finds more, it stands alone; None where none finds as much.
    """
    frontier: list[Point] = []
    for point in sorted(points, key=lambda one: (one.work, -one.recall)):
        if not frontier or point.recall > frontier[-1].recall:
            frontier.append(point)
    if frontier[-1].recall < target:
        return None
    above = next(i for i, point in enumerate(frontier) if point.recall >= target)
    if above == 0:
        return frontier[0], frontier[0], 0.0
    low, high = frontier[above - 1], frontier[above]
    return low, high, (target - low.recall) / (high.recall - low.recall)


def between(low: float, high: float, share: float) -> float:
    """The value at a share of the way."""
    return low + share * (high - low)


def cpu_us(workload: Workload, search: Callable[[Float32s], object]) -> float:
    """CPU of the thread per query, µs: the median of passes over all queries, after one that is not timed."""
    passes = []
    for _ in range(1 + N_PASSES):
        began = time.thread_time()
        for query in workload.queries:
            search(query)
        passes.append((time.thread_time() - began) * 1e6 / len(workload.queries))
    return statistics.median(passes[1:])
