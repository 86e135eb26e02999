"""Measuring a profile: true recalls, classes that exist, rows left out of their own answers, readings as they are."""

import functools

import numpy as np
import pytest

from vdb.index.curator import measuring
from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.measuring import measure, visible_rows
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.profile import BUDGETS, CANDIDATES, RESIDUAL_STEP, Profile, residuals
from vdb.index.curator.training import train
from vdb.kernels import cpu_kernels
from vdb.kernels.reference import Float32s, UInt32s
from vdb.types import EVERYONE_ID, Metric

N, D = 3_000, 24
LARGE, SMALL, OWNER = 1, 2, 9


class Held:
    """Vectors in memory."""

    def __init__(self, rows: Float32s) -> None:
        self.rows = rows

    def put(self, slots: UInt32s, vectors: Float32s) -> None:
        """Grows by what is put."""
        grown = np.zeros((max(len(self.rows), int(slots.max()) + 1), self.rows.shape[1]), np.float32)
        grown[: len(self.rows)] = self.rows
        grown[slots] = vectors
        self.rows = grown


def built(rng: np.random.Generator, metric: Metric, kept: int = 12, public: int = 0) -> tuple[CuratorIndex, Float32s]:
    """One owner of all, a tenant granted 2,500 rows, one granted 300, and `public` rows of everyone's."""
    centres = rng.standard_normal((40, D)) * 2
    raw = (centres[rng.integers(40, size=N)] + rng.standard_normal((N, D))).astype(np.float32)
    rows = prepared(raw, metric)
    model = train(rows, N, metric, Encoding(Form.LVQ8, kept))
    granted = [np.sort(rng.choice(N, size, replace=False)).astype(np.uint32) for size in (2_500, 300, public)]
    starts = np.cumsum([0, *map(len, granted)]).astype(np.int64)
    tenants = np.array([LARGE, SMALL, EVERYONE_ID], np.uint32)
    pids, owners = np.arange(N, dtype=np.uint32), np.full(N, OWNER, np.uint32)
    pairs = (starts, np.concatenate(granted))
    index = CuratorIndex.build(model, pids, owners, np.zeros(N, np.int64), tenants, pairs, Held(rows), 1, cpu_kernels())
    return index, raw


def searched(index: CuratorIndex, tenant: int, query: Float32s, k: int, sequence: int, effort: Effort) -> Found:
    state = index.state
    mine, everyones = state.reading(tenant), state.reading(EVERYONE_ID)
    return index.search(state, mine, everyones, query, k, sequence, 0, effort, kernels=cpu_kernels())


@pytest.mark.parametrize("metric", list(Metric))
def test_recall_rises_with_effort_to_all_of_it(rng: np.random.Generator, metric: Metric) -> None:
    index, raw = built(rng, metric)
    queries = raw[:80] + 0.1 * rng.standard_normal((80, D), dtype=np.float32)
    profile = measure(index, index.state, queries, 1, 0, kernels=cpu_kernels())
    assert {level.size_class for level in profile.levels} == {0, 1}
    for level in profile.levels:
        recall = np.array(level.recall)
        assert recall.shape == (len(BUDGETS), len(CANDIDATES))
        assert recall[-1, -1] > 0.99, recall[-1]
        assert (np.diff(recall, axis=0) >= -0.02).all()
        assert (np.diff(recall, axis=1) >= -0.02).all()


@pytest.mark.parametrize("metric", list(Metric))
def test_a_target_is_met_by_queries_that_were_not_measured(rng: np.random.Generator, metric: Metric) -> None:
    index, raw = built(rng, metric)
    rows = prepared(raw, metric)
    queries = raw[:200] + 0.3 * rng.standard_normal((200, D), dtype=np.float32)
    profile = measure(index, index.state, queries[:120], 1, 0, kernels=cpu_kernels())
    view = visible_rows(index.state, LARGE, 1, 0)
    mine = rows[index.state.rows.slots[view]].astype(np.float64)
    n_right = 0
    for query in queries[120:]:
        ready = prepared(query[None], metric)[0].astype(np.float64)
        distances = np.square(mine - ready).sum(axis=1) if metric is Metric.L2 else -(mine @ ready)
        nearest = set(view[np.argsort(distances, kind="stable")[:10]].tolist())
        residual = float(residuals(index.state.model.projection, prepared(query[None], metric))[0])
        effort, reached, extrapolated = profile.effort(0.95, 10, len(view), residual)
        found = searched(index, LARGE, query, 10, 1, effort)
        n_right += len(nearest & set(found.row.tolist()))
        assert reached
        assert not extrapolated or residual > 0.3
    assert n_right / 800 > 0.92, n_right


