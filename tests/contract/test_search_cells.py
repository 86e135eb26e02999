"""`search_cells`: the compiled kernel against its twin, and both against the words of the contract."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.readings import ENCODINGS, HUGE, blurred, make_case, only_mine, search
from vdb.kernels import METRIC_NUMBER, Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import COSINE, IP, L2
from vdb.kernels.reference_cells import (
    FLOAT16,
    FLOAT32,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    LVQ8,
    N_TAIL,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
)

METRICS = sorted(METRIC_NUMBER.values())
DIMENSIONS = (1, 2, 31, 33, 384)
LARGEST = np.finfo(np.float32).max


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 150),
    d=st.sampled_from(DIMENSIONS) | st.integers(1, 130),
    metric=st.sampled_from(METRICS),
    encoding=st.sampled_from(ENCODINGS),
    budget=st.sampled_from([0, 1, 10, 40, HUGE]),
    k=st.integers(0, 30),
    m=st.integers(0, 200),
)
@settings(max_examples=max(300, settings().max_examples))
def test_the_compiled_search_and_its_twin_give_identical_answers(
    seed: int, n: int, d: int, metric: int, encoding: int, budget: int, k: int, m: int
) -> None:
    rng = np.random.default_rng(seed)
    case = make_case(rng, n, d, metric, encoding, budget, k, m)
    if case.m < n:
        blurred(rng, case)
    distance, row, statistics = search(cpu_kernels(), case)
    twin_distance, twin_row, twin_statistics = search(reference_kernels(), case)
    np.testing.assert_array_equal(statistics, twin_statistics)
    np.testing.assert_array_equal(distance, twin_distance)
    if case.m >= n:
        np.testing.assert_array_equal(row, twin_row)


@pytest.mark.parametrize("metric", METRICS)
def test_a_small_reading_is_compared_by_its_vectors_alone(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    """The nearest row is coded as the farthest is: by codes it is the last, by their errors too."""
    n = 20
    case = only_mine(make_case(rng, 60, 384, metric, LVQ8, 0, 1, 40), np.arange(n))
    true = [case.true_distance(i) for i in range(n)]
    nearest, farthest = int(np.argmin(true)), int(np.argmax(true))
    for coded in (case.world.codes, case.world.offsets):
        if len(coded):
            coded[nearest] = coded[farthest]
    distance, row, statistics = search(kernels, case)
    assert row.tolist() == [nearest] and statistics[3] == n
    np.testing.assert_allclose(distance, [true[nearest]], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", DIMENSIONS)
def test_an_unbounded_search_finds_what_a_plain_loop_finds(
    kernels: Kernels, rng: np.random.Generator, d: int, metric: int, encoding: int
) -> None:
    for n in (1, 15, 90):
        case = make_case(rng, n, d, metric, encoding, k=n, m=n)
        ranked = sorted((case.true_distance(row), int(case.world.pids[row]), row) for row in case.visible())
        distance, row, statistics = search(kernels, case)
        assert row.tolist() == [row for _, _, row in ranked] + [-1] * (n - len(ranked))
        assert distance.tolist() == [distance for distance, _, _ in ranked] + [np.inf] * (n - len(ranked))
        assert statistics[0] == statistics[1]
        assert statistics[3] == len(ranked)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("budget", [0, 7, 30])
def test_a_bounded_search_returns_visible_rows_in_order_with_their_true_distances(
    kernels: Kernels, rng: np.random.Generator, metric: int, budget: int
) -> None:
    for encoding in ENCODINGS:
        case = make_case(rng, 120, 33, metric, encoding, budget, k=8, m=20)
        distance, row, statistics = search(kernels, case)
        found = row[row >= 0].tolist()
        assert set(found) <= set(case.visible())
        assert len(set(found)) == len(found)
        assert distance[row >= 0].tolist() == [case.true_distance(r) for r in found]
        assert np.all(distance[row < 0] == np.inf)
        assert found == sorted(found, key=lambda r: (case.true_distance(r), case.world.pids[r]))
        assert statistics[2] >= min(budget, 0) and statistics[1] <= statistics[0]


def test_entries_are_visited_nearest_first_until_the_budget_is_spent(
    kernels: Kernels, rng: np.random.Generator
) -> None:
    case = make_case(rng, 400, 31, L2, LVQ8, k=10, m=20)
    n = case.n_laid
    only_mine(case, np.arange(0))
    case.mine.spans[[OWN_FIRST, OWN_STOP, OWN_ENTRIES]] = 0, n, n // 4
    nodes = rng.integers(len(case.world.node_codes), size=n // 4)
    case.mine.entries = np.stack([nodes, np.arange(0, n, 4)]).astype(np.uint32)
    seen = []
    for budget in (0, 1, 4, 5, 100, n):
        _, row, statistics = search(kernels, replace(case, budget=budget))
        seen.append((int(statistics[1]), int(statistics[2])))
        assert statistics[2] == 4 * statistics[1]
        assert statistics[2] >= budget
        assert np.all(row >= 0) == (budget >= 10)
    assert seen == sorted(seen)
    assert seen[0] == (0, 0)
    assert seen[-1] == (n // 4, n)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_nodes", [1, 3, 2_000])
@pytest.mark.parametrize("longest", [1, 16, 900])
def test_many_entries_are_chosen_as_by_sorting_them(
    rng: np.random.Generator, metric: int, n_nodes: int, longest: int
) -> None:
    """Sampled scores say which are looked at: they may all be equal, and rows may lie in few entries."""
    case = only_mine(blurred(rng, make_case(rng, 6_000, 8, metric, LVQ8, k=10, m=40)), np.arange(0))
    world, n = case.world, case.n_laid
    n_nodes = min(n_nodes, len(world.node_codes))
    starts = np.flatnonzero(rng.random(n) < 1 / longest) if longest < 900 else np.r_[0:300, 4_000:4_300]
    starts[0] = 0
    n_own = len(starts) // 2
    nodes = rng.integers(n_nodes, size=len(starts))
    case.mine.entries = np.stack([nodes, starts]).astype(np.uint32)
    case.mine.listed = np.arange(n, dtype=np.uint32)
    rng.shuffle(case.mine.listed[starts[n_own] :])  # no own row is listed
    case.mine.spans[[OWN_FIRST, OWN_STOP, OWN_ENTRIES]] = 0, starts[n_own], n_own
    case.mine.spans[[LIST_FIRST, LIST_STOP, LIST_ENTRIES]] = starts[n_own], n, len(starts) - n_own
    case.mine.listed[rng.random(n) < 0.3] |= np.uint32(REVOKED)  # more rounds: fewer rows than entries promise
    for budget in (1, 30, 200, 1_000, 5_000, HUGE):
        bounded = replace(case, budget=budget)
        distance, _, statistics = search(cpu_kernels(), bounded)
        twin_distance, _, twin_statistics = search(reference_kernels(), bounded)
        np.testing.assert_array_equal(statistics, twin_statistics)
        np.testing.assert_array_equal(distance, twin_distance)
        assert statistics[0] == len(starts)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 12, 13, 14, 16])
def test_so_few_rows_that_all_are_compared_are_found_whatever_their_codes_say(
    kernels: Kernels, rng: np.random.Generator, metric: int, n: int
) -> None:
    case = only_mine(make_case(rng, 60, 31, metric, LVQ8, k=10, m=40), np.arange(n))
    case.everyones.spans[OWN_STOP] = 3
    nearest = sorted(range(max(n, 3)), key=lambda r: (case.true_distance(r), case.world.pids[r]))[:10]
    _, row, statistics = search(kernels, case)
    assert row[row >= 0].tolist() == nearest
    assert statistics[2:].tolist() == [n + 3, max(n, 3)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_several_sources_name_come_once(
    kernels: Kernels, rng: np.random.Generator, metric: int, encoding: int
) -> None:
    case = only_mine(make_case(rng, 60, 31, metric, encoding, k=60, m=60), np.tile(np.arange(40), 2))
    case.everyones.spans[N_TAIL] = 50
    case.everyones.tail = np.arange(50, dtype=np.uint32)
    _, row, _ = search(kernels, case)
    assert sorted(row[:50].tolist()) == list(range(50))
    assert np.all(row[50:] == -1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [5, 129, 1_500])
@pytest.mark.parametrize("m", [513, 1_200, 10_000])
def test_wide_searches_name_rows_of_several_sources_once_and_in_order(
    rng: np.random.Generator, metric: int, k: int, m: int
) -> None:
    """Of many candidates each was once compared with all before it, of many answers each was moved past the others."""
    case = blurred(rng, make_case(rng, 2_000, 8, metric, FLOAT32 if m % 2 else LVQ8, k=k, m=max(k, m)))
    distance, row, statistics = search(cpu_kernels(), case)
    twin_distance, _, twin_statistics = search(reference_kernels(), case)
    np.testing.assert_array_equal(distance, twin_distance)
    np.testing.assert_array_equal(statistics, twin_statistics)
    found = row[row >= 0].tolist()
    assert len(set(found)) == len(found) and set(found) <= set(case.visible())
    assert found == sorted(found, key=lambda r: (case.true_distance(r), case.world.pids[r]))
    if max(k, m) >= 2_000:
        assert len(found) == min(k, len(case.visible()))


def test_a_run_that_everyone_sees_and_a_list_that_overlaps_it_come_once(
    kernels: Kernels, rng: np.random.Generator
) -> None:
    case = only_mine(make_case(rng, 60, 31, IP, LVQ8, k=60, m=60), np.arange(0))
    case.mine.spans[LIST_STOP] = 30
    case.mine.listed = np.arange(30, dtype=np.uint32)
    case.everyones.spans[OWN_STOP] = 50
    _, row, statistics = search(kernels, case)
    assert sorted(row[:50].tolist()) == list(range(50))
    assert np.all(row[50:] == -1)
    assert statistics[2] == 80


@pytest.mark.parametrize("metric", METRICS)
def test_revoked_places_and_rows_beyond_the_capacity_are_passed_over(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    rows = np.arange(40, dtype=np.uint32)
    rows[::2] |= np.uint32(REVOKED)
    rows[1] = 60
    rows[3] = REVOKED - 1
    case = only_mine(make_case(rng, 60, 31, metric, LVQ8, k=40), rows)
    _, row, statistics = search(kernels, case)
    assert sorted(row[:18].tolist()) == list(range(5, 40, 2))
    assert statistics[2] == 18


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_huge_components_give_finite_answers_and_lose_no_row(
    kernels: Kernels, rng: np.random.Generator, metric: int, encoding: int
) -> None:
    case = only_mine(make_case(rng, 50, 31, metric, encoding, k=60, m=60), np.arange(50))
    world = case.world
    world.vectors[:5] = 1e30
    world.vectors[5:10] = -3e38
    if metric != COSINE:
        for constants in (world.constants, world.node_constants):
            constants[::3] = np.where(constants[::3] == 0, 0, 1e30)
        if metric == L2:
            world.offsets[:10] = np.inf
            world.node_offset[:1] = np.inf
    for query in (1e30, -3e38, 1e-30, 1e-44):
        case.query[:] = query
        distance, row, _ = search(kernels, case)
        assert sorted(row[:50].tolist()) == list(range(50))
        assert np.all(np.abs(distance[:50]) <= LARGEST)


@pytest.mark.parametrize("metric", METRICS)
def test_entries_whose_scores_overflow_are_visited_and_the_search_ends(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    case = only_mine(make_case(rng, 64, 31, metric, FLOAT32, k=64, m=64), np.arange(0))
    case.mine.spans[[OWN_FIRST, OWN_STOP, OWN_ENTRIES]] = 0, 32, 8
    nodes = rng.integers(len(case.world.node_codes), size=8)
    case.mine.entries = np.stack([nodes, np.arange(0, 32, 4)]).astype(np.uint32)
    case.world.node_constants[:, -2:] = 3e38
    case.world.node_offset[:] = np.inf if metric == L2 else 3e38
    case.query[:] = 3e38 * rng.choice([-1, 1], 31)
    _, row, statistics = search(kernels, case)
    assert sorted(row[:32].tolist()) == list(range(32))
    assert statistics.tolist()[:3] == [8, 8, 32]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_zero_query_finds_every_row_in_the_order_of_its_distance(
    kernels: Kernels, rng: np.random.Generator, metric: int, encoding: int
) -> None:
    case = make_case(rng, 50, 33, metric, encoding, k=50, m=50)
    case.query[:] = 0
    distance, row, _ = search(kernels, case)
    ranked = sorted((case.true_distance(r), int(case.world.pids[r]), r) for r in case.visible())
    assert row[: len(ranked)].tolist() == [r for _, _, r in ranked]
    assert np.all(row[len(ranked) :] == -1)
    assert distance[: len(ranked)].tolist() == [d for d, _, _ in ranked]


@pytest.mark.parametrize("metric", METRICS)
def test_identical_vectors_are_ordered_by_pid(kernels: Kernels, rng: np.random.Generator, metric: int) -> None:
    case = only_mine(make_case(rng, 60, 16, metric, LVQ8, k=20, m=60), np.arange(60))
    case.world.vectors[:] = case.world.vectors[0]
    _, row, _ = search(kernels, case)
    assert case.world.pids[row].tolist() == np.sort(case.world.pids)[:20].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_whose_estimates_cannot_be_among_the_best_are_not_compared(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    case = only_mine(make_case(rng, 600, 384, metric, FLOAT32, k=5, m=400), np.arange(600))
    _, row, statistics = search(kernels, case)
    nearest = sorted(range(600), key=lambda r: (case.true_distance(r), case.world.pids[r]))[:5]
    assert row.tolist() == nearest
    assert statistics[3] < 100


@pytest.mark.parametrize(("encoding", "tolerance"), [(LVQ8, 0.05), (FLOAT32, 1e-5), (FLOAT16, 5e-3)])
def test_real_valued_vectors_are_found_by_their_true_distances(
    kernels: Kernels, rng: np.random.Generator, encoding: int, tolerance: float
) -> None:
    """Against float64: distances of what is found, and that nothing nearer by more than the codes' error is missing."""
    case = only_mine(make_case(rng, 300, 384, IP, encoding, k=10, m=60), np.arange(300))
    vectors = rng.standard_normal((300, 384)).astype(np.float32)
    case.world.of_queries = np.zeros((0, 392), np.uint8)
    case.world.vectors[case.world.slots] = vectors
    if encoding == LVQ8:
        low, step = vectors.min(axis=1), np.ptp(vectors, axis=1) / 255
        case.world.codes = np.zeros((300, 392), np.uint8)
        case.world.codes[:, :384] = np.rint((vectors - low[:, None]) / step[:, None])
        case.world.codes[:, 384:] = np.stack([step, low], axis=1).astype(np.float32).view(np.uint8)
        case.width = 384
    else:
        wanted = np.float32 if encoding == FLOAT32 else np.float16
        case.world.codes = vectors.astype(wanted).view(np.uint8)
        case.width = case.world.codes.shape[1]
    case.world.node_codes = np.zeros((1, 392), np.uint8)
    case.query = rng.standard_normal(384).astype(np.float32)
    distance, row, _ = search(kernels, case)
    expected = -(vectors.astype(float) @ case.query.astype(float))
    np.testing.assert_allclose(distance, expected[row], rtol=1e-5, atol=1e-4)
    assert distance[-1] <= np.sort(expected)[9] + tolerance * np.linalg.norm(case.query)


def test_read_only_arrays_are_accepted(kernels: Kernels, rng: np.random.Generator) -> None:
    case = make_case(rng, 60, 16, L2, LVQ8)
    expected = search(kernels, case)
    for part in (case.world, case.mine, case.everyones):
        for field in fields(part):
            getattr(part, field.name).setflags(write=False)
    for ours, theirs in zip(search(kernels, case), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
