"""The decision core of the cache without an engine: one partition per category, one tenant, every entry eligible."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.cache.closed_loop import UNKNOWN, Kind, Looked
from bench.cache.questions import Questions
from vdb.cache.calibration import Budgets, Calibration, Decision, Verdict
from vdb.cache.categories import Centroids
from vdb.cache.groups import Membership, place
from vdb.cache.labels import Label
from vdb.cache.partition import Partition
from vdb.cache.score import NEIGHBOURS, decision_score

Scored = Callable[[NDArray[np.float32], NDArray[np.uint64], NDArray[np.uint64]], float]


def similarity_alone(
    similarities: NDArray[np.float32], groups: NDArray[np.uint64], rejected: NDArray[np.uint64]
) -> float:
    """The decision score as it would be if the nearest entry were the only one."""
    return decision_score(similarities[:1], groups[:1], rejected[:1])


class CoreCache:
    """Entry numbers are 1 + the order in which rows were stored. `decide_ns` and `learn_ns` are CPU time."""

    def __init__(self, questions: Questions, budgets: Budgets, scored: Scored = decision_score) -> None:
        self._questions = questions
        self._scored = scored
        n, dimension = questions.vectors.shape
        names = (*questions.names, UNKNOWN)
        self._partitions = {name: Partition(dimension) for name in names}
        self.calibrations = {name: Calibration(budgets) for name in names}
        self._centroids = Centroids(dimension)
        self._groups = np.zeros(n + 1, np.uint64)
        self._rejected = np.zeros(n + 1, np.uint64)
        self._row_of = np.zeros(n + 1, np.int64)
        self._number_of: dict[tuple[str, int], int] = {}
        self._n_stored = 0
        self.n_decided = self.decide_ns = self.n_learned = self.learn_ns = 0

    def lookup(self, row: int, category: str | None, draw: float, load: float) -> Looked:
        """See `Cache`."""
        vector = self._questions.vectors[row]
        given = category is not None
        if category is None:
            category = self._centroids.classify(vector) or UNKNOWN
        calibration = self.calibrations[category]
        if (category, row) in self._number_of:
            calibration.count_request()
            return Looked(Kind.EXACT, category, row)
        numbers, similarities = self._partitions[category].search(vector, NEIGHBOURS)
        if not len(numbers):
            calibration.count_request()
            return Looked(Kind.MISS, category, None, pending=(given, None, None, None))
        began = time.thread_time_ns()
        groups, rejected = self._groups[numbers], self._rejected[numbers]
        decision = calibration.decide(self._scored(similarities, groups, rejected), float(similarities[0]), draw, load)
        self.decide_ns += time.thread_time_ns() - began
        self.n_decided += 1
        candidate = Membership(int(groups[0]), int(rejected[0]))
        kind = Kind.SEMANTIC if decision.verdict is Verdict.SERVE else Kind.MISS
        pending = (given, candidate, decision, float(similarities[0]))
        return Looked(kind, category, int(self._row_of[numbers[0]]), decision.is_relaxed, pending)

    def store(self, row: int, looked: Looked, is_right: bool | None) -> None:
        """See `Cache`."""
        given, candidate, decision, similarity = looked.pending
        if is_right is not None:
            self._learn(looked.category, decision, similarity, is_right)
        self._n_stored += 1
        number, vector = self._n_stored, self._questions.vectors[row]
        membership = place(number, candidate, is_right)
        self._groups[number], self._rejected[number] = membership.group, membership.rejected
        self._row_of[number] = row
        self._number_of[looked.category, row] = number
        self._partitions[looked.category].add(number, vector)
        if given:
            self._centroids.add(looked.category, vector)

    def _learn(self, category: str, decision: Decision, similarity: float, is_right: bool) -> None:
        label = Label(self.n_decided, decision.score, similarity, is_right, decision.label_weight)
        began = time.thread_time_ns()
        self.calibrations[category].learn(label)
        self.learn_ns += time.thread_time_ns() - began
        self.n_learned += 1
