"""Building on emulated hardware: chunks of rows, copies of sums, orders of blocks."""

import numpy as np
import pytest

from tests.kernels.batch_rows import whole_numbers
from tests.kernels.gpu.emulated.driver import EmulatedDriver
from vdb.kernels import reference_batches
from vdb.kernels.gpu import launch_building
from vdb.kernels.gpu.launch_building import assign, kmeans, project


@pytest.fixture(params=["one chunk", "many chunks"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows at once, and a few dozen at a time, the last chunk shorter."""
    if request.param == "many chunks":
        monkeypatch.setattr(launch_building, "PRODUCT_BYTES", 4 * 1_000)


@pytest.mark.usefixtures("chunks")
def test_rows_of_all_chunks_are_assigned_and_projected(rng: np.random.Generator) -> None:
    driver = EmulatedDriver()
    rows, centroids = (whole_numbers(rng, n, 9).astype(np.float32) for n in (310, 21))
    held = driver.put(rows)
    labels, distances = assign(driver, held, centroids)
    expected_labels, expected_distances = reference_batches.assign(rows, centroids)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(project(driver, held, centroids), rows @ centroids.T)


@pytest.mark.parametrize("copies", [1, 64])
@pytest.mark.usefixtures("chunks")
def test_centroids_are_those_of_the_twin_to_the_last_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    monkeypatch.setattr(launch_building, "MOST_COPIES", copies)
    rows = whole_numbers(rng, 270, 7, largest=50).astype(np.float32) / np.float32(64)
    expected = reference_batches.kmeans(rows, rows[:12], 3)
    for backwards in (False, True):
        driver = EmulatedDriver(backwards=backwards)
        moved = kmeans(driver, driver.put(rows), rows[:12], 3)
        np.testing.assert_array_equal(moved.view(np.uint32), expected.view(np.uint32))


def test_rows_of_zeros_have_a_centroid_of_zeros() -> None:
    driver = EmulatedDriver()
    zeros = np.zeros((40, 3), np.float32)
    start = np.array([[1, 0, 0], [0, 3, 0]], np.float32)
    np.testing.assert_array_equal(kmeans(driver, driver.put(zeros), start, 2), [[0, 0, 0], [0, 3, 0]])
