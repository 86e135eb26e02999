"""Chooses how a collection's rows are coded, by measurement: the cheapest encoding that reaches a target recall.

Every candidate is tried on the same sample: recorded queries, or rows held out of it, against exact answers. For each
true neighbour it is asked how many rows a search scores before it gets to the neighbour's cell, and what place the
neighbour has by the codes. That gives the recall for any budget and any number of candidates, and with the cost of a
search, measured on this machine, the cheapest effort that reaches the target. n = rows, q = queries, D = dimension.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vdb.errors import InvalidArgument
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.training import clustered, fitted, radii
from vdb.index.kmeans import Check, Tree, unasked
from vdb.index.leanvec.codes import encode, unpack
from vdb.index.leanvec.projection import Projection
from vdb.kernels.reference import Float32s, Int64s
from vdb.kernels.reference_cells import ERROR_SPREADS, LEAST_COMPARED, RADIUS_WEIGHT
from vdb.types import Metric

MEASURED_ROWS = 20_000
MEASURED_QUERIES = 300
GRID = 32
MOST_KEPT = 1_024
"""Reduced dimensions are multiples of `GRID` up to this: more eigenvectors of longer rows take minutes."""
LADDER = (1.0, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 13, 16, 20, 26)
"""Numbers of candidates that are tried, as multiples of k."""
ALIKE = 1.05
"""Costs within this of the least are taken for equal, as they are measured no better: the smallest code is chosen."""
READING_EXPONENT = 0.6
"""Rows to score grow with this power of the rows of a reading (DESIGN §2)."""
ENTRIES_PER_ROOT = 5.0
"""Entries of a reading for each unit of the square root of its rows: a leaf of a collection of 4 √n is one at least."""


class Cost(Protocol):
    """CPU µs of a search: rows scored, entries scored, candidates kept, and those compared by their full vectors."""

    def __call__(
        self, encoding: Encoding, n_rows: float, n_nodes: float, n_candidates: int, n_compared: float
    ) -> float: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An encoding; `for_queries`: with a projection learned from queries, not from rows alone."""

    encoding: Encoding
    for_queries: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate at the cheapest effort that reached the target, or at the widest where `reached` is False.

    `n_rows` are the rows that a search of the measured reading scores, `n_candidates` those it hands on.
    """

    candidate: Candidate
    cost_us: float
    recall: float
    reached: bool
    n_rows: float
    n_candidates: int


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The trial that was chosen, its projection (None where rows keep all components), and all trials."""

    best: Trial
    projection: Projection | None
    trials: tuple[Trial, ...]


def candidates(dimension: int, has_queries: bool) -> list[Candidate]:
    """All encodings that are tried for rows of that dimension."""
    reduced = list(range(GRID, min(dimension, MOST_KEPT + 1), GRID))
    found = [
        Candidate(Encoding(form, kept), for_queries)
        for for_queries in ((False, True) if has_queries else (False,))
        for form in (Form.LVQ8, Form.LVQ4)
        for kept in reduced
    ]
    return found + [Candidate(Encoding(form, dimension)) for form in Form]


def choose(
    rows: Float32s,
    queries: Float32s | None,
    metric: Metric,
    cost: Cost,
    *,
    tried: Sequence[Candidate] | None = None,
    target: float = 0.99,
    k: int = 10,
    n_reading: int | None = None,
    max_row_bytes: int | None = None,
    seed: int = 0,
    check: Check = unasked,
) -> Choice:
    """The cheapest of `tried` (default: `candidates`) that reaches `target` recall@k on a sample of prepared rows.

    `queries`, prepared, are recorded ones: half of them train projections, half are measured. `n_reading` is the size
    of reading to choose for (default: the rows measured); codes beyond `max_row_bytes` are left out while others are
    left. `check` is called now and then, and raises when it is to end. Deterministic for a seed and a cost. Raises
    InvalidArgument without rows, and for a candidate for queries where fewer than two queries are given.
    """
    if rows.ndim != 2 or len(rows) == 0:
        raise InvalidArgument("an encoding is chosen by rows")
    has_queries = queries is not None and len(queries) > 1
    if tried is None:
        tried = candidates(rows.shape[1], has_queries)
    if not has_queries and any(candidate.for_queries for candidate in tried):
        raise InvalidArgument("a projection for queries needs recorded queries")
    within = [one for one in tried if max_row_bytes is None or one.encoding.row_bytes <= max_row_bytes]
    tried = within or [min(tried, key=lambda one: one.encoding.row_bytes)]
    rng = np.random.default_rng(seed)
    base, asked, training = _split(rows, queries if has_queries else None, rng)
    projections = _projections(rows, training, tried, seed, check)
    bench = _Bench.of(base, asked, metric, k, seed, check)
    size = float(n_reading or len(base))
    trials = [
        _cheapest(measured, candidate, cost, target, size / len(base), ENTRIES_PER_ROOT * size**0.5)
        for candidate, measured in bench.measure(tried, projections)
    ]
    best = _best(trials)
    projection = projections.get(best.candidate.for_queries)
    if projection is None or best.candidate.encoding.dimension == rows.shape[1]:
        return Choice(best, None, tuple(trials))
    return Choice(best, projection.cut(best.candidate.encoding.dimension), tuple(trials))


