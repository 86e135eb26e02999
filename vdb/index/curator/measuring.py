"""Measures a profile: searches at rising effort against exact answers, over readings of every size class.

Queries are recorded ones, or rows of the collection itself, which are then left out of their own answers. Each size
class is asked all queries, spread over some of its readings. Runs beside searches and writes: it holds one state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.model import prepared
from vdb.index.curator.narrowing import rows_seen
from vdb.index.curator.profile import (
    BUDGETS,
    CANDIDATES,
    EXPONENT,
    Level,
    Profile,
    residual_class,
    residuals,
    size_class,
)
from vdb.index.curator.state import (
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    State,
)
from vdb.kernels import Kernels, current
from vdb.kernels.reference import Float32s, Int64s, UInt32s
from vdb.types import EVERYONE_ID, Metric

N_READINGS = 8
"""Readings of a size class that are searched."""
MOST_QUERIES = 400
"""Queries asked of a size class and residual class for 10 hits; for more hits fewer, whose hits are as many."""
FEWEST_QUERIES = 100
KS = (10, 100)
"""Numbers of hits that are measured; what others need follows from these (see `Profile`)."""
LEAST_QUERIES = 50
"""Fewer of a residual class are counted to the next harder one."""
SATURATED = 0.99995
_BLOCK_BYTES = 1 << 20
"""Of vectors that are compared at once."""
_SLACK = 1e-5


def measure(
    index: CuratorIndex,
    state: State,
    queries: Float32s,
    sequence: int,
    now_ms: int,
    *,
    ks: tuple[int, ...] = KS,
    own_slots: Int64s | None = None,
    kernels: Kernels | None = None,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Profile:
    """Levels for `queries` (m, D) as they are asked, at a sequence and time that `state` answers for.

    `own_slots` int64 (m,): the slot of the row that a query is, left out of its answers; −1 for none. Deterministic for
    a seed. Without queries or readings the profile is the prior. `check` is called now and then, and raises when it is
    to end.
    """
    rng = np.random.default_rng(seed)
    ready = prepared(queries, state.model.metric)
    slots = np.full(len(queries), -1, np.int64) if own_slots is None else own_slots
    classes = _residual_classes(residuals(state.model.projection, ready))
    asked = Asked(index, state, sequence, now_ms, kernels or current(), check)
    levels = []
    for group, tenants in readings(state, rng):
        views = [asked.view(tenant) for tenant in tenants]
        views = [view for view in views if len(view.rows) > 1]
        for hardness in np.unique(classes).tolist() if views else []:
            shuffled = rng.permutation(np.flatnonzero(classes == hardness))
            for k in ks:
                mine = shuffled[: max(FEWEST_QUERIES, min(MOST_QUERIES, 10 * MOST_QUERIES // k))]
                recall = asked.recalls(views, ready[mine], slots[mine], k)
                n_rows = float(np.exp(np.mean([np.log(len(view.rows)) for view in views])))
                levels.append(Level(k, group, hardness, n_rows, len(mine), recall))
    return Profile(tuple(levels))


def visible_rows(state: State, tenant: int, sequence: int, now_ms: int) -> UInt32s:
    """The rows that a tenant may see, everyone's among them, ascending."""
    return rows_seen((state.reading(tenant), state.reading(EVERYONE_ID)), state.rows, sequence, now_ms)


