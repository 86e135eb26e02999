"""What a search costs here: its kernel is timed on made-up rows, a fraction of a second for each form.

    µs = start + project · D · d + row(form, bytes) · rows + row(LVQ8, d) · entries + entering · e + vector · compared

A row's cost is linear in its bytes between measured widths; a vector that is compared costs what `VECTOR_ROWS` rows
of float32 cost, because it lies anywhere. Of n rows in random order e = m (1 + ln(n / m)) enter a
heap of the m best. Times are CPU time of the calling thread. A row costs the same of 16,384 rows as of 120,000 (within
4 %), so few are made up.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdb.index.curator.choice import Cost
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.state import NOTHING
from vdb.index.leanvec.projection import Projection
from vdb.kernels import Kernels
from vdb.kernels.reference import Float32s, UInt32s
from vdb.types import Metric

N_ROWS = 16_384
MAX_BYTES = 64 << 20
"""Of made-up vectors: fewer rows where they are long."""
SHORT, LONG = 256, 1_920
"""Rows of the two readings that are timed: lists that are scanned whole, spread over all rows."""
FEW, MANY = 10, 80
"""Candidates of the two searches that are timed."""
N_QUERIES, N_RUNS = 24, 15
VECTOR_ROWS = 3.0
_EVERYTHING = 1 << 40


@dataclass(frozen=True, slots=True)
class Costs:
    """Constants of the formula, in µs; a `Cost`. `rows`: of each form, (bytes, µs) at one or two widths."""

    dimension: int
    start: float
    project: float
    entering: float
    vector: float
    rows: dict[Form, tuple[tuple[int, float], ...]]

    def __call__(
        self, encoding: Encoding, n_rows: float, n_nodes: float, n_candidates: int, n_compared: float
    ) -> float:
        """See `choice.Cost`."""
        projected = encoding.dimension if encoding.dimension < self.dimension else 0
        node = Encoding(Form.LVQ8, encoding.dimension)
        return (
            self.start
            + self.project * self.dimension * projected
            + self._row(encoding) * n_rows
            + self._row(node) * n_nodes
            + self.entering * _entering(n_rows, n_candidates)
            + self.vector * n_compared
        )

    def _row(self, encoding: Encoding) -> float:
        points = self.rows[encoding.form]
        widths = [float(width) for width, _ in points]
        return float(np.interp(encoding.row_bytes, widths, [us for _, us in points]))


def measured_costs(dimension: int, metric: Metric, kernels: Kernels) -> Cost:
    """Time the kernels on rows of that dimension. Not deterministic: it is a measurement."""
    least, middle = min(32, dimension), dimension // 2
    narrow, half, wide = (Encoding(Form.LVQ8, d) for d in (least, middle, dimension))
    timed = [Encoding(form, dimension) for form in Form]
    timed += [narrow, Encoding(Form.LVQ4, least)] if least < dimension else []
    timed += [half] if least < middle else []
    taken = _Timings(dimension, metric, kernels).of(timed)
    entering = float(np.median([one.entering for one in taken.values()]))
    vector = VECTOR_ROWS * taken[Encoding(Form.FLOAT32, dimension)].row
    rows = {
        form: tuple(sorted((one.row_bytes, took.row) for one, took in taken.items() if one.form is form))
        for form in Form
    }
    project = 0.0
    if least < middle:
        more = taken[half].start - taken[narrow].start
        project = max(0.0, more / (dimension * (middle - least)))
    return Costs(dimension, taken[wide].start, project, entering, vector, rows)


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one encoding's searches take, in µs: of no rows, for a row, for a row that enters the heap."""

    start: float
    row: float
    entering: float


def _entering(n_rows: float, m: int) -> float:
    """Rows that enter a heap of the m best of so many in random order."""
    return min(n_rows, m) * (1 + float(np.log(max(n_rows / m, 1.0))))


class _Timings:
    """Indexes of made-up rows, and what a search of them takes."""

    def __init__(self, dimension: int, metric: Metric, kernels: Kernels) -> None:
        rng = np.random.default_rng(0)
        n = int(np.clip(MAX_BYTES // (4 * dimension), LONG, N_ROWS))
        vectors = rng.standard_normal((n, dimension), dtype=np.float32)
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
        self._queries = self._vectors[rng.choice(n, N_QUERIES)]
        self._metric, self._kernels = metric, kernels
        lists = [np.sort(rng.choice(n, size, replace=False)).astype(np.uint32) for size in (SHORT, LONG)]
        self._granted = (np.array([0, SHORT, SHORT + LONG], np.int64), np.concatenate(lists))

    def of(self, encodings: Sequence[Encoding]) -> dict[Encoding, _Taken]:
        """Solved, for each, from searches of two lists for two numbers of candidates.

        Runs of all encodings take turns, so that what else the machine does meets all of them alike; of each the lower
        quartile counts: more is others' work, and a clock that stood still for a moment makes the least too little.
        """
        indexes = [self._index(encoding) for encoding in encodings]
        asked = [(tenant, n, m) for tenant, n in ((1, SHORT), (2, LONG)) for m in (FEW, MANY)]
        runs = [
            [[self._time(index, tenant, m) for tenant, _, m in asked] for index in indexes] for _ in range(1 + N_RUNS)
        ]
        times = np.quantile(np.array(runs[1:]), 0.25, axis=0)  # the first one warmed up
        equations = np.array([[1.0, n, _entering(n, m)] for _, n, m in asked])
        found = np.maximum(np.linalg.lstsq(equations, times.T, rcond=None)[0].T, 0.0)
        return {one: _Taken(*row) for one, row in zip(encodings, found.tolist(), strict=True)}

    def _index(self, encoding: Encoding) -> CuratorIndex:
        n, dimension = self._vectors.shape
        projection = None
        if encoding.dimension < dimension:
            directions = np.eye(encoding.dimension, dimension, dtype=np.float32)
            mean = np.zeros(dimension, np.float32)
            projection = Projection(directions, directions, mean, np.ones(encoding.dimension))
        leaf, centroid = np.full((1, 2), -1, np.int32), np.zeros((1, dimension), np.float32)
        model = Model(self._metric, encoding, projection, leaf, centroid, np.ones(1, np.float32))
        owners, tenants = np.full(n, 3, np.uint32), np.array([1, 2], np.uint32)
        pids = np.arange(n, dtype=np.uint32)
        nothing = np.zeros(n, np.int64)
        held = _Held(self._vectors)
        return CuratorIndex.build(model, pids, owners, nothing, tenants, self._granted, held, 1, self._kernels)

    def _time(self, index: CuratorIndex, tenant: int, m: int) -> float:
        """µs of a search by CPU time, the mean of all queries."""
        effort, state = Effort(_EVERYTHING, m), index.state
        mine = state.reading(tenant)
        started = time.thread_time_ns()
        for query in self._queries:
            index.search(state, mine, NOTHING, query, 10, 1, 0, effort, kernels=self._kernels)
        return (time.thread_time_ns() - started) / 1_000 / len(self._queries)


@dataclass(frozen=True, slots=True)
class _Held:
    """Vectors that are only read."""

    rows: Float32s

    def put(self, slots: UInt32s, vectors: Float32s) -> None:
        """Nothing is put."""
