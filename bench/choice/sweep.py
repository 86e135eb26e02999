"""The truth that a choice is held against: a real index for every candidate, searched at every effort.

One tenant owns all rows. For each number of candidates the least budget that reaches the target on the queries asked is
found by halving; what is cheapest of those by CPU time is the candidate's cost.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.choice.corpora import Corpus
from bench.tenants.workload import Float32s
from vdb.index.curator.choice import Candidate
from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.model import Model
from vdb.index.curator.state import NOTHING
from vdb.index.curator.training import clustered, fitted, radii
from vdb.index.leanvec.projection import Projection
from vdb.kernels import Kernels
from vdb.kernels.reference import UInt32s
from vdb.types import Metric

K = 10
CANDIDATES = (10, 12, 15, 20, 30, 40, 60, 100, 180)
N_HALVINGS = 6
_TENANT = 1
_NEARLY = 1.15
"""Costs within this of the least so far are timed with care."""


@dataclass(frozen=True, slots=True)
class Swept:
    """The cheapest effort of a candidate that reaches the target; `us` is infinite where none does."""

    us: float
    recall: float
    effort: Effort


class Sweep:
    """Indexes of one corpus that differ in their encoding alone."""

    def __init__(self, corpus: Corpus, kernels: Kernels, target: float, seed: int) -> None:
        self._corpus, self._kernels, self._target = corpus, kernels, target
        self._tree = clustered(corpus.rows, len(corpus.rows), seed)
        self._radius = radii(self._tree, corpus.rows)
        self._seed = seed
        self._projections: dict[bool, Projection] = {}
        self._bounds = self._exact()

    def of(self, candidate: Candidate) -> Swept:
        """The candidate's cheapest effort."""
        index = self._index(candidate)
        best = Swept(np.inf, 0.0, Effort(0, 0))
        for effort, recall in self._efforts(index):
            us = self.time(index, effort, 1)
            if us < _NEARLY * best.us:
                us = min(us, self.time(index, effort, 3))
            if us < best.us:
                best = Swept(us, recall, effort)
        return best

    def again(self, candidate: Candidate, effort: Effort) -> float:
        """CPU µs of a query at that effort, timed with care."""
        return self.time(self._index(candidate), effort, 9)

    def time(self, index: CuratorIndex, effort: Effort, n_runs: int) -> float:
        """CPU µs of a query, the least of some runs over all queries."""
        best = float("inf")
        for _ in range(n_runs):
            started = time.thread_time_ns()
            for query in self._corpus.asked:
                self._search(index, query, effort)
            best = min(best, (time.thread_time_ns() - started) / 1_000 / len(self._corpus.asked))
        return best

    def _efforts(self, index: CuratorIndex) -> Iterator[tuple[Effort, float]]:
        n = len(self._corpus.rows)
        for m in CANDIDATES:
            low, high = 0, n
            recall = self._recall(index, Effort(n, m))
            if recall < self._target:
                continue
            for _ in range(N_HALVINGS):
                middle = int(np.sqrt(max(low, 64) * high))
                found = self._recall(index, Effort(middle, m))
                if found >= self._target:
                    high, recall = middle, found
                else:
                    low = middle
            yield Effort(high, m), recall

    def _recall(self, index: CuratorIndex, effort: Effort) -> float:
        total = 0
        for query, bound in zip(self._corpus.asked, self._bounds, strict=True):
            found = self._search(index, query, effort)
            total += min(int((found.distance <= bound).sum()), K)
        return total / (K * len(self._bounds))

    def _search(self, index: CuratorIndex, query: Float32s, effort: Effort) -> Found:
        mine = index.state.reading(_TENANT)
        return index.search(index.state, mine, NOTHING, query, K, 1, 0, effort, kernels=self._kernels)

    def _exact(self) -> Float32s:
        rows, asked, metric = self._corpus.rows, self._corpus.asked, self._corpus.metric
        products = asked @ rows.T
        if metric is Metric.L2:
            distances = np.einsum("ij,ij->i", rows, rows) - 2 * products
            distances += np.einsum("ij,ij->i", asked, asked)[:, None]
        else:
            distances = (1 if metric is Metric.COSINE else 0) - products
        last = np.partition(distances, K - 1, axis=1)[:, K - 1]
        return np.asarray(last + 1e-5 * np.maximum(np.abs(last), 1e-2))

    def _index(self, candidate: Candidate) -> CuratorIndex:
        rows = self._corpus.rows
        encoding = candidate.encoding
        projection = None
        if encoding.dimension < rows.shape[1]:
            projection = self._projection(candidate.for_queries).cut(encoding.dimension)
        tree = self._tree
        model = Model(self._corpus.metric, encoding, projection, tree.children, tree.centroid, self._radius)
        n = len(rows)
        pids, owners = np.arange(n, dtype=np.uint32), np.full(n, _TENANT, np.uint32)
        nobody = (np.zeros(1, np.int64), np.zeros(0, np.uint32))
        none = np.zeros(0, np.uint32)
        held = Held(rows)
        return CuratorIndex.build(model, pids, owners, np.zeros(n, np.int64), none, nobody, held, 1, self._kernels)

    def _projection(self, for_queries: bool) -> Projection:
        if for_queries not in self._projections:
            rows, recorded = self._corpus.rows, self._corpus.recorded if for_queries else None
            self._projections[for_queries] = fitted(rows, recorded, rows.shape[1], self._seed)
        return self._projections[for_queries]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Vectors that are only read."""

    rows: Float32s

    def put(self, slots: UInt32s, vectors: Float32s) -> None:
        """Nothing is put."""
