"""Every kernel implementation against the NumPy twins, and the twins against a plain loop.

Data are small integers and scales powers of two, where float32 sums are exact: answers must be equal, not close.
"""

import logging
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.kernels import ALIVE, METRIC_NUMBER, Kernels, cpu_kernels, reference_kernels, row_scales
from vdb.kernels.cpu import scan
from vdb.kernels.dispatch import Loader
from vdb.kernels.reference import Float32s, Int64s, UInt8s, UInt32s
from vdb.types import Metric

SEQUENCE, NOW_MS = 50, 1_000
METRICS = sorted(METRIC_NUMBER.values())
LARGEST = np.finfo(np.float32).max


@dataclass
class Case:
    """The arguments of a scan, outputs aside."""

    queries: Float32s
    vectors: Float32s
    scales: Float32s
    pids: UInt32s
    added_at: Int64s
    dead_at: Int64s
    expires_at: Int64s
    mask: UInt8s
    n_rows: int
    metric: int
    m: int

    @property
    def of_rows(self) -> tuple[Any, ...]:
        arrays = (self.vectors, self.scales, self.pids, self.added_at, self.dead_at, self.expires_at, self.mask)
        return (*arrays, self.n_rows, SEQUENCE, NOW_MS, self.metric)


def make_case(rng: np.random.Generator, n: int, d: int, metric: int, m: int, n_spare: int = 3, spread: int = 3) -> Case:
    """Rows with ties, zero rows, and every way of being invisible; spare capacity holds rows that must never show."""
    capacity = n + n_spare
    vectors = rng.integers(-spread, spread + 1, (capacity, d)).astype(np.float32)
    vectors[rng.random(capacity) < 0.1] = 0
    if n > 1:
        vectors[n - 1] = vectors[0]
    queries = rng.integers(-spread, spread + 1, (3, d)).astype(np.float32)
    queries[2] = 0
    scales = np.where(vectors.any(axis=1), 2.0 ** -rng.integers(0, 4, capacity), 0).astype(np.float32)
    return Case(
        queries=queries,
        vectors=vectors,
        scales=scales if metric == METRIC_NUMBER[Metric.COSINE] else np.zeros(0, dtype=np.float32),
        pids=rng.permutation(np.arange(2**32 - capacity, 2**32).astype(np.uint32)),
        added_at=rng.choice([1, SEQUENCE, SEQUENCE + 1], capacity, p=[0.8, 0.1, 0.1]),
        dead_at=rng.choice([ALIVE, SEQUENCE, SEQUENCE + 1], capacity, p=[0.8, 0.1, 0.1]),
        expires_at=rng.choice([0, NOW_MS, NOW_MS + 1], capacity, p=[0.8, 0.1, 0.1]),
        mask=(rng.random(capacity) < 0.7).astype(np.uint8) if rng.random() < 0.5 else np.zeros(0, dtype=np.uint8),
        n_rows=n,
        metric=metric,
        m=m,
    )


def all_visible(case: Case) -> Case:
    ones, zeros = np.ones_like(case.added_at), np.zeros_like(case.expires_at)
    return replace(case, added_at=ones, dead_at=ones * ALIVE, expires_at=zeros, mask=np.zeros(0, dtype=np.uint8))


def scan_one(kernels: Kernels, case: Case, i: int = 0) -> tuple[int, Float32s, Int64s]:
    distance, row = np.empty(case.m, dtype=np.float32), np.empty(case.m, dtype=np.int64)
    arguments: Any = (case.queries[i], *case.of_rows, distance, row)
    return kernels.scan_rows(*arguments), distance, row


def scan_all(kernels: Kernels, case: Case) -> tuple[Int64s, Float32s, Int64s]:
    n_queries = len(case.queries)
    distance, row = np.empty((n_queries, case.m), dtype=np.float32), np.empty((n_queries, case.m), dtype=np.int64)
    found = np.empty(n_queries, dtype=np.int64)
    arguments: Any = (case.queries, *case.of_rows, distance, row, found)
    kernels.scan_many(*arguments)
    return found, distance, row


