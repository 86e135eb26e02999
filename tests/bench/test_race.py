"""Races in process: contenders in processes of their own, asked in turns, judged by distance; who fails is left out."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import load, queries_path, vectors_path
from bench.race import WORKLOADS, main, process, unfiltered, verdict
from bench.race.entries import LIBRARIES, Entry, start_of
from bench.race.environments import Environment
from bench.race.inprocess import Plan, measure
from bench.race.process import Process, Start
from bench.race.show import text
from bench.record import ROOT
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store
from bench.tenants.truth import judge
from bench.tenants.workload import K, Workload
from tests.bench.race_peer import KEPT_BYTES, SPUN_S

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
PLAN = Plan(repetitions=1, threads=2)


def peer(kind: str) -> Entry:
    return Entry("tests.bench.race_peer", arguments=(kind,))


def start(kind: str) -> Start:
    return Start(("-m", "tests.bench.race_peer", kind))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def workload(store: Store) -> Workload:
    return load("fashion-mnist", store, 1, is_quick=True)


@pytest.fixture
def given(store: Store, workload: Workload, tmp_path: Path) -> dict[str, Any]:
    return {"vectors": vectors_path(store, workload), "metric": "l2", "folder": tmp_path, "k": K, "threads": 2}


@pytest.fixture(scope="module")
def row(store: Store, workload: Workload) -> dict[str, Any]:
    """Of a race that many fail in."""
    kinds = ("exact", "unfit", "broken", "dies", "loud", "forgets", "lost", "empty", "threads")
    return measure({kind: peer(kind) for kind in kinds}, workload, store, PLAN)


def test_who_fails_is_left_out_with_the_reason_and_the_race_goes_on(row: dict[str, Any]) -> None:
    left_out = row["left out"]
    assert left_out["unfit"] == "it has no such metric"
    assert left_out["broken"] == "ValueError: it cannot count"
    assert "code 3" in left_out["dies"] and left_out["dies"].endswith("out of luck")
    assert set(left_out) == {"unfit", "broken", "dies"}
    assert set(row["contenders"]) == {"exact", "loud", "forgets", "lost", "empty", "threads"}


def test_a_row_holds_what_an_index_takes_and_what_each_setting_costs(row: dict[str, Any]) -> None:
    found = row["contenders"]["exact"]
    facts = {"packages", "parameters", "build s", "build CPU s", "disk bytes", "start s", "restart s", "first search s"}
    memory = {f"{kind} bytes{when}" for kind in ("resident", "anonymous") for when in ("", " after a restart")}
    clocks = {"clock us", "clock us of wall", "loop us", "resident bytes of libraries"}
    assert set(found) == facts | memory | clocks | {"recall after a restart", "at recall", "sweeps"}
    assert found["parameters"] == "l2, 2 threads" and found["packages"] == {}
    half, whole = found["sweeps"]
    assert half["recall"] < 0.9 and whole["recall"] == 1.0 == found["recall after a restart"]
    assert half["hits twice"] == half["hits of no row"] == 0
    assert set(half["wall us"]) == {"mean", "p50", "p95", "p99"} and len(half["runs cpu us"]) == 1
    assert half["cpu us"]["mean"] < found["at recall"]["0.95"]["cpu us"] < whole["cpu us"]["mean"]
    assert 0 < found["clock us"] < half["cpu us"]["mean"]
    assert found["disk bytes"] >= 2_000 * 32 * 4
    json.dumps(row)


def test_what_cannot_be_saved_or_loaded_takes_part_without_a_restart(row: dict[str, Any]) -> None:
    forgets, lost = row["contenders"]["forgets"], row["contenders"]["lost"]
    assert forgets["disk bytes"] is None and "restart s" not in forgets and "restart" not in forgets
    assert lost["disk bytes"] > 0 and lost["restart"] == "OSError: its file is not one" and "restart s" not in lost


def test_a_contender_that_is_empty_after_a_restart_is_no_success(row: dict[str, Any]) -> None:
    empty = row["contenders"]["empty"]
    assert empty["restart"] == "it has no answer after a restart" and "restart s" not in empty


def test_cpu_of_other_threads_counts_and_is_shown(row: dict[str, Any]) -> None:
    for sweep in row["contenders"]["threads"]["sweeps"]:
        assert sweep["cpu us"]["of other threads"] > 0.5e6 * SPUN_S
        assert sweep["cpu us"]["mean"] > sweep["cpu us"]["of other threads"]


def test_the_report_names_contenders_parameters_and_who_is_left_out(row: dict[str, Any]) -> None:
    lines = text(row).splitlines()
    assert any(line.startswith("exact ") for line in lines)
    assert "  lost: l2, 2 threads" in lines
    assert "left out: unfit: it has no such metric" in lines


def test_a_hit_is_right_by_its_distance_not_by_its_row(store: Store, workload: Workload, tmp_path: Path) -> None:
    rows = np.array(workload.vectors)
    rows[-1] = rows[0]
    np.save(tmp_path / "rows.npy", rows)
    near = np.repeat(rows[:1], 20, axis=0)
    np.save(tmp_path / "queries.npy", near)
    with Process(start("other row")) as asked:
        asked.ask("build", vectors=tmp_path / "rows.npy", metric="l2", folder=tmp_path, threads=1)
        answers = asked.queries(tmp_path / "queries.npy", "share 1", K, 0)
    best = np.argsort(((rows - near[0]) ** 2).sum(axis=1), kind="stable")[:K]
    truth = replace(workload.truth, ids=np.repeat(best[None], 20, axis=0), distances=np.zeros((20, K)))
    truth.distances[:] = ((rows[best] - near[0]).astype(np.float64) ** 2).sum(axis=1)
    of_copies = replace(workload, vectors=rows, queries=near, askers=np.zeros(20, np.int32), truth=truth)
    assert 0 not in answers.rows[0] and 0 in best
    judged = judge(of_copies, answers.rows)
    assert judged.recalls.min() >= 1 - 1 / K  # the copy is named once for both
    assert judged.n_foreign == 0


def test_repetitions_are_taken_in_turn(store: Store, workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []
    queries = Process.queries

    def noting(self: Process, *given: Any) -> process.Answers:
        asked.append((id(self), given[1]))
        return queries(self, *given)

    monkeypatch.setattr(Process, "queries", noting)
    measure({"a": peer("forgets"), "b": peer("forgets")}, workload, store, Plan(2, 1))
    turn = asked[:4]
    assert [setting for _, setting in turn] == ["share 0.5", "share 1"] * 2
    assert turn[0][0] == turn[1][0] != turn[2][0] == turn[3][0]
    assert asked == turn * 3


@linux
def test_memory_counts_what_is_kept_and_not_what_the_build_once_took(given: dict[str, Any]) -> None:
    taken = {}
    for kind in ("exact", "waste", "hoard"):
        with Process(start(kind)) as asked:
            asked.ask("start")
            taken[kind] = asked.ask("build", **given)["anonymous bytes"]
    assert taken["waste"] < taken["exact"] + KEPT_BYTES / 2
    assert taken["hoard"] > taken["exact"] + KEPT_BYTES / 2


def test_what_was_saved_answers_in_another_process(given: dict[str, Any], store: Store, workload: Workload) -> None:
    queries = queries_path(store, workload)
    with Process(start("exact")) as first:
        first.ask("build", **given)
        first.ask("save")
        expected = first.queries(queries, "share 1", K, 5)
    with Process(start("exact")) as second:
        found = second.ask("load", **given)
        answers = second.queries(queries, "share 1", K, 0)
    assert found["restart s"] > found["first search s"] > 0 and found["settings"] == ["share 0.5", "share 1"]
    assert np.array_equal(answers.rows, expected.rows)


def test_a_request_that_takes_too_long_is_given_up(
    given: dict[str, Any], store: Store, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Process(start("sleeps")) as asked:
        asked.ask("build", **given)
        monkeypatch.setattr(process, "LIMIT_S", 0.3)
        with pytest.raises(LeftOut, match="code -9 in 'ask'"):
            asked.queries(queries_path(store, workload), "share 1", K, 1)


@pytest.fixture
def asking(given: dict[str, Any], store: Store, workload: Workload) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that waits for the answer of a contender, and that contender's id."""
    program = f"""
import json, signal, sys
from bench.race.process import Process, Start
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs beside them with it ignored
with Process(Start(("-m", "tests.bench.race_peer", "sleeps"))) as asked:
    asked.ask("build", **json.loads(sys.argv[1]))
    print(asked._process.pid, flush=True)
    asked.queries({str(queries_path(store, workload))!r}, "share 1", {K}, 0)
"""
    command = [sys.executable, "-c", program, json.dumps(given, default=str)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())
        parent.kill()


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_when_a_race_is_stopped(
    asking: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    parent, contender = asking
    time.sleep(0.2)  # until it waits
    parent.send_signal(number)
    parent.wait(30)
    for _ in range(100):
        if not _lives(contender):
            break
        time.sleep(0.05)
    assert not _lives(contender)


def _lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("ours", "is_quick", "code"), [("exact", False, 0), ("threads", False, 1), ("threads", True, 0)]
)
def test_the_exit_code_says_whether_the_bar_is_met_where_the_set_is_not_a_quick_one(
    ours: str, is_quick: bool, code: int, store: Store, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def loaded(name: str, store: Store, seed: int, *, is_quick: bool) -> Workload:
        return load(name, store, seed, is_quick=True)

    monkeypatch.setattr(unfiltered, "load", loaded)
    other = {"exact": "threads", "threads": "exact"}[ours]
    given = argparse.Namespace(
        cache=store.folder, only=None, seed=1, quick=is_quick, repetitions=1, threads=1, results=tmp_path
    )
    entries = {"vdb-index": peer(ours), "hnswlib-m16": peer(other)}
    assert unfiltered.race("unfiltered", entries, given, ["unfiltered"], ["fashion-mnist", "of-nobody"]) == code
    printed = capsys.readouterr().out
    assert "of-nobody: left out: there is no data set 'of-nobody'" in printed
    rows = json.loads((tmp_path / "race-unfiltered.json").read_text())
    assert len(rows) == 1 and rows[0]["command"] == "python -m bench race unfiltered"
    bars = rows[0]["figures"]["bars"]
    if is_quick:
        assert not bars
    else:
        assert bars["QPS at 0.95, ours / best of hnswlib, hnswlib-m16"]["passes"] is (code == 0)
        assert "QPS at 0.95, ours / best of peers, hnswlib-m16" in bars


@pytest.mark.parametrize(
    ("left_out", "costs", "target", "code"),
    [
        ({}, {"vdb": 5.0, "peer": None}, "0.95", 0),
        ({}, {"vdb": None, "peer": 5.0}, "0.95", 1),
        ({}, {"vdb": None, "peer": 5.0}, None, 0),
        ({"vdb": "it ended"}, {"peer": 5.0}, None, 1),
        ({"peer": "it ended"}, {"vdb": 5.0}, "0.95", 0),
        ({}, {"peer": 5.0}, "0.95", 0),
    ],
)
def test_ours_cannot_pass_by_dropping_out(
    left_out: dict[str, str], costs: dict[str, float | None], target: str | None, code: int
) -> None:
    contenders = {name: {"at recall": {"0.95": cost}} for name, cost in costs.items()}
    assert verdict.code({"left out": left_out, "contenders": contenders}, [], target) == code


def test_a_rival_is_judged_by_all_its_builds_and_the_best_of_peers_told_of_all_peers() -> None:
    """A bar was met, and a lead told, where the stronger had not been asked to take part."""
    at = {"at recall": {"0.95": {"cpu us": 1.0, "runs cpu us": [1.0]}}}
    known = ["vdb-index", "hnswlib-m8", "hnswlib-m16", "other"]
    found = dict.fromkeys(known[:3], at)
    alone = dict.fromkeys(known[:2], at)
    assert [figure.bar for figure in unfiltered._against(found | {"other": at}, known, [])] == [1.4, None]
    assert [figure.bar for figure in unfiltered._against(found, known, ["other"])] == [1.4]
    assert unfiltered._against(alone, known, known[2:]) == []


def test_bars_without_a_verdict_are_told() -> None:
    met, no_bar = Figure("a / b", 2.0, "x", 1.0, at_least=True), Figure("a / best", 2.0, "x")
    assert verdict.unjudged([met, no_bar], 2).startswith("not judged: 1 of 2 bars")
    assert verdict.unjudged([met], 1) == ""


@pytest.mark.parametrize("race", ["unfiltered", "databases", "http"])
def test_a_contender_that_there_is_not_is_refused(race: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no contender nobody: there are"):
        main([race, "--quick", "--cache", str(tmp_path), "--results", str(tmp_path), "--only", "nobody"])
    assert list(tmp_path.iterdir()) == []


def test_releases_are_found_however_a_package_spells_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"SQLAlchemy": "2.0.44", "scalable_vs": "0.5.0", "psycopg": "3.2.13", "numpy": "2.0"}
    monkeypatch.setattr(Environment, "versions", lambda _: there)
    found = Environment(Path()).releases(["sqlalchemy==2.0.44", "scalable-vs==0.5.0", "psycopg[binary]==3.2.13"])
    assert found == {name: release for name, release in there.items() if name != "numpy"}


def test_every_entry_has_a_program_a_fixed_release_and_a_workload_that_is_there() -> None:
    for name, entry in LIBRARIES.items():
        if entry.requirements:
            assert (process.PEERS_FOLDER / "peers" / f"{entry.module}.py").exists(), name
            assert all("==" in requirement for requirement in entry.requirements), name
        else:
            assert start_of(name, entry, Path()).arguments == ("-m", entry.module, *entry.arguments)
    assert {"hnswlib-m16", "vdb-index"} <= set(LIBRARIES) and WORKLOADS["unfiltered"] == "bench.race.unfiltered"
    assert os.path.samefile(process.PEERS_FOLDER / "peers", ROOT / "bench" / "race" / "peers")
