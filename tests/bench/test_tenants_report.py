"""Contenders of `bench tenants` find what is there, are timed alike, and the report says what was measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.report import Figure
from bench.tenants import main, summary, table
from bench.tenants.bars import bars, unjudged
from bench.tenants.command import without_workloads
from bench.tenants.contender import Contender, LeftOut
from bench.tenants.contiguous import ExactCodes, ExactFloats
from bench.tenants.limits import Limits, Memory, Stopwatch, memory
from bench.tenants.ours import Ours
from bench.tenants.per_tenant import PerTenantHnsw
from bench.tenants.protocol import Measured, Sweep, measure
from bench.tenants.reading import at_recall, costs_at
from bench.tenants.shared_index import FaissHnsw, FaissIvf
from bench.tenants.store import Store
from bench.tenants.summary import cheapest, cost_us
from bench.tenants.workload import Workload
from bench.tenants.worlds import Worlds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench-cache")


def _workload(folder: Path, name: str = "shared-120k") -> Workload:
    return Worlds(Store(folder), 1, is_quick=True).make(name)


def _sweep(recalls: list[float], cpu_us: list[float], setting: str = "s") -> Sweep:
    return Sweep(setting, np.array(recalls), np.array(cpu_us), np.array([cpu_us]), 0, 0)


def _measured(name: str, *sweeps: Sweep, n_bytes: int = 1_000) -> Measured:
    return Measured(name, sweeps, Memory(n_bytes, n_bytes), 1.0, 1.0, 1.0)


class _Leaky(ExactFloats):
    """Answers with rows of everybody."""

    name = "leaky"

    def search(self, tenant: int, query: np.ndarray) -> np.ndarray:
        return np.arange(10)


class _Absent(ExactFloats):
    name = "absent"

    def build(self, workload: Workload) -> None:
        raise LeftOut("not today")


@pytest.mark.parametrize("contender", [ExactFloats, ExactCodes])
@pytest.mark.parametrize("name", ["shared-120k", "exclusive-1000", "hard", "ip-0.6", "single-19k"])
def test_an_exact_scan_finds_all(contender: type[ExactFloats | ExactCodes], name: str, folder: Path) -> None:
    runs, _ = measure([contender(Limits())], _workload(folder, name), 1)
    assert [float(sweep.recalls.mean()) for sweep in runs[0].sweeps] == pytest.approx([1.0] * len(runs[0].sweeps))
    assert [(sweep.n_foreign, sweep.n_twice) for sweep in runs[0].sweeps] == [(0, 0)] * len(runs[0].sweeps)


def test_hits_of_other_tenants_are_counted(folder: Path) -> None:
    runs, _ = measure([_Leaky(Limits())], _workload(folder), 1)
    assert runs[0].sweeps[0].n_foreign > 0


def test_who_cannot_take_part_is_left_out_with_the_reason(folder: Path) -> None:
    runs, left_out = measure([_Absent(Limits()), ExactFloats(Limits())], _workload(folder), 1)
    assert ([run.name for run in runs], left_out) == (["exact scan, float32"], {"absent": "not today"})


def test_a_part_is_built_where_the_whole_is_too_large(folder: Path) -> None:
    workload = _workload(folder)
    runs, _ = measure([ExactFloats(Limits(build_bytes=0.3 * workload.n_seen * 4 * 32))], workload, 1)
    assert 0.05 < runs[0].built_share < 0.3
    assert 0 < runs[0].asked.sum() < len(workload.queries)
    assert np.nanmin(runs[0].sweeps[0].recalls) == 1.0


def test_a_build_that_would_take_too_long_is_given_up() -> None:
    watch = Stopwatch()
    while watch.cpu_s == 0:
        pass
    with pytest.raises(LeftOut, match="the limit is 0 s"):
        watch.check(0.5, Limits(build_s=0.0))


def test_what_was_done_before_counts_once() -> None:
    Stopwatch().check(0.5, Limits(build_s=600), before_s=500)
    with pytest.raises(LeftOut, match="all would take 60"):
        Stopwatch().check(0.5, Limits(build_s=600), before_s=601)


@pytest.mark.parametrize("kind", ["hnswlib", "faiss"])
def test_a_peer_that_is_not_installed_says_how_to_install_it(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    store = Store(tmp_path)
    peer: Contender = PerTenantHnsw(store, Limits(), 40) if kind == "hnswlib" else FaissIvf(store, Limits())
    with pytest.raises(LeftOut, match=r"pip install 'vdb\[index\]'"):
        peer.build(_workload(folder))


@pytest.mark.parametrize("name", ["shared-120k", "hard", "ip-0.6", "single-19k"])
def test_hnswlib_per_tenant_finds_nearly_all_and_nothing_foreign(name: str, folder: Path) -> None:
    pytest.importorskip("hnswlib")
    (run,), _ = measure([PerTenantHnsw(Store(folder), Limits(), 100)], _workload(folder, name), 1)
    assert float(run.sweeps[-1].recalls.mean()) > 0.99
    assert sum(sweep.n_foreign + sweep.n_twice for sweep in run.sweeps) == 0


@pytest.mark.parametrize("kind", [FaissHnsw, FaissIvf])
@pytest.mark.parametrize("name", ["shared-120k", "hard", "ip-0.6", "single-19k"])
def test_faiss_with_a_bitmap_finds_nearly_all_and_nothing_foreign(
    kind: type[FaissHnsw | FaissIvf], name: str, folder: Path
) -> None:
    pytest.importorskip("faiss")
    (run,), _ = measure([kind(Store(folder), Limits())], _workload(folder, name), 1)
    assert float(run.sweeps[-1].recalls.mean()) > 0.99
    assert sum(sweep.n_foreign + sweep.n_twice for sweep in run.sweeps) == 0


def test_memory_of_the_process_is_that_of_its_pages() -> None:
    before = memory()
    if before == Memory(0, 0):
        pytest.skip("no /proc/self/smaps_rollup here")
    held = np.ones(4 << 20)
    assert 28 << 20 < (memory() - before).anonymous < 64 << 20
    assert held.sum() == 4 << 20


def test_cost_at_a_recall_lies_between_the_settings_around_it() -> None:
    points = [(0.9, 10.0), (0.96, 40.0), (1.0, 80.0)]
    assert at_recall(points, 0.93) == pytest.approx(25)
    assert at_recall(points, 0.98) == pytest.approx(60)


def test_a_setting_that_costs_more_and_finds_less_does_not_count() -> None:
    assert at_recall([(0.9, 10.0), (0.94, 90.0), (0.96, 40.0)], 0.95) == pytest.approx(35)


def test_cost_is_that_of_the_fastest_setting_where_it_finds_more() -> None:
    assert at_recall([(0.97, 10.0), (1.0, 20.0)], 0.95) == 10.0


def test_there_is_no_cost_at_a_recall_that_no_setting_reaches() -> None:
    assert at_recall([(0.9, 10.0), (0.94, 20.0)], 0.95) is None


def test_a_bar_without_a_rival_is_told(folder: Path) -> None:
    """It was absent, and the contest ended well."""
    workload = _workload(folder)
    met = Figure("QPS at 0.99, ours / hnswlib per tenant", 3.0, "x", 2.0, at_least=True)
    assert unjudged(workload, [met]) == ""
    assert unjudged(workload, [Figure("best recall", 1.0, "", 0.99, at_least=True)]).startswith("not judged: QPS at")


def test_costs_are_read_from_repetitions_that_did_not_choose() -> None:
    """Of settings that cost the same, measured with noise, the cheapest is the lucky one."""
    lucky_once = [(0.95, (30.0, 33.0, 12.0)), (0.95, (29.0, 31.0, 31.0)), (0.95, (30.0, 14.0, 32.0))]
    assert costs_at(lucky_once, 0.95) == [31.0, 30.0, 30.0]
    assert costs_at([(0.95, (30.0, 14.0, 40.0))], 0.95) == [14.0, 30.0, 14.0]


@pytest.mark.parametrize("n_repetitions", [2, 3, 5])
def test_more_settings_do_not_make_a_contender_cheaper(n_repetitions: int) -> None:
    """The cheapest of 33 settings that do the same work were a fifth cheaper than the one of one."""
    rng = np.random.default_rng(3)

    def noisy() -> list[float]:
        is_disturbed = rng.random(n_repetitions) < 0.3
        costs = rng.normal(1.0, 0.04, n_repetitions) + is_disturbed * rng.uniform(0.2, 0.8, n_repetitions)
        return [float(cost) for cost in costs]

    def read(n_settings: int) -> float:
        costs = costs_at([(0.95, noisy()) for _ in range(n_settings)], 0.95)
        assert costs is not None
        return float(np.mean(costs))

    one, many = (float(np.mean([read(n_settings) for _ in range(400)])) for n_settings in (1, 33))
    assert many == pytest.approx(one, rel=0.02)


def test_cost_counts_only_queries_that_were_asked_and_chosen() -> None:
    measured = _measured("x", _sweep([1.0, np.nan, 1.0, 1.0], [4.0, np.nan, 6.0, 100.0]))
    assert cost_us(measured, np.array([True, True, True, False]), 0.99) == 5.0
    assert cost_us(measured, np.array([False, True, False, False]), 0.99) is None


def test_the_cheapest_setting_is_the_one_that_reaches_the_recall_at_least_cost() -> None:
    measured = _measured("x", _sweep([0.9], [1.0], "a"), _sweep([1.0], [9.0], "b"), _sweep([0.995], [5.0], "c"))
    found = cheapest(measured, 0.99)
    assert found is not None
    assert found.setting == "c"
    assert cheapest(measured, 1.1) is None


def _held(workload: Workload, own_us: float, peer_us: float, peer: str) -> dict[str, Figure]:
    n = len(workload.queries)
    runs = [_measured(Ours.name, _sweep([1.0] * n, [own_us] * n), n_bytes=50)]
    runs.append(_measured(peer, _sweep([1.0] * n, [peer_us] * n)))
    return {figure.name: figure for figure in bars(workload, runs)}


def test_bars_of_shared_points_compare_with_an_index_per_tenant(folder: Path) -> None:
    held = _held(_workload(folder), 10.0, 21.0, PerTenantHnsw.name)
    qps = held[f"QPS at 0.99, ours / {PerTenantHnsw.name}"]
    assert qps.value == pytest.approx(2.1)
    assert qps.passes
    assert held["memory growth, ours / hnswlib per tenant"].value == pytest.approx(0.05)
    assert not _held(_workload(folder), 10.0, 19.0, PerTenantHnsw.name)[qps.name].passes


def test_bars_of_exclusive_points_compare_with_a_scan_of_codes(folder: Path) -> None:
    held = _held(_workload(folder, "exclusive-1000"), 16.0, 10.0, ExactCodes.name)
    ratio = held["us at 0.99, ours / scan, tenants <= 300"]
    assert ratio.value == pytest.approx(1.6)
    assert ratio.passes is False


def test_no_bar_holds_where_ours_takes_no_part(folder: Path) -> None:
    assert bars(_workload(folder), [_measured("x", _sweep([1.0], [1.0]))]) == []


def test_a_row_is_json_and_its_table_has_every_setting(folder: Path) -> None:
    workload = _workload(folder)
    runs, left_out = measure([Ours(), ExactFloats(Limits()), ExactCodes(Limits())], workload, 1)
    row = json.loads(json.dumps(summary.row(workload, runs, left_out, 0.1, {}), allow_nan=False))
    settings = row["contenders"]["exact scan, codes"]["settings"]
    assert [one["setting"] for one in settings] == ["rerank 20", "rerank 40"]
    by_size = settings[0]["by tenant size"]
    n_by_size = [
        int(one.split()[row["columns by tenant size"].split(", ").index("queries")]) for one in by_size.values()
    ]
    assert sum(n_by_size) == settings[0]["queries"] == len(workload.queries)
    text = table.text(row)
    assert "rerank 40" in text
    ours = row["contenders"]["ours"]["settings"]
    assert not left_out
    assert ours[-1]["recall"] > 0.9
    assert all(one.get("foreign hits", 0) == one.get("hits twice", 0) == 0 for one in ours)


def test_arguments_go_on_to_each_process_without_the_workloads() -> None:
    given = ["--seed", "3", "--workload", "hard", "ip-0.3", "--quick"]
    assert without_workloads(given) == ["--seed", "3", "--quick"]


def test_a_quick_run_writes_a_row(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    paths = ["--cache", str(folder), "--results", str(tmp_path)]
    assert main(["--quick", "--workload", "exclusive-100", "--repetitions", "1", "--only", "exact", *paths]) == 0
    (row,) = json.loads((tmp_path / "tenants.json").read_text())
    assert row["figures"]["workload"]["name"] == "exclusive-100"
    assert row["figures"]["workload"]["quick"] is True


def test_time_of_a_first_tenant_is_not_foreseen_from_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had passed before any row was taken for the cost of one: on a slow machine the one tenant was left out."""

    class Built:
        def save_index(self, path: str) -> None:
            Path(path).touch()

    monkeypatch.setattr(PerTenantHnsw, "_index", lambda *_: Built())
    PerTenantHnsw(Store(folder), Limits(build_s=1e-9), 10)._make(tmp_path, _workload(folder, "single-19k"))
    assert [path.name for path in tmp_path.glob("*.bin")] == ["0.bin"]
