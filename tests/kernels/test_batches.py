"""One suite for every device: the nearest of all rows, centroids, projections. Equal where sums are exact."""

import numpy as np
import pytest

from tests.kernels.batch_rows import brute_nearest, squared_norms, whole_numbers
from vdb.kernels.device import Device
from vdb.kernels.reference import COSINE, IP, L2, UInt8s


def _same_nearest(
    device: Device, rng: np.random.Generator, n: int, d: int, q: int, k: int, metric: int = L2,
    visible: UInt8s | None = None, largest: int = 2,
) -> None:  # fmt: skip
    rows, queries = whole_numbers(rng, n, d, largest), whole_numbers(rng, q, d, largest)
    norms = device.put(squared_norms(rows)) if metric == L2 else None
    mask = None if visible is None else device.put(visible)
    distance, row = device.nearest(queries, device.put(rows), norms, mask, metric, k)
    expected_distance, expected_row = brute_nearest(queries, rows, visible, metric, k)
    np.testing.assert_array_equal(distance, expected_distance)
    np.testing.assert_array_equal(row, expected_row)
    assert distance.dtype == np.float32 and row.dtype == np.int64


@pytest.mark.parametrize("metric", [COSINE, L2, IP])
def test_the_nearest_of_integers_are_equal_to_brute_force_with_ties_by_row(
    device: Device, rng: np.random.Generator, metric: int
) -> None:
    _same_nearest(device, rng, n=700, d=8, q=5, k=20, metric=metric)


@pytest.mark.parametrize("dimension", [1, 7, 64, 128, 384, 1000])
def test_rows_of_any_dimension_are_compared(device: Device, rng: np.random.Generator, dimension: int) -> None:
    _same_nearest(device, rng, n=150, d=dimension, q=3, k=5)


@pytest.mark.parametrize("n_queries", [1, 127, 128, 130])
def test_any_number_of_queries_is_answered(device: Device, rng: np.random.Generator, n_queries: int) -> None:
    _same_nearest(device, rng, n=200, d=16, q=n_queries, k=3)


@pytest.mark.parametrize("n_rows", [0, 1, 9])
def test_fewer_rows_than_wanted_are_padded(device: Device, rng: np.random.Generator, n_rows: int) -> None:
    _same_nearest(device, rng, n=n_rows, d=16, q=2, k=10)


def test_the_most_rows_that_may_be_wanted_are_found(device: Device, rng: np.random.Generator) -> None:
    _same_nearest(device, rng, n=1_500, d=16, q=2, k=1_024)


def test_invisible_rows_are_not_found(device: Device, rng: np.random.Generator) -> None:
    visible = (rng.random(500) < 0.1).astype(np.uint8)
    _same_nearest(device, rng, n=500, d=16, q=3, k=10, visible=visible)
    _same_nearest(device, rng, n=500, d=16, q=3, k=100, metric=IP, visible=visible)
    _same_nearest(device, rng, n=500, d=16, q=3, k=10, visible=np.zeros(500, np.uint8))


def test_rows_that_come_ever_nearer_are_all_considered(device: Device, rng: np.random.Generator) -> None:
    rows = np.sort(rng.integers(-1_000, 1_000, 3_000))[:, None] * np.ones(16, np.int64) / 16
    queries = np.full((2, 16), 1.0, np.float16)
    coded = np.round(rows).astype(np.float16)
    distance, row = device.nearest(queries, device.put(coded), None, None, IP, 10)
    expected_distance, expected_row = brute_nearest(queries, coded, None, IP, 10)
    np.testing.assert_array_equal(distance, expected_distance)
    np.testing.assert_array_equal(row, expected_row)


@pytest.mark.parametrize("metric", [COSINE, L2, IP])
def test_real_numbers_give_the_same_distances_up_to_rounding(
    device: Device, rng: np.random.Generator, metric: int
) -> None:
    rows = rng.standard_normal((600, 96))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    queries = rows[:4] + np.float16(0.01)
    norms = device.put(squared_norms(rows)) if metric == L2 else None
    distance, row = device.nearest(queries, device.put(rows), norms, None, metric, 10)
    expected, _ = brute_nearest(queries, rows, None, metric, 10)
    np.testing.assert_allclose(distance, expected, atol=1e-5)
    assert all(len(set(found)) == 10 for found in row.tolist())


@pytest.mark.parametrize(("n_rows", "n_centroids", "dimension"), [(300, 7, 5), (260, 130, 16), (5, 9, 33), (0, 3, 4)])
def test_rows_go_to_the_nearest_centroid_the_lower_of_equals(
    device: Device, rng: np.random.Generator, n_rows: int, n_centroids: int, dimension: int
) -> None:
    rows = whole_numbers(rng, n_rows, dimension).astype(np.float32)
    centroids = whole_numbers(rng, n_centroids, dimension).astype(np.float32)
    labels, distances = device.assign(device.put(rows), centroids)
    squared = np.square(rows[:, None] - centroids).sum(axis=2)
    np.testing.assert_array_equal(labels, squared.argmin(axis=1))
    np.testing.assert_array_equal(distances, squared.min(axis=1))
    assert labels.dtype == np.int32 and distances.dtype == np.float32


def test_centroids_move_to_the_means_of_their_rows_and_an_empty_one_stays(
    device: Device, rng: np.random.Generator
) -> None:
    rows = np.concatenate([rng.normal(place, 0.1, (100, 6)) for place in (-3, 0, 3)]).astype(np.float32)
    start = np.array([[-2.0] * 6, [0.5] * 6, [2.0] * 6, [99.0] * 6], np.float32)
    centroids = device.kmeans(device.put(rows), start, 3)
    means = rows.reshape(3, 100, 6).mean(axis=1, dtype=np.float64)
    np.testing.assert_allclose(centroids[:3], means, rtol=1e-6)
    np.testing.assert_array_equal(centroids[3], start[3])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_centroids_of_the_same_rows_are_the_same_to_the_last_bit(
    device: Device, rng: np.random.Generator, scale: float
) -> None:
    rows = (rng.standard_normal((400, 12)) * scale).astype(np.float32)
    once, shuffled = device.put(rows), device.put(rows[rng.permutation(400)])
    first = device.kmeans(once, rows[:9], 4)
    np.testing.assert_array_equal(first.view(np.uint32), device.kmeans(once, rows[:9], 4).view(np.uint32))
    np.testing.assert_array_equal(first.view(np.uint32), device.kmeans(shuffled, rows[:9], 4).view(np.uint32))


def test_iterations_bring_rows_nearer_to_their_centroids(device: Device, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((500, 8)).astype(np.float32)
    held, losses = device.put(rows), []
    for n_iterations in (0, 1, 5):
        _, distances = device.assign(held, device.kmeans(held, rows[:10], n_iterations))
        losses.append(float(distances.sum()))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize(("n_rows", "dimension", "kept"), [(70, 40, 9), (1, 1, 1), (0, 8, 4)])
def test_rows_are_projected(device: Device, rng: np.random.Generator, n_rows: int, dimension: int, kept: int) -> None:
    rows = whole_numbers(rng, n_rows, dimension).astype(np.float32)
    matrix = whole_numbers(rng, kept, dimension).astype(np.float32)
    projected = device.project(device.put(rows), matrix)
    np.testing.assert_array_equal(projected, rows @ matrix.T)
    assert projected.shape == (n_rows, kept) and projected.dtype == np.float32
