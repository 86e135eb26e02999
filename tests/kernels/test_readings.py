"""One suite for every device: readings searched by codes and by vectors. Equal where sums are exact."""

from dataclasses import replace

import numpy as np
import pytest

from tests.contract.readings import ENCODINGS, HUGE, Case, blurred, encoded, make_case
from tests.kernels.reading_cases import Laid, expected, lay, make_cases, nothing
from vdb.kernels.device import NO_PAGE, PAGE_ROWS, Candidates, Device, DeviceFound, Queries, Wanted
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import COSINE, IP, L2, LARGEST
from vdb.kernels.reference_cells import LVQ4, LVQ8, N_TAIL, OWN_STOP

METRICS = (COSINE, L2, IP)


def _search(device: Device, laid: Laid, m: int, k: int, is_exact: bool = False) -> DeviceFound:
    wanted = replace(laid.wanted, is_exact=is_exact)
    return device.search(laid.rows, laid.model, laid.queries, wanted, m, k)


def _candidates(device: Device, laid: Laid, m: int) -> Candidates:
    return device.candidates(laid.rows, laid.model, laid.queries, laid.wanted, m)


def _same(device: Device, rng: np.random.Generator, cases: list[Case], m: int, k: int) -> None:
    """The cases' candidates and hits are the twin's, to the bit."""
    state = rng.bit_generator.state
    laid = lay(device, rng, cases)
    rng.bit_generator.state = state
    twin = NumpyDevice()
    of_twin = lay(twin, rng, cases)
    best, wanted = _candidates(device, laid, m), _candidates(twin, of_twin, m)
    np.testing.assert_array_equal(best.statistics, wanted.statistics)
    np.testing.assert_array_equal(best.row, wanted.row)
    np.testing.assert_array_equal(best.score, wanted.score)
    for is_exact in (False, True):
        found, wanted_found = _search(device, laid, m, k, is_exact), _search(twin, of_twin, m, k, is_exact)
        np.testing.assert_array_equal(found.statistics, wanted_found.statistics)
        np.testing.assert_array_equal(found.row, wanted_found.row)
        np.testing.assert_array_equal(found.distance, wanted_found.distance)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 7, 32, 130])
def test_searches_of_several_readings_find_what_the_kernel_of_the_cpu_finds(
    device: Device, rng: np.random.Generator, d: int, metric: int, encoding: int
) -> None:
    m, k = int(rng.integers(8, 60)), int(rng.integers(1, 8))
    cases = make_cases(rng, 120, d, metric, encoding, [30, HUGE, 0, 12, 40], k, m)
    if encoding in (LVQ8, LVQ4):
        blurred(rng, cases[0])
    _same(device, rng, cases, m, k)
    found = _search(device, lay(device, rng, cases), m, k)
    for i, case in enumerate(cases):
        distance, _, statistics = expected(case)
        np.testing.assert_array_equal(found.statistics[i], statistics)
        np.testing.assert_array_equal(found.distance[i], distance[:k])


@pytest.mark.parametrize("metric", METRICS)
def test_more_candidates_than_rows_are_all_rows_and_the_rest_is_empty(
    device: Device, rng: np.random.Generator, metric: int
) -> None:
    cases = make_cases(rng, 90, 16, metric, LVQ8, [HUGE] * 3, 200, 1_024)
    laid = lay(device, rng, cases)
    found, best = _search(device, laid, 1_024, 200), _candidates(device, laid, 1_024)
    for i, case in enumerate(cases):
        distance, row, _ = expected(case)
        np.testing.assert_array_equal(found.row[i], row[:200])
        np.testing.assert_array_equal(found.distance[i], distance[:200])
        n = int((row >= 0).sum())
        assert set(best.row[i, :n].tolist()) == set(row[:n].tolist())
        assert np.all(best.row[i, n:] == -1) and np.all(np.isinf(best.score[i, n:]))


def test_so_many_candidates_as_there_may_be_are_chosen_of_thousands(device: Device, rng: np.random.Generator) -> None:
    cases = make_cases(rng, 5_000, 4, L2, LVQ8, [HUGE, HUGE], 1_024, 1_024)
    blurred(rng, cases[0])
    _same(device, rng, cases, 1_024, 1_024)


