"""What `bench gpu` counts, draws and times: floors by hand, the same rows on any threads, inputs that rotate."""

import os

import numpy as np
import pytest

from bench.gpu import exact, kmeans, projection, scan
from bench.gpu.clock import runs_of
from bench.gpu.generated import Spectrum, normal
from bench.gpu.judged import largest_gap, n_other, recall
from bench.gpu.machine import Machine
from bench.gpu.peaks import Ceilings
from bench.gpu.work import seconds
from vdb.kernels.numpy_device import NumpyDevice

CEILINGS = Ceilings(4e12, 800e12, 750e12, 50e12, 20e9)


def test_exact_search_of_ten_million_rows_is_bound_by_products() -> None:
    work = exact.work(10_000_000, 1_024)
    assert work.n_operations == 2 * 10_000_000 * 1_024 * 128
    assert work.n_bytes == pytest.approx(2.56e9, rel=1e-3)
    assert work.floor_s(CEILINGS) == pytest.approx(work.n_operations / 800e12)
    assert work.product_share(CEILINGS, 2 * work.floor_s(CEILINGS)) == pytest.approx(0.5)


@pytest.mark.parametrize(("form", "row_bytes"), [("int8", 144), ("int4", 80), ("float16", 272), ("float32", 528)])
def test_a_scan_reads_codes_and_a_head_and_of_lists_a_place_too(form: str, row_bytes: int) -> None:
    assert scan.work(form, "runs", 1_000).n_bytes == 1_000 * row_bytes
    assert scan.work(form, "scattered", 1_000).n_bytes == 1_000 * (row_bytes + 4)


def test_a_scan_of_codes_has_memory_for_its_only_floor() -> None:
    work = scan.work("int8", "runs", 75_497_472)
    assert work.n_bytes > 5e9
    assert work.times_s(CEILINGS).keys() == {"memory"}


def test_k_means_reads_its_rows_once_an_iteration() -> None:
    work = kmeans.work(1_000_000, 1_000, 10)
    assert work.n_operations == 2.56e12
    assert work.n_bytes == pytest.approx(10 * 512e6, rel=0.01)


def test_the_host_link_is_counted_apart_from_the_floor() -> None:
    work = projection.work(1_000_000)
    assert work.times_s(CEILINGS)["host link"] == pytest.approx(640e6 / 20e9, rel=0.01)
    assert work.floor_s(CEILINGS) < work.times_s(CEILINGS)["host link"]
    assert "0.64 GB over the host link" in work.counted(CEILINGS)


def test_scattered_lists_name_every_row_once(rng: np.random.Generator) -> None:
    order = scan.scattered(rng, 7, 64)
    np.testing.assert_array_equal(np.sort(order), np.arange(7 * 64))
    assert len(np.unique(order[:64] // 64)) > 3


def test_calls_before_the_first_reading_are_not_timed_and_inputs_rotate() -> None:
    asked: list[int] = []
    assert len(runs_of(asked.append, 3, 2)) == 3
    assert asked == list(range(8))


def test_what_calls_leave_running_is_waited_for_before_each_reading() -> None:
    settled: list[None] = []
    runs_of(lambda _: None, 2, 1, lambda: settled.append(None))
    assert len(settled) == 6


def test_rows_are_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    many, spectrum = normal(70_000, 4, 1), Spectrum(8, 1).rows(70_000)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(normal(70_000, 4, 1), many)
    np.testing.assert_array_equal(Spectrum(8, 1).rows(70_000), spectrum)


def test_queries_are_not_among_the_rows() -> None:
    drawn = Spectrum(8, 1)
    assert float((drawn.rows(1_000) @ drawn.rows(10, 1).T).max()) < 1 - 1e-6


def test_recall_counts_ties_as_found() -> None:
    found = np.array([[0.1, 0.2], [0.1, 0.5]], np.float32)
    true = np.array([[0.1, 0.2], [0.1, 0.3]], np.float32)
    assert recall(found, true, 0.0) == 0.75


def test_padding_on_both_sides_is_no_gap_and_on_one_side_is_endless() -> None:
    found = np.array([[1.0, np.inf]], np.float32)
    assert largest_gap(found, found) == 0
    assert largest_gap(found, np.array([[1.0, 2.0]], np.float32)) == np.inf


def test_other_rows_are_counted_by_query() -> None:
    assert n_other(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [4, 3]])) == 1


def test_bars_are_judged_on_an_accelerator_only() -> None:
    plain = Machine(NumpyDevice(), is_accelerator=False, is_quick=True, seed=1)
    real = Machine(NumpyDevice(), is_accelerator=True, is_quick=False, seed=1)
    assert plain.figure("share", 0.1, "share", 0.25).passes is None
    assert real.figure("share", 0.1, "share", 0.25).passes is False


def test_a_time_is_the_median_of_its_runs() -> None:
    assert seconds("time", [0.004, 0.001, 0.002]).value == pytest.approx(2.0)
    assert seconds("time", [0.004, 0.001]).value == pytest.approx(2.5)
