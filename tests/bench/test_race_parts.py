"""Races in parts, and contenders of `bench tenants` in processes of their own."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.race import cache, disk, main, parts
from bench.race.environments import Environment
from bench.report import Figure
from bench.tenants import handed
from bench.tenants.contender import LeftOut
from bench.tenants.contiguous import ExactFloats
from bench.tenants.elsewhere import REQUIREMENTS, Elsewhere, How, installed, releases
from bench.tenants.limits import Limits
from bench.tenants.protocol import measure, measure_sides
from bench.tenants.store import Store
from bench.tenants.worker import CONTENDERS
from bench.tenants.workload import Workload
from bench.tenants.worlds import Worlds


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("bench-cache"))


def _workload(store: Store, name: str = "shared-120k") -> Workload:
    return Worlds(store, 1, is_quick=True).make(name)


def _given(tmp_path: Path, **others: Any) -> argparse.Namespace:
    given = {"workload": "disk", "results": tmp_path, "cache": tmp_path, "data": None, "only": None}
    return argparse.Namespace(**(given | {"quick": True, "seed": 1} | others))


@pytest.mark.parametrize("name", ["shared-120k", "exclusive-1000", "hard"])
def test_a_workload_is_handed_over_whole(name: str, store: Store, tmp_path: Path) -> None:
    workload = _workload(store, name)
    handed.write(workload, store, tmp_path)
    found = handed.read(tmp_path)
    assert (found.name, found.metric, found.key, found.n_readers) == (
        workload.name, workload.metric, workload.key, workload.n_readers
    )  # fmt: skip
    np.testing.assert_array_equal(found.vectors, workload.vectors)
    np.testing.assert_array_equal(found.queries, workload.queries)
    np.testing.assert_array_equal(found.askers, workload.askers)
    tenant = workload.asking()[0]
    np.testing.assert_array_equal(found.access.rows_of(tenant), workload.access.rows_of(tenant))
    assert not (tmp_path / "vectors.npy").exists()


def test_vectors_that_the_store_does_not_have_come_along(store: Store, tmp_path: Path) -> None:
    workload = _workload(store)
    handed.write(workload, Store(tmp_path / "another"), tmp_path)
    np.testing.assert_array_equal(handed.read(tmp_path).vectors, workload.vectors)


def test_a_contender_elsewhere_answers_as_one_in_this_process(store: Store) -> None:
    workload = _workload(store)
    side = Elsewhere(ExactFloats.name, How(store, Limits()))
    try:
        (there,), left_out = measure_sides([side], workload, 2)
    finally:
        side.close()
    (here,), _ = measure([ExactFloats(Limits())], workload, 1)
    assert not left_out
    assert (there.name, [one.setting for one in there.sweeps]) == (here.name, [one.setting for one in here.sweeps])
    np.testing.assert_array_equal(there.sweeps[0].recalls, here.sweeps[0].recalls)
    assert there.built_share == here.built_share
    assert len(there.sweeps[0].runs_us) == 2
    assert (there.sweeps[0].cpu_us > 0).all()


def test_who_has_no_room_elsewhere_is_left_out_with_the_reason(store: Store) -> None:
    side = Elsewhere(ExactFloats.name, How(store, Limits(build_bytes=1)))
    runs, left_out = measure_sides([side], _workload(store), 1)
    side.close()
    assert (runs, left_out) == ([], {ExactFloats.name: "the first tenant alone is more than the limit of memory"})


def test_a_peer_whose_interpreter_fails_is_left_out(store: Store) -> None:
    side = Elsewhere("hnswlib per tenant", How(store, Limits()), "/bin/false")
    _, left_out = measure_sides([side], _workload(store), 1)
    side.close()
    assert "its process ended" in left_out["hnswlib per tenant"]


def test_what_a_worker_of_a_peer_imports_has_nothing_of_ours() -> None:
    code = "import sys, bench.tenants.worker, bench.tenants.per_tenant, bench.tenants.shared_index; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_root())
    assert {name.partition(".")[0] for name in done.stdout.split()} & {"vdb", "numba", "lmdb", "msgspec"} == set()


def _root() -> Path:
    return Path(__file__).parent.parent.parent


def test_peers_of_the_contest_have_environments_and_ours_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(cache: Path, name: str, packages: tuple[str, ...]) -> Environment:
        if name == "faiss":
            raise LeftOut("no index")
        return Environment(cache / name)

    monkeypatch.setattr("bench.tenants.elsewhere.environment", made)
    monkeypatch.setattr(Environment, "versions", lambda _: {"hnswlib": "0.8.0"})
    found = {name for name in CONTENDERS if name not in REQUIREMENTS and installed(name, tmp_path) is None}
    assert found == {"ours", "exact scan, float32", "exact scan, codes"}
    assert releases(list(CONTENDERS), tmp_path) == {"hnswlib": "0.8.0"}


def test_a_race_of_tenants_writes_its_row(store: Store, tmp_path: Path) -> None:
    how = ["--quick", "--repetitions", "1", "--cache", str(store.folder), "--results", str(tmp_path)]
    assert main(["tenants", *how, "--data", "exclusive-100", "--only", "exact scan, float32"]) == 0
    (row,) = json.loads((tmp_path / "race-tenants.json").read_text())
    assert row["command"].startswith("python -m bench race tenants --quick")
    assert row["figures"]["workload"]["name"] == "exclusive-100"
    assert row["figures"]["contenders"].keys() == {"exact scan, float32"}
    assert row["figures"]["peers"] == {}


@pytest.mark.parametrize("race", ["tenants", "disk", "cache"])
def test_a_part_that_there_is_not_is_refused(race: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no (workload|part) nothing"):
        main([race, "--cache", str(tmp_path), "--data", "nothing"])


@pytest.mark.parametrize(("value", "code"), [(2.0, 0), (1.0, 1)])
def test_a_part_writes_its_row_with_the_releases_of_peers(value: float, code: int, tmp_path: Path) -> None:
    figures = [Figure("times", value, "x", 1.5, at_least=True)]
    given = _given(tmp_path)
    assert parts.run(["one"], given, ["disk", "--data", "one"], lambda _: (figures, {"peer": "1.2"})) == code
    (row,) = json.loads((tmp_path / "race-disk.json").read_text())
    assert row["command"] == "python -m bench race disk --data one"
    assert row["versions"]["peer"] == "1.2"
    assert row["figures"]["times"]["value"] == value


def test_a_part_whose_data_is_not_there_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def absent(_: str) -> tuple[list[Figure], dict[str, str]]:
        raise LeftOut("no data set")

    assert parts.run(["one"], _given(tmp_path), [], absent) == 0
    assert "left out: no data set" in capsys.readouterr().out
    assert not (tmp_path / "race-disk.json").exists()


def test_peers_on_disk_that_cannot_be_installed_take_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def made(cache: Path, name: str, packages: tuple[str, ...]) -> Environment:
        if name == "diskann":
            raise LeftOut("cannot be installed: no wheel")
        return Environment(cache / name)

    def figures(part: str, against: list[str], pythons: dict[str, str], how: tuple[Any, ...]) -> list[Figure]:
        asked.append((part, against, sorted(pythons), how))
        return [Figure("x", 1.0, "")]

    monkeypatch.setattr("bench.race.parts.environment", made)
    monkeypatch.setattr("bench.race.disk.figures", figures)
    monkeypatch.setattr(Environment, "versions", lambda _: {"lancedb": "0.40.0"})
    given = _given(tmp_path, data=["peers"], only=["diskann", "lancedb-pq", "lancedb-rq"])
    assert disk.run(given, ["disk"]) == 0
    assert asked == [("peers", ["lancedb-pq", "lancedb-rq"], ["lancedb"], (tmp_path, 1, True))]


def test_the_cache_is_raced_without_gptcache_where_it_cannot_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(cache: Path, name: str, packages: tuple[str, ...]) -> Environment:
        raise LeftOut("cannot be installed")

    asked: list[argparse.Namespace] = []

    def timed(given: argparse.Namespace) -> list[Figure]:
        asked.append(given)
        return [Figure("search: p50", 1.0, "µs")]

    monkeypatch.setattr("bench.race.parts.environment", made)
    monkeypatch.setattr("bench.cache.latency.measure", timed)
    assert cache.run(_given(tmp_path, workload="cache"), ["cache"]) == 0
    assert asked[0].peer_python is None
    assert "gptcache is left out: cannot be installed" in capsys.readouterr().out
