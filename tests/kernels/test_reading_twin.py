"""The device of plain arrays searches readings as `search_cells` does, but for comparing every candidate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.readings import ENCODINGS, HUGE, blurred
from tests.kernels.reading_cases import Laid, expected, lay, make_cases
from vdb.kernels.device import NO_PAGE, PAGE_ROWS
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import COSINE, IP, L2

METRICS = (COSINE, L2, IP)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 150),
    d=st.integers(1, 130),
    metric=st.sampled_from(METRICS),
    encoding=st.sampled_from(ENCODINGS),
    budgets=st.lists(st.sampled_from([0, 1, 10, 40, HUGE]), min_size=1, max_size=6),
    k=st.integers(1, 30),
    m=st.integers(1, 200),
)
@settings(max_examples=max(100, settings().max_examples))
def test_all_candidates_of_a_search_by_cells_are_found_and_compared(
    seed: int, n: int, d: int, metric: int, encoding: int, budgets: list[int], k: int, m: int
) -> None:
    rng, device = np.random.default_rng(seed), NumpyDevice()
    cases = make_cases(rng, n, d, metric, encoding, budgets, k, m)
    if cases[0].m < n:
        blurred(rng, cases[0])
    laid = lay(device, rng, cases)
    found = device.search(laid.rows, laid.model, laid.queries, laid.wanted, cases[0].m, k)
    for i, case in enumerate(cases):
        distance, row, statistics = expected(case)
        np.testing.assert_array_equal(found.statistics[i], statistics)
        np.testing.assert_array_equal(found.distance[i], distance[:k])
        if case.m >= n:
            np.testing.assert_array_equal(found.row[i], row[:k])


def _candidates_are_those_of(laid: Laid, device: NumpyDevice, m: int, k: int) -> None:
    best = device.candidates(laid.rows, laid.model, laid.queries, laid.wanted, m)
    found = device.search(laid.rows, laid.model, laid.queries, laid.wanted, m, k)
    assert np.all(best.statistics[:, 3] == 0)
    np.testing.assert_array_equal(best.statistics[:, :3], found.statistics[:, :3])
    for i in range(len(best.row)):
        n_held = int(found.statistics[i, 3])
        assert np.all(best.row[i, n_held:] == -1) and np.all(np.isinf(best.score[i, n_held:]))
        order = np.lexsort((best.row[i, :n_held], best.score[i, :n_held]))
        assert order.tolist() == list(range(n_held))
        assert set(found.row[i][found.row[i] >= 0].tolist()) <= set(best.row[i, :n_held].tolist())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_candidates_come_in_the_order_of_their_scores_and_hold_what_a_search_finds(
    rng: np.random.Generator, metric: int, encoding: int
) -> None:
    device = NumpyDevice()
    cases = make_cases(rng, 140, 33, metric, encoding, [20, 40, HUGE, 0, 5], 7, 30)
    _candidates_are_those_of(lay(device, rng, cases), device, 30, 7)


@pytest.mark.parametrize("metric", METRICS)
def test_an_exact_search_compares_every_row_that_is_visible(rng: np.random.Generator, metric: int) -> None:
    device = NumpyDevice()
    cases = make_cases(rng, 140, 17, metric, ENCODINGS[0], [0, 3, HUGE, 1], 20, 20)
    laid = lay(device, rng, cases)
    found = device.search(laid.rows, laid.model, laid.queries, replace(laid.wanted, is_exact=True), 20, 20)
    for i, case in enumerate(cases):
        ranked = sorted((case.true_distance(row), int(case.world.pids[row]), row) for row in case.visible())[:20]
        assert found.row[i, : len(ranked)].tolist() == [row for _, _, row in ranked]
        assert found.distance[i, : len(ranked)].tolist() == [distance for distance, _, _ in ranked]
        assert np.all(found.row[i, len(ranked) :] == -1)


def test_rows_of_several_pages_in_any_order_are_found(rng: np.random.Generator) -> None:
    device = NumpyDevice()
    cases = make_cases(rng, 3 * PAGE_ROWS + 5, 4, L2, ENCODINGS[0], [2_000, HUGE], 50, 20_000)
    laid = lay(device, rng, cases)
    found = device.search(laid.rows, laid.model, laid.queries, laid.wanted, 20_000, 50)
    for i, case in enumerate(cases):
        distance, row, statistics = expected(case)
        np.testing.assert_array_equal(found.statistics[i], statistics)
        np.testing.assert_array_equal(found.distance[i], distance[:50])
        np.testing.assert_array_equal(found.row[i], row[:50])


def test_rows_whose_page_is_not_there_are_passed_over(rng: np.random.Generator) -> None:
    device = NumpyDevice()
    cases = make_cases(rng, PAGE_ROWS + 500, 4, L2, ENCODINGS[0], [HUGE], 5_000, 5_000)
    laid = lay(device, rng, cases)
    whole = device.search(laid.rows, laid.model, laid.queries, laid.wanted, 5_000, 5_000)
    device.write(laid.rows.pages, 1, np.array([NO_PAGE], np.int32))
    found = device.search(laid.rows, laid.model, laid.queries, laid.wanted, 5_000, 5_000)
    kept = whole.row[0][(whole.row[0] >= 0) & (whole.row[0] < PAGE_ROWS)]
    assert found.row[0][: len(kept)].tolist() == kept.tolist()
    assert np.all(found.row[0][len(kept) :] == -1)
