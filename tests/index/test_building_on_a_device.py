"""Builds with a device: whether it pays, whose turn it is, and that a device that fails changes nothing."""

import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from vdb.index import kmeans
from vdb.index.leanvec.projection import fit_rows
from vdb.kernels import acceleration
from vdb.kernels.acceleration import Costs
from vdb.kernels.device import Block, DeviceLost, OutOfDeviceMemory
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import Float32s

ALWAYS = Costs(copied_bytes_per_s=np.inf, call_s=0, n_cpus=1, least_saved_s=0)


@pytest.fixture(autouse=True)
def _no_device_after() -> Iterator[None]:
    yield
    acceleration.set_device(None)


class _Failing(NumpyDevice):
    """Assigns and projects so many blocks, then fails."""

    def __init__(self, failure: Exception, n_before: int = 0) -> None:
        super().__init__()
        self.failure, self.n_before, self.n_asked = failure, n_before, 0

    def _ask(self) -> None:
        self.n_asked += 1
        if self.n_asked > self.n_before:
            raise self.failure

    def assign(self, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
        self._ask()
        return super().assign(rows, centroids)

    def project(self, rows: Block, matrix: Float32s) -> Float32s:
        self._ask()
        return super().project(rows, matrix)


def _rows(rng: np.random.Generator, n: int = 900, d: int = 12) -> Float32s:
    return rng.integers(-3, 4, (n, d)).astype(np.float32)


def test_without_a_device_nothing_is_asked_of_one(rng: np.random.Generator) -> None:
    rows = _rows(rng)
    assert acceleration.assign(rows, rows[:5], kmeans.unasked) is None
    assert acceleration.project(rows, rows[:5]) is None


def test_a_device_assigns_the_rows_of_a_clustering_in_blocks(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _rows(rng)
    expected = kmeans.nearest(rows, rows[:40])
    monkeypatch.setattr(acceleration, "BLOCK_BYTES", 100 * rows.itemsize * rows.shape[1])
    device = _Failing(AssertionError("asked too often"), n_before=9)
    acceleration.set_device(device, ALWAYS)
    before = acceleration.figures()
    labels, distances = kmeans.nearest(rows, rows[:40])
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(distances, expected[1])
    assert device.n_asked == 9
    assert acceleration.figures().n_rows_assigned - before.n_rows_assigned == 900


def test_a_device_projects_rows_and_queries(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((500, 30)).astype(np.float32)
    projection = fit_rows(rows, 10)
    expected, asked = projection.project_rows(rows), projection.project_queries(rows)
    before = acceleration.figures()
    acceleration.set_device(NumpyDevice(), ALWAYS)
    np.testing.assert_allclose(projection.project_rows(rows), expected, atol=1e-5)
    np.testing.assert_allclose(projection.project_queries(rows), asked, atol=1e-5)
    assert acceleration.figures().n_rows_projected - before.n_rows_projected == 1_000


def test_little_work_stays_on_the_cpu(rng: np.random.Generator) -> None:
    acceleration.set_device(_Failing(AssertionError("not worth it")))
    rows = _rows(rng)
    kmeans.nearest(rows, rows[:5])
    assert not Costs(n_cpus=1).pays(n_products=1e6, n_bytes=1e6)
    assert Costs(n_cpus=1).pays(n_products=1e11, n_bytes=5e8)


@pytest.mark.parametrize("failure", [DeviceLost("it fell off"), OutOfDeviceMemory("full")])
def test_a_device_that_fails_in_the_middle_changes_nothing_and_is_said_once(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    rows = _rows(rng)
    expected = kmeans.nearest(rows, rows[:40])
    monkeypatch.setattr(acceleration, "BLOCK_BYTES", 100 * rows.itemsize * rows.shape[1])
    failing = _Failing(failure, n_before=3)
    acceleration.set_device(failing, ALWAYS)
    before = acceleration.figures()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            labels, distances = kmeans.nearest(rows, rows[:40])
            np.testing.assert_array_equal(labels, expected[0])
            np.testing.assert_array_equal(distances, expected[1])
    is_lost = isinstance(failure, DeviceLost)
    assert acceleration.figures().n_failures - before.n_failures == (1 if is_lost else 2)
    assert [record.message for record in caplog.records] == [f"a build goes on with the CPU: {failure}"]
    assert (acceleration.device() is None) == is_lost


def test_a_check_that_raises_ends_the_work_and_the_turn(rng: np.random.Generator) -> None:
    rows = _rows(rng)
    acceleration.set_device(NumpyDevice(), ALWAYS)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        kmeans.nearest(rows, rows[:5], stop)
    with acceleration.for_search():
        assert acceleration.device() is not None


def test_a_search_that_projects_within_its_turn_does_so_itself(rng: np.random.Generator) -> None:
    rows = _rows(rng)
    acceleration.set_device(_Failing(AssertionError("within a turn")), ALWAYS)
    with acceleration.for_search(), acceleration.for_search():
        assert acceleration.project(rows, rows[:5]) is None


def test_a_build_waits_for_the_search_that_has_the_device_and_the_next_block_for_one_that_wants_it(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, order = _rows(rng, n=200), []
    monkeypatch.setattr(acceleration, "BLOCK_BYTES", 100 * rows.itemsize * rows.shape[1])
    is_wanted = threading.Event()

    class Noting(NumpyDevice):
        def assign(self, rows: Block, centroids: Float32s) -> tuple[NDArray[np.int32], Float32s]:
            order.append("block")
            if len(order) == 2:
                search.start()
                assert is_wanted.wait(10)
                assert _until(lambda: acceleration._TURNS._n_searches == 1)
            return super().assign(rows, centroids)

    def searching() -> None:
        is_wanted.set()
        with acceleration.for_search():
            order.append("search")

    acceleration.set_device(Noting(), ALWAYS)
    search = threading.Thread(target=searching)
    build = threading.Thread(target=kmeans.nearest, args=(rows, rows[:5]))
    with acceleration.for_search():
        build.start()
        order.append("first")
    build.join(10)
    search.join(10)
    assert order == ["first", "block", "search", "block"]


def _until(holds: Callable[[], bool]) -> bool:
    """Whether it holds within ten seconds."""
    pause = threading.Event()
    for _ in range(10_000):
        if holds():
            return True
        pause.wait(0.001)
    return False


def test_a_device_whose_driver_raises_anything_fails_no_build(rng: np.random.Generator) -> None:
    rows = _rows(rng)
    acceleration.set_device(_Failing(ValueError("a bug")), ALWAYS)
    before = acceleration.figures().n_failures
    assert acceleration.assign(rows, rows[:5], kmeans.unasked) is None
    assert acceleration.project(rows, rows[:5]) is None
    assert acceleration.figures().n_failures == before + 2


def test_a_build_does_not_wait_for_ever_for_a_device_that_hangs(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "TURN_S", 0.01)
    rows = _rows(rng)
    acceleration.set_device(NumpyDevice(), ALWAYS)
    begun, ended = threading.Event(), threading.Event()

    def hang() -> None:
        with acceleration.for_search():
            begun.set()
            ended.wait(20)

    hanging = threading.Thread(target=hang, daemon=True)
    hanging.start()
    try:
        assert begun.wait(20)
        assert acceleration.assign(rows, rows[:5], kmeans.unasked) is None
    finally:
        ended.set()
        hanging.join()
    assert acceleration.assign(rows, rows[:5], kmeans.unasked) is not None, "and has it again"
