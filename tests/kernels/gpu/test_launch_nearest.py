"""The nearest of all rows on emulated hardware: chunks, lists that overfill, orders of blocks, what is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kernels.batch_rows import brute_nearest, squared_norms, whole_numbers
from tests.kernels.gpu.emulated.driver import EmulatedDriver
from vdb.kernels.device import DeviceFailed
from vdb.kernels.gpu import launch_nearest
from vdb.kernels.gpu.launch_nearest import find_nearest
from vdb.kernels.reference import COSINE, IP, L2, UInt8s


def _check(
    driver: EmulatedDriver, rows: NDArray[np.float16], queries: NDArray[np.float16], k: int, metric: int = IP,
    visible: UInt8s | None = None,
) -> None:  # fmt: skip
    norms = driver.put(squared_norms(rows)) if metric == L2 else None
    mask = None if visible is None else driver.put(visible)
    distance, row = find_nearest(driver, queries, driver.put(rows), norms, mask, metric, k)
    expected_distance, expected_row = brute_nearest(queries, rows, visible, metric, k)
    np.testing.assert_array_equal(distance, expected_distance)
    np.testing.assert_array_equal(row, expected_row)


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of 128 keys: a few thousand rows make many chunks."""
    monkeypatch.setattr(launch_nearest, "CAPACITY", 128)


@pytest.mark.parametrize("metric", [COSINE, L2, IP])
@pytest.mark.usefixtures("short_lists")
def test_rows_of_many_chunks_are_all_considered(rng: np.random.Generator, metric: int) -> None:
    driver = EmulatedDriver()
    _check(driver, whole_numbers(rng, 4_000, 16), whole_numbers(rng, 5, 16), k=10, metric=metric)


@pytest.mark.usefixtures("short_lists")
def test_lists_that_overfill_as_rows_come_ever_nearer_lose_nothing(rng: np.random.Generator) -> None:
    scattered = rng.integers(-1_000, 1_000, 5_000).astype(np.float16)[:, None] * np.ones((1, 8), np.float16)
    nearer = np.sort(scattered, axis=0)
    n_launches = []
    for rows in (scattered, nearer, nearer[::-1]):
        driver = EmulatedDriver()
        _check(driver, np.ascontiguousarray(rows), np.ones((3, 8), np.float16), k=12)
        n_launches.append(driver.n_launches)
    assert n_launches[0] < max(n_launches), n_launches


@pytest.mark.usefixtures("short_lists")
def test_rows_that_are_all_alike_are_found_in_their_order(rng: np.random.Generator) -> None:
    rows = np.ones((3_000, 4), np.float16)
    _check(EmulatedDriver(), rows, whole_numbers(rng, 3, 4), k=16, metric=L2)


@pytest.mark.usefixtures("short_lists")
def test_few_visible_rows_are_found_among_many(rng: np.random.Generator) -> None:
    visible = np.zeros(4_000, np.uint8)
    visible[rng.choice(4_000, 14, replace=False)] = 1
    rows, queries = whole_numbers(rng, 4_000, 8), whole_numbers(rng, 3, 8)
    for k in (5, 16):
        _check(EmulatedDriver(), rows, queries, k=k, metric=L2, visible=visible)


@pytest.mark.usefixtures("short_lists")
def test_blocks_that_run_in_another_order_give_the_same_answer(rng: np.random.Generator) -> None:
    rows, queries = whole_numbers(rng, 2_500, 24), whole_numbers(rng, 140, 24)
    _check(EmulatedDriver(backwards=True, n_processors=3), rows, queries, k=9, metric=L2)


def test_queries_of_several_launches_are_answered(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_nearest, "MOST_QUERIES", 128)
    _check(EmulatedDriver(), whole_numbers(rng, 300, 8), whole_numbers(rng, 260, 8), k=4, metric=L2)


@pytest.mark.parametrize("dimension", [191, 192, 193, 256])
def test_queries_that_stay_and_queries_that_are_read_again_give_the_same(
    rng: np.random.Generator, dimension: int
) -> None:
    _check(EmulatedDriver(), whole_numbers(rng, 400, dimension), whole_numbers(rng, 2, dimension), k=5, metric=L2)


def test_distances_that_are_next_to_the_bound_are_not_lost(rng: np.random.Generator) -> None:
    rows = (rng.standard_normal((5_000, 32)) + 30).astype(np.float16)
    queries = rows[:3]
    driver = EmulatedDriver()
    distance, row = find_nearest(driver, queries, driver.put(rows), driver.put(squared_norms(rows)), None, L2, 50)
    expected, _ = brute_nearest(queries, rows, None, L2, 50)
    np.testing.assert_allclose(distance, expected, atol=0.05)
    assert row[:, 0].tolist() == [0, 1, 2]


def test_too_little_shared_memory_is_refused(rng: np.random.Generator) -> None:
    driver = EmulatedDriver(shared_bytes=48 * 1024)
    with pytest.raises(DeviceFailed, match="shared memory"):
        _check(driver, whole_numbers(rng, 10, 8), whole_numbers(rng, 1, 8), k=1)


def test_a_stride_meets_every_tile_once() -> None:
    for n_tiles in range(1, 300):
        stride = launch_nearest._stride(n_tiles)
        assert 0 <= stride < n_tiles
        assert sorted(place * stride % n_tiles for place in range(n_tiles)) == list(range(n_tiles))