def test_one_query_and_hundreds_are_answered_alike(device: Device, rng: np.random.Generator) -> None:
    cases = make_cases(rng, 100, 8, IP, LVQ4, [25] * 300, 3, 9)
    laid = lay(device, rng, cases)
    found = _search(device, laid, 9, 3)
    for i in (0, 1, 2, 150, 299):
        alone = _search(device, _part(laid, slice(i, i + 1)), 9, 3)
        np.testing.assert_array_equal(found.row[i], alone.row[0])
        np.testing.assert_array_equal(found.distance[i], alone.distance[0])
        np.testing.assert_array_equal(found.statistics[i], alone.statistics[0])


def _part(laid: Laid, part: slice) -> Laid:
    """Some of the queries."""
    asked, wanted = laid.queries, laid.wanted
    queries = Queries(
        asked.full[part], asked.kept[part], asked.coded[part], asked.step[part], asked.total[part], asked.norm[part]
    )
    of_part = Wanted(wanted.readings[part], wanted.sequence[part], wanted.now_s[part], wanted.budget[part])
    return replace(laid, queries=queries, wanted=of_part)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_several_pages_in_any_order_are_found_in_their_places(
    device: Device, rng: np.random.Generator, metric: int
) -> None:
    cases = make_cases(rng, 2 * PAGE_ROWS + 77, 3, metric, LVQ8, [2_000, HUGE], 20, 300)
    blurred(rng, cases[0])
    _same(device, rng, cases, 300, 20)


def test_of_rows_that_are_all_alike_the_first_are_candidates_and_the_oldest_are_nearest(
    device: Device, rng: np.random.Generator
) -> None:
    case = _everything(make_case(rng, 1_500, 8, L2, LVQ8, k=40, m=100))
    for values in (case.world.vectors, case.world.codes, case.world.offsets):
        values[:] = values[0]
    laid = lay(device, rng, [case])
    assert _candidates(device, laid, 100).row[0].tolist() == list(range(100))
    pids = case.world.pids
    assert pids[_search(device, laid, 100, 40).row[0]].tolist() == np.sort(pids[:100])[:40].tolist()
    assert pids[_search(device, laid, 100, 40, is_exact=True).row[0]].tolist() == np.sort(pids)[:40].tolist()


def test_rows_that_are_named_many_times_stand_once_and_leave_no_place_empty(
    device: Device, rng: np.random.Generator
) -> None:
    """The nearest rows are named so often that their copies alone would fill every place."""
    case = _everything(make_case(rng, 400, 8, L2, LVQ8, k=30, m=30))
    _, row, _ = expected(case)
    case.mine.tail = np.repeat(row.astype(np.uint32), 60)
    case.mine.spans[N_TAIL] = len(case.mine.tail)
    blurred(rng, case)
    _same(device, rng, [case, case], 30, 30)
    found = _search(device, lay(device, rng, [case]), 30, 30)
    assert len(set(found.row[0].tolist())) == 30 and found.statistics[0, 2] == 400 + 30 * 60


