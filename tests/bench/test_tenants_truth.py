"""Exact answers equal brute force, and recall counts what it says it counts."""

import numpy as np
import pytest

from bench.tenants.sides import NOT_ASKED
from bench.tenants.truth import TOLERANCE, exact, judge
from bench.tenants.workload import CLASS_NAMES, Access, Int64s, K, Truth, Workload, class_of

N, D, N_TENANTS = 400, 8, 5


def _access(rng: np.random.Generator) -> Access:
    """Random owners, and up to three grantees of each point who are not its owner."""
    owners = rng.integers(N_TENANTS - 1, size=N).astype(np.int32)
    drawn = [rng.choice(N_TENANTS - 1, int(rng.integers(4)), replace=False) for _ in range(N)]
    lists = [np.sort(some[some != owner]).astype(np.int32) for some, owner in zip(drawn, owners, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(some) for some in lists])]).astype(np.int64)
    return Access(N_TENANTS, owners, offsets, np.concatenate(lists))


def _visible(access: Access, tenant: int) -> list[int]:
    bounds = zip(access.offsets[:-1], access.offsets[1:], strict=True)
    granted = [tenant in access.grantees[first:last] for first, last in bounds]
    return [row for row in range(N) if access.owners[row] == tenant or granted[row]]


def _brute(metric: str, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    if metric == "l2":
        return np.asarray(((rows - query) ** 2).sum(axis=1))
    return np.asarray(1 - rows @ query if metric == "cosine" else -(rows @ query))


def test_rows_of_a_tenant_are_its_own_and_those_granted_to_it() -> None:
    access = _access(np.random.default_rng(1))
    for tenant in range(N_TENANTS):
        assert access.rows_of(tenant).tolist() == _visible(access, tenant)
        assert access.sizes[tenant] == len(_visible(access, tenant))


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_exact_answers_equal_brute_force_over_integers(metric: str) -> None:
    """Small integers have exact sums, and many ties, which go to the smaller row."""
    rng = np.random.default_rng(2)
    vectors = rng.integers(-3, 4, (N, D)).astype(np.float32)
    queries = rng.integers(-3, 4, (20, D)).astype(np.float32)
    access, askers = _access(rng), rng.integers(N_TENANTS, size=20).astype(np.int32)
    truth = exact(metric, vectors, access, queries, askers)
    for i in range(20):
        rows = np.array(_visible(access, int(askers[i])), np.int64)
        distance = _brute(metric, vectors[rows].astype(np.float64), queries[i].astype(np.float64))
        order = np.lexsort((rows, distance))[:K]
        assert truth.ids[i].tolist() == rows[order].tolist() + [-1] * (K - len(order))
        assert truth.distances[i, : len(order)].tolist() == distance[order].tolist()


def _line(n_visible: int) -> Workload:
    """Points 0, 1, 2, … on a line; tenant 0 owns the first `n_visible`, tenant 1 the rest; tenant 0 asks at 0."""
    vectors = np.arange(30, dtype=np.float32)[:, None]
    owners = (np.arange(30) >= n_visible).astype(np.int32)
    access = Access(2, owners, np.zeros(31, np.int64), np.empty(0, np.int32))
    queries, askers = np.zeros((1, 1), np.float32), np.zeros(1, np.int32)
    truth = exact("l2", vectors, access, queries, askers)
    return Workload("line", "l2", vectors, access, queries, askers, truth, "line", "line", queries[:0])


def _answer(*ids: int) -> Int64s:
    return np.array([[*ids, *[-1] * (K - len(ids))]], np.int64)


def test_all_of_few_visible_points_are_full_recall() -> None:
    assert judge(_line(3), _answer(2, 0, 1)).recalls.tolist() == [1.0]


def test_recall_divides_by_what_could_be_found_not_by_what_was() -> None:
    assert judge(_line(20), _answer(0, 1)).recalls.tolist() == [0.2]
    assert judge(_line(4), _answer(0, 1)).recalls.tolist() == [0.5]


def test_a_farther_point_is_not_a_hit() -> None:
    assert judge(_line(20), _answer(*range(9), 10)).recalls.tolist() == [0.9]


def test_a_point_that_may_not_be_seen_counts_as_foreign_and_not_as_found() -> None:
    found = judge(_line(3), _answer(0, 1, 3))
    assert (found.recalls.tolist(), found.n_foreign) == ([2 / 3], 1)


def test_a_point_named_twice_counts_once() -> None:
    found = judge(_line(20), _answer(0, 1, 1))
    assert (found.recalls.tolist(), found.n_twice) == ([0.2], 1)


def test_a_twin_of_the_last_neighbour_is_as_good() -> None:
    workload = _line(20)
    workload.vectors[10] = workload.vectors[9] + TOLERANCE / 100
    assert judge(workload, _answer(*range(9), 10)).recalls.tolist() == [1.0]


def test_a_query_not_asked_has_no_recall() -> None:
    assert np.isnan(judge(_line(3), np.full((1, K), NOT_ASKED)).recalls).all()


def test_size_classes_have_their_bound_inside() -> None:
    names = [CLASS_NAMES[i] for i in class_of(np.array([1, 300, 301, 16_000, 16_001, 256_001]))]
    assert names == ["<= 300", "<= 300", "<= 1,000", "<= 16,000", "<= 64,000", "> 256,000"]


def test_expected_hits_are_those_that_exist() -> None:
    truth = Truth(np.array([[4, -1], [1, 2]]), np.array([[0.5, np.inf], [0.1, 0.2]]))
    assert truth.n_expected.tolist() == [1, 2]