def exact(state: State, rows: UInt32s, queries: Float32s, slots: Int64s, k: int) -> tuple[Float32s, Int64s]:
    """The distance within which the k nearest of `rows` lie, and how many they are, (m,) each.

    `queries` are prepared; `slots` as in `measure`. Distances as kernels state them.
    """
    metric = state.model.metric
    nearest = np.full((len(queries), k), np.inf, np.float32)
    n_block = max(1, _BLOCK_BYTES // max(1, queries[0].nbytes if len(queries) else 1))
    for first in range(0, len(rows), n_block):
        some = state.rows.slots[rows[first : first + n_block]]
        distances = _distances(metric, queries, state.vectors[some])
        distances[slots[:, None] == some[None, :].astype(np.int64)] = np.inf
        nearest = np.sort(np.concatenate((nearest, _least(distances, k)), axis=1), axis=1)[:, :k]
    n_true = np.isfinite(nearest).sum(axis=1)
    last = np.take_along_axis(nearest, np.maximum(n_true - 1, 0)[:, None], axis=1)[:, 0]
    return (last + _SLACK * np.maximum(np.abs(last), 1e-2)).astype(np.float32), n_true


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A reading to ask: its tenant and visible rows."""

    tenant: int
    rows: UInt32s


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The searches that are measured."""

    index: CuratorIndex
    state: State
    sequence: int
    now_ms: int
    kernels: Kernels
    check: Callable[[], None] = lambda: None

    def view(self, tenant: int) -> View:
        return View(tenant, visible_rows(self.state, tenant, self.sequence, self.now_ms))

    def search(self, view: View, query: Float32s, k: int, effort: Effort) -> Found:
        return self.index.search(
            self.state,
            self.state.reading(view.tenant),
            self.state.reading(EVERYONE_ID),
            query,
            k,
            self.sequence,
            self.now_ms,
            effort,
            kernels=self.kernels,
        )

    def recalls(self, views: list[View], queries: Float32s, slots: Int64s, k: int) -> tuple[tuple[float, ...], ...]:
        """Mean recall@k of the queries, spread over the views, for every budget and number of candidates.

        Searched are all budgets with the most candidates, and all numbers of candidates with the budget at which that
        saturates. The rest is their product: that a search gets to a neighbour and that the neighbour is among its
        candidates are nearly independent, and fewer rows scored leave it fewer rivals, so the product errs to less.
        """
        bounds = np.empty(len(queries), np.float32)
        n_true = np.empty(len(queries), np.int64)
        for i, view in enumerate(views):
            mine = np.arange(i, len(queries), len(views))
            bounds[mine], n_true[mine] = self.exact(view, queries[mine], slots[mine], k)
        how = (views, queries, slots, bounds, n_true, k)
        by_budget = np.zeros(len(BUDGETS))
        widest = BUDGETS[-1]
        for i, factor in enumerate(BUDGETS):
            by_budget[i:], is_all = self._mean_recall(*how, factor, CANDIDATES[-1])
            if is_all or by_budget[i] >= SATURATED:
                widest = factor
                break
        by_candidates = np.full(len(CANDIDATES), by_budget[-1])
        for j, per_k in enumerate(CANDIDATES[:-1]):
            by_candidates[j], _ = self._mean_recall(*how, widest, per_k)
            if by_candidates[j] >= by_budget[-1]:
                break
        recall = np.outer(by_budget / max(float(by_budget[-1]), 1e-9), by_candidates)
        return tuple(tuple(round(float(one), 6) for one in row) for row in recall)

    def _mean_recall(
        self, views: list[View], queries: Float32s, slots: Int64s, bounds: Float32s, n_true: Int64s,
        k: int, factor: float, per_k: float,
    ) -> tuple[float, bool]:  # fmt: skip
        """The recall of one effort, and whether it scored all there is."""
        self.check()
        total, is_all = 0.0, True
        for i, (query, slot) in enumerate(zip(queries, slots.tolist(), strict=True)):
            view = views[i % len(views)]
            budget = int(np.ceil(factor * len(view.rows) ** EXPONENT))
            effort = Effort(budget, int(np.ceil(per_k * k)))
            n = k if slot < 0 else k + 1
            found = self.search(view, query, n, effort)
            is_hit = (found.row >= 0) & (found.distance <= bounds[i])
            if slot >= 0:
                is_hit &= self.state.rows.slots[found.row] != slot
            total += min(int(is_hit.sum()), int(n_true[i])) / max(int(n_true[i]), 1)
            is_all &= int(found.statistics[2]) >= len(view.rows)
        return total / len(queries), is_all

    def exact(self, view: View, queries: Float32s, slots: Int64s, k: int) -> tuple[Float32s, Int64s]:
        """See `exact`: of the rows of a view."""
        return exact(self.state, view.rows, queries, slots, k)


def _residual_classes(values: Float32s) -> Int64s:
    """The class of each query; those of which there are too few join the next harder, the hardest the one before."""
    classes = np.array([residual_class(float(value)) for value in values], np.int64)
    present = np.unique(classes).tolist()
    for place, one in enumerate(present):
        if 0 < (classes == one).sum() < LEAST_QUERIES and place + 1 < len(present):
            classes[classes == one] = present[place + 1]
    last, others = present[-1:], sorted(set(classes.tolist()))[:-1]
    if last and others and (classes == last[0]).sum() < LEAST_QUERIES:
        classes[classes == last[0]] = others[-1]
    return classes


def readings(state: State, rng: np.random.Generator) -> Iterator[tuple[int, list[int]]]:
    """Of every size class: some tenants whose readings are of it.

    Readings without entries are scanned whole whatever the effort: in a class that has others they tell nothing.
    """
    spans = state.directories.spans
    n_entries = spans[:, OWN_ENTRIES] + spans[:, LIST_ENTRIES]
    is_cut = dict(zip(state.directories.tenants.tolist(), (n_entries > 0).tolist(), strict=True))
    sizes = spans[:, OWN_STOP] - spans[:, OWN_FIRST] + spans[:, LIST_STOP] - spans[:, LIST_FIRST] + spans[:, N_TAIL]
    of_tenant = dict(zip(state.directories.tenants.tolist(), sizes.tolist(), strict=True))
    changed = list(state.changed.items())
    of_tenant |= {tenant: reading.n_rows for tenant, reading in changed}
    is_cut |= {tenant: reading.n_entries > 0 for tenant, reading in changed}
    n_everyones = of_tenant.pop(EVERYONE_ID, 0)
    tenants = np.array(sorted(tenant for tenant, n in of_tenant.items() if n > 0), np.int64)
    classes = np.array([size_class(of_tenant[tenant] + n_everyones) for tenant in tenants.tolist()], np.int64)
    for group in np.unique(classes).tolist():
        mine = tenants[classes == group]
        cut = mine[[is_cut[tenant] for tenant in mine.tolist()]]
        yield group, rng.permutation(cut if len(cut) else mine)[:N_READINGS].tolist()


def _distances(metric: Metric, queries: Float32s, rows: Float32s) -> Float32s:
    """As the kernels state them: 1 − cos, squared L2, −<q, x>, float32 (m, n)."""
    products: Float32s = queries @ rows.T
    if metric is Metric.COSINE:
        return np.asarray(1 - products)
    if metric is Metric.IP:
        return np.negative(products, out=products)
    squares = np.einsum("ij,ij->i", rows, rows) - 2 * products
    return np.asarray(np.maximum(squares + np.einsum("ij,ij->i", queries, queries)[:, None], 0))


def _least(distances: Float32s, k: int) -> Float32s:
    k = min(k, distances.shape[1])
    return np.partition(distances, k - 1, axis=1)[:, :k]
