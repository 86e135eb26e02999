"""`bench scaling` runs in small: every part reports what its laws and tables need."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.report import Figure
from bench.scaling import PARTS, main, tenants
from bench.scaling.frontier import Point, around, recall
from bench.scaling.laws import LAWS, measured
from bench.scaling.sets import QUICK
from bench.tenants import growth
from bench.tenants.access import single
from bench.tenants.truth import exact, judge
from bench.tenants.workload import Workload


def _point(recall: float, work: float) -> Point:
    return Point("", recall, {}, work)


def test_a_recall_lies_between_the_two_cheapest_settings_around_it() -> None:
    wasteful = _point(0.94, 900)
    points = [_point(0.9, 100), _point(0.98, 300), wasteful, _point(0.99, 500)]
    found = around(points, 0.94)
    assert found is not None
    low, high, share = found
    assert (low.work, high.work) == (100, 300)
    assert share == pytest.approx(0.5)


def test_the_least_setting_stands_alone_where_it_finds_more() -> None:
    found = around([_point(0.97, 100), _point(0.99, 300)], 0.95)
    assert found is not None and found[0] is found[1] and found[2] == 0


def test_no_cost_is_told_of_a_recall_that_no_setting_has() -> None:
    assert around([_point(0.9, 100)], 0.95) is None


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("collection", "tenants")])
def test_a_part_measures_what_its_laws_are_of(part: str, tmp_path: Path) -> None:
    assert main(["--only", part, "--quick", "--cache", str(tmp_path / "cache"), "--results", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    found = measured(tmp_path)[part]
    assert len(rows) == 1 and found.keys() >= {what for what in LAWS[part] if ".99" not in what}
    assert all(len(by_size) >= 2 for what, by_size in found.items() if what in LAWS[part] and ".99" not in what)


def test_quick_sizes_are_enough_for_laws() -> None:
    assert len(QUICK) >= 3 and list(QUICK) == sorted(QUICK)


def test_recall_is_that_of_the_judge_of_the_tenant_workloads() -> None:
    rng = np.random.default_rng(5)
    vectors, queries = growth.normalised(rng.normal(size=(300, 8))), growth.normalised(rng.normal(size=(20, 8)))
    askers = np.zeros(20, np.int32)
    truth = exact("cosine", vectors, single(300), queries, askers)
    workload = Workload("", "cosine", vectors, single(300), queries, askers, truth, "", "", queries[:0])
    answers = truth.ids.copy()
    answers[::2, :4] = -1
    answers[1::3, 5] = (answers[1::3, 5] + 1) % 300
    answers = np.array([[*dict.fromkeys(row[row >= 0]), *([-1] * 10)][:10] for row in answers], np.int64)
    assert recall(workload, answers) == pytest.approx(judge(workload, answers).recalls.mean())


class _NoServer:
    """In the place of one that is started for each number of tenants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> "_NoServer":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing runs."""


def test_figures_of_tenants_are_those_of_the_tenants_cost_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "Server", _NoServer)
    monkeypatch.setattr(tenants, "measure_load", lambda *_: [Figure(name, 2.0, "") for name in tenants.NAMES])
    assert main(["--only", "tenants", "--sizes", "10", "20", "--results", str(tmp_path)]) == 0
    found = measured(tmp_path)["tenants"]
    assert found.keys() >= set(LAWS["tenants"])
    assert found["bytes on disk per tenant"] == {10: 2.0 * 4 * 10 * 32, 20: 2.0 * 4 * 10 * 32}
