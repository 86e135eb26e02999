"""Kernels of the clustering: both implementations against plain sums, on small integers, where they are exact."""

import numpy as np
import pytest

from vdb.kernels import Kernels, cpu_kernels, reference_kernels


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


@pytest.mark.parametrize("d", [1, 7, 96, 384])
@pytest.mark.parametrize("n", [0, 1, 2_000])
def test_rows_are_added_to_the_sums_of_their_labels(kernels: Kernels, rng: np.random.Generator, n: int, d: int) -> None:
    rows = rng.integers(-50, 50, (n, d)).astype(np.float32)
    labels = rng.integers(0, 5, n).astype(np.int32)
    sums = np.full((7, d), 3.0)
    kernels.sum_rows(rows, labels, sums)
    for label in range(7):
        assert sums[label].tolist() == (3 + rows[labels == label].sum(axis=0, dtype=np.float64)).tolist()


@pytest.mark.parametrize("d", [1, 3, 96])
def test_two_means_are_the_means_of_the_rows_that_are_nearest(
    kernels: Kernels, rng: np.random.Generator, d: int
) -> None:
    rows = rng.integers(-50, 50, (512, d)).astype(np.float32)
    pair = rows[:2].copy()
    kernels.two_means(rows, 1, pair)
    distances = ((rows[:, None].astype(float) - rows[None, :2]) ** 2).sum(axis=2)
    is_second = distances[:, 1] < distances[:, 0]
    expected = np.stack([rows[~is_second].mean(axis=0, dtype=float), rows[is_second].mean(axis=0, dtype=float)])
    np.testing.assert_array_equal(pair, expected.astype(np.float32))


def test_two_means_find_two_crowds(kernels: Kernels, rng: np.random.Generator) -> None:
    rows = np.concatenate((rng.standard_normal((300, 8)), rng.standard_normal((100, 8)) + 20)).astype(np.float32)
    pair = rows[:2].copy()  # both of the first crowd
    pair[1] += 1e-3
    kernels.two_means(rows, 50, pair)
    found = pair[np.argsort(pair[:, 0])]
    np.testing.assert_allclose(found, [rows[:300].mean(axis=0), rows[300:].mean(axis=0)], atol=1e-4)


def test_centroids_stay_where_one_would_have_all_rows(kernels: Kernels) -> None:
    rows = np.ones((5, 4), np.float32)
    for pair in (np.ones((2, 4), np.float32), np.array([[2] * 4, [1] * 4], np.float32)):
        before = pair.copy()
        kernels.two_means(rows, 3, pair)
        assert np.array_equal(pair, before)
