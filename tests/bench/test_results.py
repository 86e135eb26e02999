"""Every committed row has one form, and names neither a place nor a machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.record import RESULTS, record, without_places
from bench.report.schema import problems
from tests.bench.race_rows import contender, race_row

FILES = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_committed_row_has_the_form(path: Path) -> None:
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert rows and [problem for row in rows for problem in problems(row)] == []


def _row(**changed: Any) -> dict[str, Any]:
    row = race_row({"vdb": contender({0.96: 10.0})})
    return row | changed


def test_a_good_row_has_no_problem() -> None:
    assert problems(_row()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"date": "yesterday"}, "date is no ISO date"),
        ({"commit": {"id": "abc", "is_dirty": False}}, "commit is not an id"),
        ({"commit": {"id": "0" * 40, "is_dirty": None}}, "is not known"),
        ({"command": "python -m bench race made --quick"}, "quick"),
        ({"command": "python -m bench race made --cache /home/someone/cache"}, "names a place"),
        ({"figures": {"x": {"value": "3", "unit": "ms"}}}, "no number"),
        ({"figures": {"x": {"value": 3, "unit": "ms", "bar": "<= 2"}}}, "without its verdict"),
        ({"host": "build-7"}, "unknown key 'host'"),
        ({"figures": []}, "'figures' is no dict"),
    ],
)
def test_what_is_wrong_is_said(changed: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems(_row(**changed)))


def test_a_host_name_is_none_of_a_machines_facts() -> None:
    row = _row()
    row["machine"] = row["machine"] | {"node": "build-7"}
    assert problems(row) == ["machine: unknown key 'node'"]


def test_a_race_without_its_sweeps_is_no_row() -> None:
    row = _row()
    del row["figures"]["contenders"]["vdb"]["sweeps"]
    assert problems(row) == ["vdb has no 'sweeps'"]


def test_rows_are_written_without_places(tmp_path: Path) -> None:
    figures = {"left out": {"peer": "no file /tmp/vdb-bench-x/index.bin", "path": "POST /v1/answer"}}
    path = record("made", figures, "python -m bench made --cache /work/cache --data file:/srv/a.npy", tmp_path)
    row = json.loads(path.read_text())[0]
    assert row["command"] == "python -m bench made --cache PATH/cache --data file:PATH/a.npy"
    assert row["figures"]["left out"] == {"peer": "no file PATH/index.bin", "path": "POST /v1/answer"}


def test_only_texts_are_shortened() -> None:
    assert without_places({"a": [1, 2.5, None, True, "/opt/x/y"]}) == {"a": [1, 2.5, None, True, "PATH/y"]}