def _split(
    rows: Float32s, queries: Float32s | None, rng: np.random.Generator
) -> tuple[Float32s, Float32s, Float32s | None]:
    """Rows to search, queries to ask, and queries to train on: none where rows that are held out ask."""
    if queries is not None:
        order = rng.permutation(len(queries))
        n_asked = min(len(order) // 2, MEASURED_QUERIES)
        base = rows[np.sort(rng.permutation(len(rows))[:MEASURED_ROWS])]
        return base, queries[order[:n_asked]], queries[order[n_asked:]]
    order = rng.permutation(len(rows))[: MEASURED_ROWS + MEASURED_QUERIES]
    n_asked = min(MEASURED_QUERIES, len(order) // 4)
    base = rows[np.sort(order[n_asked:])]
    return base, rows[order[: max(1, n_asked)]], None


def _projections(
    rows: Float32s, training: Float32s | None, tried: Sequence[Candidate], seed: int, check: Check
) -> dict[bool, Projection]:
    """By `for_queries`: the projection to the most dimensions that a candidate keeps."""
    found = {}
    for for_queries in (False, True):
        kept = [
            one.encoding.dimension
            for one in tried
            if one.for_queries == for_queries and one.encoding.dimension < rows.shape[1]
        ]
        if kept:
            found[for_queries] = fitted(rows, training if for_queries else None, max(kept), seed, check)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Of each query and true neighbour, (q, k): rows scored before its cell, and its place by the codes, from 0.

    `compared` (q, LADDER): full vectors that the kernel compares for each number of candidates.
    """

    before: Int64s
    place: Int64s
    compared: Float32s
    n_true: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What all candidates are measured against. `true` int64 (q, k) rows, −1 beyond those there are; `exact` float32
    (q, n) distances, squared for L2, less |q|²."""

    base: Float32s
    asked: Float32s
    metric: Metric
    tree: Tree
    radius: Float32s
    exact: Float32s
    true: Int64s
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, base: Float32s, asked: Float32s, metric: Metric, k: int, seed: int, check: Check) -> "_Bench":
        tree = clustered(base, len(base), seed, check)
        check()
        exact = _scores(base, base, asked, metric)
        k = min(k, len(base))
        nearest = np.argpartition(exact, k - 1, axis=1)[:, :k].astype(np.int64)
        numbers = tuple(sorted({min(len(base), max(1, round(k * factor))) for factor in LADDER}))
        return cls(base, asked, metric, tree, radii(tree, base), exact, nearest, numbers)

    def measure(
        self, tried: Sequence[Candidate], projections: dict[bool, Projection]
    ) -> Iterator[tuple[Candidate, _Measured]]:
        """Each candidate with what was measured of it; those of one projection follow each other."""
        leaves = self.tree.leaves()
        for for_queries in (False, True):
            projection = projections.get(for_queries)
            kept: dict[bool, tuple[Float32s, Float32s, Float32s]] = {}
            for candidate in (one for one in tried if one.for_queries == for_queries):
                is_reduced = candidate.encoding.dimension < self.base.shape[1]
                if is_reduced not in kept:
                    through = projection if is_reduced else None
                    kept[is_reduced] = self._projected(through, self.tree.centroid[leaves])
                d = candidate.encoding.dimension
                mine = [np.ascontiguousarray(part[:, :d]) for part in kept[is_reduced]]
                yield candidate, self._measure(candidate.encoding, mine[0], mine[1], mine[2])

    def _projected(self, projection: Projection | None, centroids: Float32s) -> tuple[Float32s, Float32s, Float32s]:
        if projection is None:
            return self.base, centroids, self.asked
        project = projection.project_rows
        return project(self.base), project(centroids), projection.project_queries(self.asked)

    def _measure(self, encoding: Encoding, rows: Float32s, centroids: Float32s, queries: Float32s) -> _Measured:
        before = self._rows_before(centroids, queries)
        estimated = _estimated(encoding, rows, queries)
        if self.metric is Metric.L2:
            estimated *= 2
            estimated += np.einsum("ij,ij->i", self.base, self.base)
        n_most = self.numbers[-1]
        first = np.argpartition(estimated, n_most - 1, axis=1)[:, :n_most]
        scores = np.take_along_axis(estimated, first, axis=1)
        order = np.argsort(scores, axis=1, kind="stable")
        first, scores = np.take_along_axis(first, order, axis=1), np.take_along_axis(scores, order, axis=1)
        wanted = np.take_along_axis(estimated, self.true, axis=1)
        place = np.empty(wanted.shape, np.int64)
        for i in range(len(wanted)):
            place[i] = np.searchsorted(scores[i], wanted[i])
        distances = np.take_along_axis(self.exact, first, axis=1)
        compared = _compared(scores, distances, self.true.shape[1], self.numbers)
        return _Measured(before, place, compared, self.true.size, self.numbers)

    def _rows_before(self, centroids: Float32s, queries: Float32s) -> Int64s:
        """Rows in cells that a search gets to before the cell of each true neighbour, int64 (q, k)."""
        leaves = self.tree.leaves()
        encoding = Encoding(Form.LVQ8, centroids.shape[1])
        products = -_estimated(encoding, centroids, queries)
        if self.metric is Metric.IP:
            norms = np.sqrt(np.einsum("ij,ij->i", self.asked, self.asked))
            score = -products - RADIUS_WEIGHT * norms[:, None] * self.radius[leaves]
        else:
            whole = self.tree.centroid[leaves]
            score = np.einsum("ij,ij->i", whole, whole) - 2 * products
        order = np.argsort(score, axis=1, kind="stable")
        sizes = self.tree.n_rows[leaves]
        ends = np.cumsum(sizes[order], axis=1)
        before = np.empty(score.shape, np.int64)
        np.put_along_axis(before, order, ends - sizes[order], axis=1)
        cell_of_node = np.zeros(len(self.tree.children), np.int64)
        cell_of_node[leaves] = np.arange(len(leaves))
        return np.take_along_axis(before, cell_of_node[self.tree.leaf_of_row[self.true]], axis=1)


def _scores(whole: Float32s, rows: Float32s, queries: Float32s, metric: Metric) -> Float32s:
    """−<q, x>, for L2 |x|² − 2 <q, x>, float32 (q, n)."""
    scores: Float32s = queries @ rows.T
    if metric is Metric.L2:
        scores *= -2
        scores += np.einsum("ij,ij->i", whole, whole)
        return scores
    return np.negative(scores, out=scores)


def _estimated(encoding: Encoding, rows: Float32s, queries: Float32s) -> Float32s:
    """−<q, x> as the kernel takes it from the codes and a query of 8 bits, float32 (q, n)."""
    if encoding.form is Form.FLOAT32:
        return np.asarray(-(queries @ rows.T))
    if encoding.form is Form.FLOAT16:
        return np.asarray(-(queries @ rows.astype(np.float16).astype(np.float32).T))
    bits = 8 if encoding.form is Form.LVQ8 else 4
    coded = encode(rows, bits)
    levels = coded.codes if bits == 8 else unpack(coded.codes, coded.dimension)
    largest = np.abs(queries).max(axis=1, keepdims=True)
    step = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    products: Float32s = (np.rint(queries / step) * step) @ levels.astype(np.float32).T
    products *= coded.step
    products += queries.sum(axis=1, keepdims=True) * coded.bias
    return np.negative(products, out=products)


def _compared(scores: Float32s, distances: Float32s, k: int, numbers: tuple[int, ...]) -> Float32s:
    """Full vectors that the kernel compares of 1 to m candidates, for each m of `numbers`: the mean over queries.

    It goes on while a candidate could be among the k nearest if its error were `ERROR_SPREADS` spreads of those seen.
    """
    n_seen = min(scores.shape[1], 4 * k)
    errors = (distances - scores)[:, :n_seen]
    mean, spread = errors.mean(axis=1, keepdims=True), errors.std(axis=1, keepdims=True)
    worst = np.partition(distances, min(k, distances.shape[1]) - 1, axis=1)[:, min(k, distances.shape[1]) - 1]
    could = (scores + mean - ERROR_SPREADS * spread <= worst[:, None]).sum(axis=1)
    n = np.maximum(could, max(LEAST_COMPARED, k + k // 2))
    return np.array([np.minimum(n, number).mean() for number in numbers], np.float32)


def _cheapest(
    measured: _Measured, candidate: Candidate, cost: Cost, target: float, scale: float, n_nodes: float
) -> Trial:
    """The cheapest (rows, candidates) that reach the target; the widest where none does."""
    n_wanted = int(np.ceil(target * measured.n_true - 1e-9))
    grown = scale**READING_EXPONENT
    best: Trial | None = None
    for number, compared in zip(measured.numbers, measured.compared, strict=True):
        before = np.sort(measured.before[measured.place < number])
        reached = len(before) >= n_wanted
        last = before[n_wanted - 1] if reached else (before[-1] if len(before) else 0)
        n_found = int(np.searchsorted(before, last, side="right"))
        n_rows = (float(last) + 1) * grown
        us = cost(candidate.encoding, n_rows, n_nodes, number, float(compared))
        trial = Trial(candidate, us, n_found / measured.n_true, reached, n_rows, number)
        if best is None or _order(trial) < _order(best):
            best = trial
    assert best is not None, "there is always a number of candidates"
    return best


def _order(trial: Trial) -> tuple[bool, float, float]:
    """Smaller is better: reached and cheap; else much found."""
    return (not trial.reached, 0.0 if trial.reached else -trial.recall, trial.cost_us)


def _best(trials: Sequence[Trial]) -> Trial:
    """The smallest code among the cheapest that reached the target, or what found most where none did."""
    first = min(trials, key=_order)
    if not first.reached:
        return first
    alike = [one for one in trials if one.reached and one.cost_us <= ALIKE * first.cost_us]
    return min(alike, key=lambda one: (one.candidate.encoding.row_bytes, one.cost_us))
