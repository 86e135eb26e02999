"""What the learned bar is compared with: one threshold on cosine, chosen in hindsight, in the same closed loop.

The baselines insert on a miss, look only at entries of the same category, and explore nothing. Requests without a
category go where the classifier sent them in the run that they are compared with. Only pairs of rows that are nearer
than `LEAST` matter to thresholds above it, so those are found once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.cache.closed_loop import Played
from bench.cache.questions import Arrivals, Float64s, Int64s, Questions

LEAST = 0.7
THRESHOLDS = np.arange(0.70, 1.0, 0.0025)
_BLOCK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class AtThreshold:
    """Requests, hits by meaning and false ones, by category (n_categories,)."""

    threshold: float
    n_requests: Int64s
    n_hits: Int64s
    n_false: Int64s

    @property
    def hits(self) -> float:
        """Share of requests."""
        return float(self.n_hits.sum() / self.n_requests.sum())

    @property
    def false_per_request(self) -> float:
        """Of all requests."""
        return float(self.n_false.sum() / self.n_requests.sum())

    def keeps(self, budget: float) -> bool:
        """Whether every category that can be named keeps the budget; the last one, `unknown`, is not asked."""
        return bool((self.n_false[:-1] <= budget * self.n_requests[:-1]).all())


class Hindsight:
    """The stream of a run, ready to be played with any threshold from `LEAST` on."""

    def __init__(self, questions: Questions, arrivals: Arrivals, played: Played) -> None:
        self._questions = questions
        self._n_categories = len(played.names)
        self._streams = [
            _Stream(questions, arrivals.rows[played.categories == place]) for place in range(self._n_categories)
        ]

    def at(self, threshold: float) -> AtThreshold:
        """Play it."""
        rows = [stream.at(threshold) for stream in self._streams]
        counts = np.array(rows, np.int64).reshape(-1, 3)
        return AtThreshold(threshold, counts[:, 0], counts[:, 1], counts[:, 2])

    def all(self) -> list[AtThreshold]:
        """Every threshold of the grid."""
        return [self.at(float(threshold)) for threshold in THRESHOLDS]


def best_overall(tried: list[AtThreshold], budget: float) -> AtThreshold:
    """Most hits with at most this share of requests false."""
    return max((one for one in tried if one.false_per_request <= budget), key=lambda one: one.hits)


def best_in_every_category(tried: list[AtThreshold], budget: float) -> AtThreshold:
    """Most hits with at most this share false in every category."""
    return max((one for one in tried if one.keeps(budget)), key=lambda one: one.hits)


class _Stream:
    """The requests of one category: which rows, and for each the near rows, nearest first."""

    def __init__(self, questions: Questions, rows: Int64s) -> None:
        self._unique, self._order = np.unique(rows, return_inverse=True)
        self._intents = questions.intents[self._unique]
        self._near: list[Int64s] = []
        self._cosines: list[Float64s] = []
        for near, cosines in _near_pairs(questions, self._unique):
            self._near.append(near)
            self._cosines.append(cosines)

    def at(self, threshold: float) -> tuple[int, int, int]:
        """Requests, hits by meaning, false ones."""
        is_stored = np.zeros(len(self._unique), np.bool_)
        n_hits = n_false = 0
        for row in self._order.tolist():
            if is_stored[row]:
                continue
            near = self._near[row]
            stored = is_stored[near]
            first = int(stored.argmax()) if len(near) else 0
            if len(near) and stored[first] and self._cosines[row][first] >= threshold:
                n_hits += 1
                n_false += not (self._intents[row] >= 0 and self._intents[row] == self._intents[near[first]])
            else:
                is_stored[row] = True
        return len(self._order), n_hits, n_false


def _near_pairs(questions: Questions, rows: Int64s) -> Iterator[tuple[Int64s, Float64s]]:
    vectors = questions.vectors[rows]
    for start in range(0, len(rows), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        for number, row in enumerate(cosines, start):
            near = np.flatnonzero(row >= LEAST)
            near = near[near != number]
            near = near[np.argsort(-row[near], kind="stable")]
            yield near, row[near].astype(np.float64)