@pytest.mark.parametrize("k", [1, 10, 50, 100])
@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_a_target_is_met_for_any_number_of_hits(k: int, target: float) -> None:
    """Measured are 10 and 100 hits: fewer take the effort for 10, those between what lies between."""
    index, queries, profile = asked_world()
    kernels = cpu_kernels()
    asked = measuring.Asked(index, index.state, 1, 0, kernels)
    view = asked.view(LARGE)
    ready = prepared(queries, Metric.COSINE)
    bounds, n_true = asked.exact(view, ready, np.full(len(ready), -1, np.int64), k)
    lost = residuals(index.state.model.projection, ready)
    n_right = 0
    for query, bound, residual in zip(queries, bounds, lost.tolist(), strict=True):
        effort, reached, extrapolated = profile.effort(target, k, len(view.rows), residual)
        assert reached and not extrapolated
        found = asked.search(view, query, k, effort)
        n_right += min(int((found.distance <= bound).sum()), k)
    recall = n_right / int(n_true.sum())
    assert recall >= target - 0.01, recall


def test_more_hits_than_were_measured_are_extrapolated() -> None:
    _, _, profile = asked_world()
    for k, is_beyond in ((1, False), (10, False), (100, False), (101, True), (1_000, True)):
        assert profile.effort(0.95, k, 2_500, 0.05)[2] is is_beyond


def test_for_more_hits_fewer_queries_are_asked() -> None:
    _, _, profile = asked_world()
    assert {level.k: level.n_queries for level in profile.levels} == {10: 300, 100: measuring.FEWEST_QUERIES}


def test_readings_that_are_scanned_whole_are_not_measured_beside_others() -> None:
    """They found all at any effort, so that others of their class were promised .9 and got .8."""
    index, _, _ = asked_world()
    found = {tenant for _, tenants in measuring.readings(index.state, np.random.default_rng(0)) for tenant in tenants}
    assert index.state.reading(OWNER).n_entries == 0 < index.state.reading(LARGE).n_entries
    assert found == {LARGE, SMALL}


@functools.cache
def asked_world() -> tuple[CuratorIndex, Float32s, Profile]:
    """An index, queries that its profile was not measured by, and the profile. All are of one residual class."""
    rng = np.random.default_rng(7)
    index, raw = built(rng, Metric.COSINE, kept=20)
    queries = raw[:900] + 0.5 * rng.standard_normal((900, D), dtype=np.float32)
    lost = residuals(index.state.model.projection, prepared(queries, Metric.COSINE))
    queries = queries[lost < RESIDUAL_STEP]
    assert len(queries) >= 650
    profile = measure(index, index.state, queries[:300], 1, 0, kernels=cpu_kernels())
    return index, queries[300:], profile


def test_rows_that_ask_are_left_out_of_their_own_answers(rng: np.random.Generator) -> None:
    index, raw = built(rng, Metric.L2, kept=4)
    slots = np.arange(60, dtype=np.int64)
    kernels = cpu_kernels()
    with_own = measure(index, index.state, raw[:60], 1, 0, ks=(1,), kernels=kernels)
    without = measure(index, index.state, raw[:60], 1, 0, ks=(1,), own_slots=slots, kernels=kernels)
    first, second = (
        next(level.recall[0][0] for level in profile.levels if level.size_class == 1) for profile in (with_own, without)
    )
    assert second < first, (first, second)


def test_what_a_tenant_may_see_is_what_is_searched(rng: np.random.Generator) -> None:
    index, raw = built(rng, Metric.COSINE, public=500)
    index.kill(np.arange(100, dtype=np.uint32), 2)
    index.revoke(LARGE, np.arange(100, 200, dtype=np.uint32))
    state = index.state
    for tenant in (LARGE, SMALL, OWNER):
        for sequence in (1, 2):
            seen = visible_rows(state, tenant, sequence, 0)
            effort = Effort(1 << 40, N)
            found = searched(index, tenant, raw[0], N, sequence, effort)
            assert np.array_equal(np.sort(found.row[found.row >= 0]), seen)


def test_every_k_is_measured(rng: np.random.Generator) -> None:
    index, raw = built(rng, Metric.L2)
    profile = measure(index, index.state, raw[:40], 1, 0, ks=(1, 20), kernels=cpu_kernels())
    assert profile.ks == (1, 20)


def test_no_queries_or_no_readings_give_the_prior(rng: np.random.Generator) -> None:
    index, raw = built(rng, Metric.L2)
    assert measure(index, index.state, raw[:0], 1, 0, kernels=cpu_kernels()).levels == ()
    index.kill(np.arange(N, dtype=np.uint32), 2)
    assert measure(index, index.state, raw[:5], 2, 0, kernels=cpu_kernels()).levels == ()


def test_the_seed_says_everything(rng: np.random.Generator) -> None:
    index, raw = built(rng, Metric.COSINE)
    first, second = (measure(index, index.state, raw[:30], 1, 0, kernels=cpu_kernels(), seed=3) for _ in range(2))
    assert first == second


def test_queries_of_small_residual_classes_join_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LEAST_QUERIES", 3)
    joined = measuring._residual_classes
    assert joined(np.array([0.05, 0.15, 0.15, 0.15], np.float32)).tolist() == [1, 1, 1, 1]
    assert joined(np.array([0.15, 0.15, 0.15, 0.95], np.float32)).tolist() == [1, 1, 1, 1]
    assert joined(np.array([0.15] * 3 + [0.35] * 3, np.float32)).tolist() == [1] * 3 + [3] * 3
    assert joined(np.array([0.5], np.float32)).tolist() == [5]
    assert joined(np.zeros(0, np.float32)).tolist() == []
