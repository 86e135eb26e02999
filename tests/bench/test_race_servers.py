"""The race between servers, by stand-ins: accounts of a tree of processes, its end, the whole run, who is left out."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.datasets import load
from bench.race.process import Process, Start
from bench.race.servers import bars, tree
from bench.race.servers.contenders import Setup, Taking
from bench.race.servers.measure import Plan, measure
from bench.race.servers.running import Running
from bench.race.servers.taking_part import Crowd, Files, TakingPart
from bench.race.servers.writing import text
from bench.record import ROOT
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store
from tests.bench.race_stand_in import StandIn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="accounts of processes are those of /proc")

SPINS = """
import time
while time.process_time() < 0.2:
    pass
"""
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {SPINS!r}], check=True)
other = subprocess.Popen([sys.executable, "-c", {SPINS + "input()"!r}], stdin=subprocess.PIPE)
{SPINS}
print("spun", flush=True)
input()
"""
RACE = """
import sys, time
from pathlib import Path
from bench.race.servers.running import Running
from tests.bench.race_stand_in import StandIn
with Running(StandIn(), Path(sys.argv[1])) as running:
    print(running.pid, flush=True)
    time.sleep(600)
"""


def _until(is_met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not is_met() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_met()


def _is_there(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cpu_of_a_tree_has_living_children_and_those_that_ended() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "spun\n"
        assert _until(lambda: tree.cpu_s(process.pid) >= 0.58), f"{tree.cpu_s(process.pid):.3f} s of 3 times 0.2"
        assert len(tree.processes(process.pid)) == 2
        assert tree.memory(process.pid)["anonymous bytes"] > 1 << 20
    finally:
        tree.kill(tree.processes(process.pid))
        process.communicate()
    assert tree.processes(process.pid) == []


def test_a_stop_ends_the_whole_tree_and_a_start_finds_the_data_again(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with Running(StandIn(), folder) as running:
        first = (running.pid, int((folder / "sleeper").read_text()))
        assert all(map(_is_there, first))
        running.stop()
        assert _until(lambda: not any(map(_is_there, first)))
        running.start()
        assert running.pid != first[0]
        assert running.disk_bytes() > 0
        second = (running.pid, int((folder / "sleeper").read_text()))
    assert _until(lambda: not any(map(_is_there, second)))


def test_a_server_ends_with_a_race_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    race = subprocess.Popen([sys.executable, "-c", RACE, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert race.stdout is not None
    pid = int(race.stdout.readline())
    race.send_signal(signal.SIGKILL)
    race.communicate()
    assert _until(lambda: not _is_there(pid))
    os.kill(int((folder / "sleeper").read_text()), signal.SIGKILL)  # below it: the kernel tells the server alone


def test_a_taken_port_is_a_reason_to_be_left_out_not_somebody_to_ask(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Running(StandIn(), folder, listening.getsockname()[1])
        with pytest.raises(LeftOut, match="is taken"), running:
            pass


def _raced(tmp_path: Path, programs: dict[str, StandIn]) -> dict[str, Any]:
    store = Store(tmp_path)
    workload = load("arxiv-100k", store, 1, is_quick=True)
    entries = {name: partial(_taking, program) for name, program in programs.items()}
    return measure(entries, workload, store, Setup(tmp_path, 1, True), Plan(1, (2,), 0.1))


def _taking(program: StandIn, _: Setup) -> Taking:
    return Taking(program, {"stand-in": "1.0"})


def test_a_race_measures_who_answers_and_says_why_others_do_not(tmp_path: Path) -> None:
    row = _raced(tmp_path, {"stand-in": StandIn(is_restarted=True), "none": StandIn(words="no data")})
    assert row["left out"] == {"none": "the server ended: no data"}
    assert row["clients"] == [1, 2]
    found = row["contenders"].pop("stand-in")
    assert row["contenders"] == {}
    fast, thorough = found["sweeps"]
    assert fast["recall"] < thorough["recall"] == 1.0
    assert thorough["cpu us"]["mean"] > 0 < thorough["cpu us"]["client"]
    assert found["at recall"]["0.95"]["qps"] > 0
    assert found["clients"]["setting"] == "rows 2000"
    assert found["clients"]["2"]["qps"] > 0 < found["clients"]["2"]["cpu us"]
    assert found["packages"] == {"stand-in": "1.0"}
    assert found["disk bytes"] >= row["data set"]["raw bytes"]
    assert found["restart s"] >= found["restart until it answers s"] > 0
    assert found["anonymous bytes"] > found["anonymous bytes, empty"] > 0
    report = text(row | {"contenders": {"stand-in": found}}).splitlines()
    assert "left out: none: the server ended: no data" in report
    assert report[-1].split()[0] == "stand-in"


def test_a_client_sets_what_is_measured_before_it_asks_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that reads a setting with its index would keep that of a client's first search."""
    asked: list[dict[str, Any]] = []
    ask = Process.ask

    def noting(self: Process, do: str, **request: Any) -> dict[str, Any]:
        asked.append({"do": do} | request)
        return ask(self, do, **request)

    monkeypatch.setattr(Process, "ask", noting)
    row = _raced(tmp_path, {"stand-in": StandIn(is_restarted=True)})
    crowd_setting = row["contenders"]["stand-in"]["clients"]["setting"]
    loads = [one["setting"] for one in asked if one["do"] == "load"]
    assert loads == ["rows 2000", crowd_setting, crowd_setting]


def test_a_server_whose_client_ends_is_left_out_with_the_client_s_last_words(tmp_path: Path) -> None:
    class Deserted(StandIn):
        """Its client ends at once."""

        def client(self, port: int) -> Start:
            return Start(("-c", "raise SystemExit('the client had enough')"))

    row = _raced(tmp_path, {"deserted": Deserted()})
    assert row["contenders"] == {}
    assert row["left out"].keys() == {"deserted"}
    reason = row["left out"]["deserted"]
    assert reason.startswith("its process ended with code 1 in 'build'") and reason.endswith(": the client had enough")


def test_a_server_that_fails_many_clients_keeps_what_it_showed_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left out of the race with all that had been measured of it."""
    asked: list[int] = []

    def failing(self: TakingPart, files: Files, metric: str, n_clients: int) -> Crowd:
        asked.append(n_clients)
        raise LeftOut("too many")

    monkeypatch.setattr(TakingPart, "crowd", failing)
    row = _raced(tmp_path, {"stand-in": StandIn(is_restarted=True)})
    found = row["contenders"]["stand-in"]
    assert row["left out"] == {} and asked == [2]
    assert [sweep["recall"] > 0 for sweep in found["sweeps"]] == [True, True]
    assert found["clients"] == {"setting": "rows 2000", "failed": "with 2 clients: too many"}
    assert text(row).splitlines()[-1].endswith("fails with 2 clients: too many")


def test_a_server_that_ends_while_it_is_loaded_is_left_out_with_its_own_last_words(tmp_path: Path) -> None:
    row = _raced(tmp_path, {"ended": StandIn(is_ended=True)})
    assert row["left out"] == {"ended": "the server ended: it had enough"}


def test_bars_compare_json_with_json_and_binary_with_binary() -> None:
    def at(cost: float | None) -> dict[str, Any]:
        return {"at recall": {"0.95": None if cost is None else {"cpu us": cost, "runs cpu us": [cost]}}}

    found = {"vdb json": at(200.0), "vdb binary": at(100.0), "Chroma": at(500.0), "pgvector 64": at(None)}
    figures = {figure.name.partition(", ")[2]: figure for figure in bars(found | {"pgvector 200": at(150.0)})}
    assert {name: figure.value for name, figure in figures.items()} == {
        "vdb json / Chroma": 2.5,
        "vdb binary / Chroma": 5.0,
        "vdb binary / pgvector": 1.5,
        "vdb json / pgvector": 0.75,
    }
    passed = {name: figure.passes for name, figure in figures.items() if figure.bar is not None}
    assert passed == {"vdb json / Chroma": False, "vdb binary / pgvector": True}
    assert bars({"vdb json": at(1.0)}) == []


def test_pgvector_is_not_judged_where_one_of_its_builds_did_not_race() -> None:
    """The bar was met beside the dearer one."""
    at = {"at recall": {"0.95": {"cpu us": 1.0, "runs cpu us": [1.0]}}}
    assert bars({"vdb binary": at, "pgvector 64": at}) == []