def plain_distance(case: Case, i: int, row: int) -> float:
    query, vector = case.queries[i].astype(float), case.vectors[row].astype(float)
    if case.metric == METRIC_NUMBER[Metric.L2]:
        return float(((query - vector) ** 2).sum())
    if case.metric == METRIC_NUMBER[Metric.IP]:
        return float(-(query @ vector))
    return max(0.0, float(1 - query @ vector * case.scales[row]))


def plain_scan(case: Case, i: int) -> list[tuple[float, int]]:
    """(distance, row) of what must be found, by the words of the contract."""
    visible = [
        row
        for row in range(case.n_rows)
        if case.added_at[row] <= SEQUENCE < case.dead_at[row]
        and (case.expires_at[row] == 0 or case.expires_at[row] > NOW_MS)
        and (len(case.mask) == 0 or case.mask[row])
    ]
    ranked = sorted((plain_distance(case, i, row), int(case.pids[row]), row) for row in visible)
    return [(distance, row) for distance, _, row in ranked[: case.m]]


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 70),
    d=st.integers(1, 300),
    metric=st.sampled_from(METRICS),
    m=st.integers(0, 90),
    n_spare=st.integers(0, 9),
)
@settings(max_examples=max(100, settings().max_examples))
def test_compiled_kernels_and_twins_give_identical_answers(
    seed: int, n: int, d: int, metric: int, m: int, n_spare: int
) -> None:
    case = make_case(np.random.default_rng(seed), n, d, metric, m, n_spare)
    for ours, theirs in zip(scan_all(cpu_kernels(), case), scan_all(reference_kernels(), case), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for i in range(len(case.queries)):
        for ours, theirs in zip(scan_one(cpu_kernels(), case, i), scan_one(reference_kernels(), case, i), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d", "m"), [(0, 4, 3), (1, 1, 5), (60, 2, 10), (60, 17, 60), (40, 128, 100)])
def test_a_scan_finds_what_a_plain_loop_finds(
    kernels: Kernels, rng: np.random.Generator, n: int, d: int, m: int, metric: int
) -> None:
    case = make_case(rng, n, d, metric, m)
    found, distance, row = scan_all(kernels, case)
    for i in range(len(case.queries)):
        expected = plain_scan(case, i)
        assert found[i] == len(expected)
        assert list(zip(distance[i].tolist(), row[i].tolist(), strict=True))[: found[i]] == expected
        assert np.all(distance[i, found[i] :] == np.inf)
        assert np.all(row[i, found[i] :] == -1)


@pytest.mark.parametrize("metric", METRICS)
def test_many_queries_give_the_answers_of_each_alone_across_tiles(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    n = 3 * scan.TILE_BYTES // (4 * 256) + 5
    case = make_case(rng, n, d=256, metric=metric, m=n)
    found, distance, row = scan_all(kernels, case)
    for i in range(len(case.queries)):
        n_found, distance_alone, row_alone = scan_one(kernels, case, i)
        assert n_found == found[i]
        np.testing.assert_array_equal(distance_alone, distance[i])
        np.testing.assert_array_equal(row_alone, row[i])


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_smaller_pid_wherever_its_row_lies(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    case = all_visible(make_case(rng, n=50, d=3, metric=metric, m=7))
    case.vectors[:] = 1
    case.scales[:] = 0.5
    _, _, row = scan_one(kernels, case)
    np.testing.assert_array_equal(case.pids[row], np.sort(case.pids[:50])[:7])


@pytest.mark.parametrize("metric", METRICS)
def test_read_only_arrays_are_accepted(kernels: Kernels, rng: np.random.Generator, metric: int) -> None:
    case = make_case(rng, n=30, d=8, metric=metric, m=5)
    expected = scan_all(kernels, case)
    for value in vars(case).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    for ours, theirs in zip(scan_all(kernels, case), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_large_heap_is_sorted_by_distance(kernels: Kernels, rng: np.random.Generator) -> None:
    case = all_visible(make_case(rng, n=6_000, d=4, metric=METRIC_NUMBER[Metric.L2], m=5_000, spread=30))
    n_found, distance, row = scan_one(kernels, case)
    assert n_found == 5_000
    order = np.lexsort((case.pids[row], distance))
    np.testing.assert_array_equal(order, np.arange(5_000))
    assert len(np.unique(row)) == 5_000


@pytest.mark.parametrize("metric", METRICS)
def test_distances_that_overflow_saturate_and_stay_findable(
    kernels: Kernels, rng: np.random.Generator, metric: int
) -> None:
    case = all_visible(make_case(rng, n=6, d=8, metric=metric, m=8))
    case.queries[0] = 3e38
    case.vectors[0] = 3e38
    case.vectors[1] = -3e38
    case.vectors[2] = np.float32(3e38) * np.array([1, -1] * 4, dtype=np.float32)  # inf - inf is nan
    n_found, distance, row = scan_one(kernels, case)
    assert n_found == 6
    assert np.all(np.abs(distance[:6]) <= LARGEST)
    assert sorted(row.tolist()) == [-1, -1, 0, 1, 2, 3, 4, 5]


def test_cosine_never_falls_below_zero(kernels: Kernels, rng: np.random.Generator) -> None:
    case = all_visible(make_case(rng, n=200, d=97, metric=METRIC_NUMBER[Metric.COSINE], m=200))
    case.vectors[:] = rng.standard_normal(case.vectors.shape, dtype=np.float32)
    case.scales[:] = row_scales(case.vectors)
    for row in range(200):
        case.queries[0] = case.vectors[row] * case.scales[row]
        _, distance, rows = scan_one(kernels, case)
        assert rows[0] == row
        assert 0 <= distance[0] < 1e-6


@pytest.mark.parametrize("metric", METRICS)
def test_real_valued_distances_agree_with_float64(kernels: Kernels, rng: np.random.Generator, metric: int) -> None:
    case = all_visible(make_case(rng, n=100, d=384, metric=metric, m=100))
    case.vectors[:] = rng.standard_normal(case.vectors.shape, dtype=np.float32)
    case.queries[:] = rng.standard_normal(case.queries.shape, dtype=np.float32)
    if len(case.scales):
        case.scales[:] = row_scales(case.vectors)
    _, distance, row = scan_one(kernels, case)
    expected = [plain_distance(case, 0, int(r)) for r in row]
    np.testing.assert_allclose(distance, expected, rtol=1e-5, atol=1e-4)


def test_row_scales_are_the_inverse_norms_and_zero_for_zero_rows() -> None:
    vectors = np.array([[3, 4], [0, 0], [3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32)
    np.testing.assert_allclose(row_scales(vectors), [0.2, 0, 2e-31, 2e29], rtol=1e-6)


def test_importing_kernels_does_not_import_numba() -> None:
    program = "import sys, vdb.kernels, vdb.index.flat; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_twins_answer_until_the_compiled_kernels_are_ready() -> None:
    gate = threading.Event()

    def load() -> Kernels:
        gate.wait(10)
        return replace(reference_kernels(), name="compiled")

    loader = Loader(load)
    loader.warm()
    loader.warm()
    assert (loader.current.name, loader.is_ready(), loader.wait_ready(0)) == ("numpy", False, False)
    gate.set()
    assert loader.wait_ready(10)
    assert (loader.current.name, loader.is_ready()) == ("compiled", True)


def test_twins_stay_when_loading_fails(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Kernels:
        raise ImportError("no numba here")

    loader = Loader(load)
    with caplog.at_level(logging.WARNING):
        loader.warm(background=False)
    assert not loader.wait_ready(10)
    assert loader.current.name == "numpy"
    assert "NumPy answers instead" in caplog.text