def test_rows_whose_page_is_not_there_are_passed_over(device: Device, rng: np.random.Generator) -> None:
    case = _everything(make_case(rng, PAGE_ROWS + 500, 4, L2, LVQ8, k=700, m=700))
    laid = lay(device, rng, [case])
    device.write(laid.rows.pages, 0, np.array([NO_PAGE], np.int32))
    for is_exact in (False, True):
        found = _search(device, laid, 700, 700, is_exact).row[0]
        assert sorted(found[:500].tolist()) == list(range(PAGE_ROWS, PAGE_ROWS + 500))
        assert np.all(found[500:] == -1)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_huge_components_give_finite_answers_and_lose_no_row(
    device: Device, rng: np.random.Generator, metric: int, encoding: int
) -> None:
    case = _everything(make_case(rng, 50, 31, metric, encoding, k=60, m=60))
    world = case.world
    world.vectors[:5], world.vectors[5:10] = 1e30, -3e38
    if metric == L2:
        world.offsets[:10] = np.inf
    if metric != COSINE and encoding in (LVQ8, LVQ4):
        world.constants[::3, -2:] = 1e30
    cases = []
    for value in (1e30, -3e38, 1e-30, 0.0):
        cases.append(replace(case, query=np.full(31, value, np.float32)))
    laid = lay(device, rng, cases)
    for found in (_search(device, laid, 60, 60), _search(device, laid, 60, 60, is_exact=True)):
        for i in range(len(cases)):
            assert sorted(found.row[i, :50].tolist()) == list(range(50))
            assert np.all(np.abs(found.distance[i, :50]) <= LARGEST)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_real_numbers_are_estimated_and_compared_up_to_rounding(
    device: Device, rng: np.random.Generator, metric: int, encoding: int
) -> None:
    cases = [_everything(case) for case in make_cases(rng, 700, 65, metric, encoding, [HUGE] * 3, 50, 50)]
    world = cases[0].world
    world.vectors[:] = rng.standard_normal(world.vectors.shape) / 8
    rows = world.vectors[world.slots]
    if encoding in (LVQ8, LVQ4):
        world.constants[:, -2:] *= 1 + rng.random((len(rows), 2), np.float32) / 64
    else:
        world.codes, _ = encoded(rows, encoding, 1.0)
    if metric == L2:
        world.offsets[:] = np.square(rows).sum(axis=1)
    for case in cases:
        case.query[:] = rng.standard_normal(65)
        if metric == COSINE:
            case.query[:] /= np.linalg.norm(case.query)
    twin, state = NumpyDevice(), rng.bit_generator.state
    of_twin = lay(twin, rng, cases)
    rng.bit_generator.state = state
    laid = lay(device, rng, cases)
    best, wanted = _candidates(device, laid, 50), _candidates(twin, of_twin, 50)
    np.testing.assert_allclose(best.score, wanted.score, rtol=1e-4, atol=1e-3)
    for is_exact in (False, True):
        found, wanted_found = _search(device, laid, 50, 50, is_exact), _search(twin, of_twin, 50, 50, is_exact)
        n_shared = sum(len(set(found.row[i]) & set(wanted_found.row[i])) for i in range(len(cases)))
        assert n_shared >= 0.98 * 50 * len(cases)
        if is_exact:
            np.testing.assert_allclose(found.distance, wanted_found.distance, rtol=1e-5, atol=1e-5)
        for i in range(len(cases)):
            query, rows = laid.queries.full[i].astype(np.float64), found.row[i]
            vectors = world.vectors[world.slots[rows]].astype(np.float64)
            true = -(vectors @ query) if metric == IP else np.maximum(1 - vectors @ query, 0)
            true = np.square(vectors - query).sum(axis=1) if metric == L2 else true
            np.testing.assert_allclose(found.distance[i], true, rtol=1e-4, atol=1e-5)


def test_a_search_of_nothing_finds_nothing(device: Device, rng: np.random.Generator) -> None:
    case = replace(make_case(rng, 20, 4, L2, LVQ8), mine=nothing(), everyones=nothing())
    laid = lay(device, rng, [case])
    for found in (_search(device, laid, 10, 5), _search(device, laid, 10, 5, is_exact=True)):
        assert np.all(found.row == -1) and np.all(np.isinf(found.distance)) and not found.statistics.any()
    none = _part(laid, slice(0, 0))
    assert _search(device, none, 10, 5).row.shape == (0, 5)
    assert _candidates(device, none, 10).score.shape == (0, 10)


def _everything(case: Case) -> Case:
    """The case with one reading left, of a run of all rows, and nothing hidden."""
    for reading in (case.mine, case.everyones):
        reading.spans[:] = 0
    case.mine.spans[OWN_STOP] = len(case.world.pids)
    case.world.dead_at[:] = 0xFFFF_FFFF
    case.world.added_at[:] = 0
    case.world.expires_at = np.zeros(0, np.uint32)
    return case
