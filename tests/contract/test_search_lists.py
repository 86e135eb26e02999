"""`search_lists`: the compiled kernel against its twin, and both against the words of the contract."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.listed_pages import ANY, FILE_PAGE, Listed, listed
from tests.contract.readings import ENCODINGS, HUGE, LOWEST, Case, make_case
from tests.contract.test_search_cells import DIMENSIONS, METRICS
from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import COSINE, IP, L2
from vdb.kernels.reference_cells import LVQ4, LVQ8, OWN_ENTRIES, OWN_FIRST, OWN_STOP


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


def only_run(case: Case, n: int, per_entry: int, rng: np.random.Generator) -> Case:
    """The case with one reading, of a run of `n` rows in entries of `per_entry`; nothing is hidden."""
    for reading in (case.mine, case.everyones):
        reading.spans[:] = 0
    case.mine.spans[[OWN_FIRST, OWN_STOP, OWN_ENTRIES]] = 0, n, n // per_entry
    nodes = rng.permutation(len(case.world.node_codes))[: n // per_entry]
    nodes = np.resize(nodes, n // per_entry)
    case.mine.entries = np.stack([nodes, np.arange(0, n, per_entry)]).astype(np.uint32)
    case.world.dead_at[:] = 0xFFFF_FFFF
    case.world.expires_at = np.zeros(0, np.uint32)
    return case


def distinct(rng: np.random.Generator, case: Case) -> Case:
    """The case with estimates that do not tie, where they decide something, and scores that are rounded alike."""
    world = case.world
    if case.encoding in (LVQ8, LVQ4):
        world.constants[:, -2:] *= 1 + rng.random((len(world.codes), 2), np.float32) / 16
        directions = world.of_queries[:, : len(case.query)].astype(np.float32) + LOWEST
        if len(directions) and not np.any(directions @ case.query):  # all rows tie
            case.m = max(case.m, len(world.pids))
    if case.metric == IP:
        world.node_offset[:] = 10
    return case


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 400),
    d=st.sampled_from(DIMENSIONS) | st.integers(1, 130),
    metric=st.sampled_from(METRICS),
    encoding=st.sampled_from(ENCODINGS),
    budget=st.sampled_from([0, 1, 10, 40, HUGE]),
    k=st.integers(0, 30) | st.just(150),
    m=st.integers(0, 200),
    ratio=st.sampled_from([ANY, 1.003, 1.21, 1.97]),
    margin=st.sampled_from([ANY, 0.0, 0.1, 3.0]),
)
@settings(max_examples=max(300, settings().max_examples))
def test_the_compiled_search_and_its_twin_give_identical_answers(
    seed: int, n: int, d: int, metric: int, encoding: int, budget: int, k: int, m: int, ratio: float, margin: float
) -> None:
    rng = np.random.default_rng(seed)
    case = distinct(rng, make_case(rng, n, d, metric, encoding, budget, k, m))
    asked = replace(listed(rng, case), ratio=ratio, margin=margin)
    distance, row, pid, statistics = asked.search(cpu_kernels())
    twin_distance, twin_row, twin_pid, twin_statistics = asked.search(reference_kernels())
    np.testing.assert_array_equal(statistics[[0, 1, 2, 3, 4, 6, 7]], twin_statistics[[0, 1, 2, 3, 4, 6, 7]])
    np.testing.assert_array_equal(distance, twin_distance)
    if case.m >= n and margin == ANY:
        assert statistics[5] == twin_statistics[5]
        np.testing.assert_array_equal(row, twin_row)
        np.testing.assert_array_equal(pid, twin_pid)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", DIMENSIONS)
def test_an_unbounded_search_finds_what_a_plain_loop_finds(
    kernels: Kernels, rng: np.random.Generator, d: int, metric: int, encoding: int
) -> None:
    for n in (2, 15, 150):
        asked = listed(rng, make_case(rng, n, d, metric, encoding, k=n, m=n), has_tops=False)
        case = asked.case
        visible = [row for row in case.visible() if row < case.n_laid]
        ranked = sorted((case.true_distance(row), int(case.world.pids[row]), row) for row in visible)
        distance, row, pid, statistics = asked.search(kernels)
        missing = n - len(ranked)
        assert row.tolist() == [row for _, _, row in ranked] + [-1] * missing
        assert pid.tolist() == [pid for _, pid, _ in ranked] + [0] * missing
        assert distance.tolist() == [distance for distance, _, _ in ranked] + [np.inf] * missing
        assert statistics[0] == statistics[1]
        assert statistics[3] == len(ranked)
        assert statistics[4] <= asked.n_pages


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("budget", [0, 7, 30])
def test_a_bounded_search_returns_visible_rows_in_order_with_their_true_distances(
    kernels: Kernels, rng: np.random.Generator, metric: int, budget: int
) -> None:
    for encoding in ENCODINGS:
        asked = replace(listed(rng, make_case(rng, 220, 33, metric, encoding, budget, k=8, m=20)), ratio=1.5, margin=1)
        case = asked.case
        distance, row, pid, _ = asked.search(kernels)
        found = row[row >= 0].tolist()
        assert set(found) <= set(case.visible()) and len(set(found)) == len(found)
        assert distance[row >= 0].tolist() == [case.true_distance(r) for r in found]
        assert pid[row >= 0].tolist() == case.world.pids[found].tolist()
        assert found == sorted(found, key=lambda r: (case.true_distance(r), case.world.pids[r]))


def test_lists_are_read_nearest_first_until_the_budget_is_spent_with_all_of_their_pages(
    kernels: Kernels, rng: np.random.Generator
) -> None:
    case = only_run(make_case(rng, 1_000, 31, L2, LVQ8, k=10, m=20), 800, 8, rng)
    asked = listed(rng, case, has_tops=False)
    r, seen = asked.shape.n_rows, []
    for budget in (0, 1, 8, 9, 100, 800):
        case.budget = budget
        _, row, _, statistics = asked.search(kernels)
        assert 8 * statistics[1] >= budget and statistics[2] >= 8 * statistics[1]
        assert statistics[2] % r in (0, 800 % r), "of a page that is read all rows of the run are scanned"
        assert np.all(row >= 0) == (budget > 0)
        seen.append(tuple(statistics[[1, 2, 4]].tolist()))
    assert seen == sorted(seen) and seen[0] == (0, 0, 0) and seen[-1][:2] == (100, 800)


def test_lists_farther_than_the_ratio_are_not_read(kernels: Kernels, rng: np.random.Generator) -> None:
    case = only_run(make_case(rng, 1_000, 31, COSINE, LVQ8, k=10, m=20), 800, 8, rng)
    asked = listed(rng, case, has_tops=False)
    read = [int(replace(asked, ratio=ratio).search(kernels)[3][1]) for ratio in (1.0, 1.0001, 1.05, 1.2, 5.0, ANY)]
    assert read == sorted(read) and 1 <= read[0] < read[-1] == 100


def test_candidates_beyond_the_margin_are_not_compared(kernels: Kernels, rng: np.random.Generator) -> None:
    case = distinct(rng, make_case(rng, 400, 33, IP, LVQ8, k=5, m=200))
    asked = listed(rng, case)
    compared = [int(replace(asked, margin=margin).search(kernels)[3][3]) for margin in (0.0, 0.5, 2.0, ANY)]
    assert compared == sorted(compared) and compared[0] == 5 < compared[-1]


def test_only_lists_below_the_nearest_tops_are_scored(kernels: Kernels, rng: np.random.Generator) -> None:
    case = only_run(make_case(rng, 1_000, 31, L2, LVQ8, k=10, m=20), 800, 8, rng)
    asked = listed(rng, case, has_tops=False)
    tops = np.stack((rng.permutation(len(case.world.node_codes))[:10], np.arange(0, 100, 10))).astype(np.uint32)
    asked = replace(asked, tops=(tops, asked.tops[1]))
    for budget, n_scored in ((10, 30), (50, 30), (60, 40), (100, 60), (200, 100), (HUGE, 100)):
        case.budget = budget
        _, row, _, statistics = asked.search(kernels)
        assert statistics[0] == n_scored, "a quarter of 100 and one, or four times the budget's share, by whole tops"
        assert np.all(row >= 0)


@pytest.mark.parametrize("at", [0, 8 + 14, 16 + 9, 16 + 17, 16 + 24, 2_000, FILE_PAGE - 1])
def test_a_damaged_page_ends_the_search_with_its_number(kernels: Kernels, rng: np.random.Generator, at: int) -> None:
    asked = whole(rng)
    asked.memory[asked.places[3], max(16, at)] ^= 0x10
    distance, row, _, statistics = asked.search(kernels)
    assert statistics[6] == 1 + 3
    assert np.all(row == -1) and np.all(distance == np.inf)


def test_a_sound_page_of_another_number_is_not_scanned(kernels: Kernels, rng: np.random.Generator) -> None:
    asked = whole(rng)
    asked.places[2] = asked.places[4]
    assert asked.search(kernels)[3][6] == 1 + 2


def test_a_page_that_nobody_reads_may_be_damaged(kernels: Kernels, rng: np.random.Generator) -> None:
    asked = whole(rng)
    asked.case.mine.spans[OWN_STOP] = asked.shape.n_rows
    asked.memory[asked.places[1:]] = 0
    _, row, _, statistics = asked.search(kernels)
    assert statistics[6] == 0 and statistics[4] == 1 and np.all(row >= 0)


def whole(rng: np.random.Generator) -> Listed:
    """A reading of all rows, without entries."""
    case = only_run(make_case(rng, 500, 31, L2, LVQ8, k=10, m=20), 450, 450, rng)
    case.mine.spans[OWN_ENTRIES] = 0
    return listed(rng, case, has_tops=False)
