"""The look at speed: what counts as moved, what is said of it, and that no figure makes it fail."""

import json
import os
import time
from pathlib import Path

import pytest

from bench import smoke
from bench.smoke.compare import LEAST_SHARE, Now, combined, moved, text
from bench.smoke.instructions import Instructions
from bench.smoke.served import cpu_ns
from bench.smoke.turns import Watched, measure
from bench.smoke.yardsticks import copy_of, loop, product
from tests.bench.race_rows import race_row

ROW = race_row({}) | {
    "command": "python -m bench smoke --record",
    "figures": {
        "a search": {"value": 2.0, "unit": "x loop", "runs": [1.98, 2.0, 2.02]},
        "a write": {"value": 10.0, "unit": "x loop", "runs": [9.0, 10.0, 11.0]},
    },
}
HERE = {"machine": ROW["machine"], "versions": ROW["versions"]}


def _now(search: float, write: float = 10.0, unit: str = "x loop") -> dict[str, Now]:
    return {"a search": Now(unit, (search,)), "a write": Now("x loop", (write,))}


@pytest.mark.parametrize(("search", "arrow"), [(2.0, "="), (2.09, "="), (2.2, "▲"), (1.8, "▼"), (4.0, "▲")])
def test_an_arrow_stands_where_a_figure_moved_beyond_the_least_share(search: float, arrow: str) -> None:
    change = moved(_now(search)["a search"], ROW["figures"]["a search"])
    assert change is not None and change.arrow == arrow and change.hint == LEAST_SHARE


def test_what_its_recorded_runs_differ_by_hints_at_nothing() -> None:
    steady, unsteady = ROW["figures"]["a search"], ROW["figures"]["a write"]
    grown = [moved(Now("x loop", (1.3 * figure["value"],)), figure) for figure in (steady, unsteady)]
    assert [change and change.arrow for change in grown] == ["▲", "="]


def test_figures_in_different_units_are_not_compared() -> None:
    assert moved(Now("instructions", (2e6,)), ROW["figures"]["a search"]) is None
    assert moved(Now("x loop", (2.0,)), {}) is None
    line = next(line for line in text(_now(2e6, unit="instructions"), ROW, HERE).splitlines() if "a search" in line)
    assert line.split()[-1] == "-"


def test_the_table_counts_what_costs_more_and_less() -> None:
    shown = text(_now(4.0, 5.0), ROW, HERE)
    assert "+100.0%  5% ▲" in shown and "-50.0%  40% ▼" in shown
    assert "1 ▲ cost more, 1 ▼ less." in shown


def test_without_a_row_nothing_is_compared() -> None:
    assert "No row to compare with" in text(_now(2.0), None, HERE)


def test_a_row_of_another_machine_or_release_is_called_so() -> None:
    there = {"machine": {"cpu": "Another"}, "versions": ROW["versions"] | {"numpy": "1.0"}}
    shown = text(_now(2.0), ROW, there)
    assert "another CPU (Some CPU)" in shown and "other releases of numpy" in shown


def test_what_is_no_longer_measured_is_told() -> None:
    assert "a write   no longer measured" in text({"a search": Now("x loop", (2.0,))}, ROW, HERE)


def test_runs_are_combined_where_all_have_the_figure() -> None:
    found = combined([_now(1.0), _now(3.0, unit="instructions"), _now(2.0)])
    assert list(found) == ["a write"] and found["a write"].runs == (10.0, 10.0, 10.0)
    assert combined([_now(1.0), _now(3.0), _now(2.0)])["a search"].value == 2.0


def test_everything_twice_as_slow_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "smoke.json").write_text(json.dumps([ROW]))
    monkeypatch.setattr(smoke, "_measured", lambda seed: _now(4.0, 20.0))
    assert smoke.main(["--results", str(tmp_path)]) == 0
    assert "2 ▲ cost more" in capsys.readouterr().out
    assert json.loads((tmp_path / "smoke.json").read_text()) == [ROW]


def test_a_recorded_row_holds_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter((2.0, 2.2, 2.1, 2.4, 2.3))
    monkeypatch.setattr(smoke, "_measured", lambda seed: _now(next(values)))
    assert smoke.main(["--results", str(tmp_path), "--record"]) == 0
    row = json.loads((tmp_path / "smoke.json").read_text())[0]
    assert row["figures"]["a search"] == {"value": 2.2, "unit": "x loop", "runs": [2.0, 2.2, 2.1, 2.4, 2.3]}


def test_calls_and_yardsticks_take_turns() -> None:
    asked: list[str] = []
    single = Watched("one", lambda: asked.append("one"), loop(), every=2, is_single=True)
    always = Watched("two", lambda: sum(range(10_000)), loop())
    found = measure([single, always], 4, None)
    assert asked.count("one") == 2
    assert {reading["unit"] for reading in found.values()} == {"x loop"}
    assert all(float(reading["value"]) > 0 for reading in found.values())


def test_yardsticks_do_work_that_is_always_the_same() -> None:
    assert loop()[1]() == loop()[1]()
    assert [name for name, _ in (loop(), product(), copy_of(4_096))] == ["loop", "product", "copy"]


def test_a_counter_counts_or_there_is_none() -> None:
    counter = Instructions.opened()
    if counter is None:
        pytest.skip("this machine gives a process no counter of instructions")
    before = counter.read()
    sum(range(100_000))
    assert counter.read() - before > 100_000
    counter.close()


def test_an_event_that_does_not_exist_gives_no_counter() -> None:
    assert Instructions.opened(kind=0, event=999) is None


def test_the_clock_of_a_process_is_read_by_its_number() -> None:
    before = cpu_ns(os.getpid())
    began = time.process_time_ns()
    while time.process_time_ns() - began < 5_000_000:
        pass
    assert cpu_ns(os.getpid()) - before >= 5_000_000
