"""Rows of results: complete, appended, and free of what names a machine."""

import json
from pathlib import Path

import numpy as np

from bench.record import record
from bench.report import Figure, median, table


def test_rows_are_appended_oldest_first(tmp_path: Path) -> None:
    for value in (1, 2):
        record("sample", {"figure": value}, "python -m bench sample", tmp_path)
    rows = json.loads((tmp_path / "sample.json").read_text())
    assert [row["figures"]["figure"] for row in rows] == [1, 2]


def test_a_row_says_what_was_measured_with_what_and_where(tmp_path: Path) -> None:
    path = record("sample", {}, "python -m bench sample --n 1", tmp_path)
    row = json.loads(path.read_text())[0]
    assert row.keys() == {"date", "commit", "machine", "versions", "command", "figures"}
    assert row["commit"].keys() == {"id", "is_dirty"}
    assert row["versions"]["numpy"] == np.__version__
    assert row["machine"].keys() == {"cpu", "n_cores", "memory_gib", "kernel", "load_1min"}


def test_a_bar_is_the_most_or_the_least_a_figure_may_be() -> None:
    assert Figure("cost", 2.0, "ms", 2.0).passes
    assert not Figure("cost", 2.1, "ms", 2.0).passes
    assert Figure("rate", 2.0, "per s", 2.0, at_least=True).passes
    assert not Figure("rate", 1.9, "per s", 2.0, at_least=True).passes
    assert Figure("free", 1.0, "").passes is None


def test_repeated_runs_are_kept_beside_their_median() -> None:
    assert median("cost", [3.0, 1.0, 2.0], "ms", 2.5).as_row() == {
        "value": 2.0,
        "unit": "ms",
        "bar": "<= 2.5",
        "passes": True,
        "runs": [3.0, 1.0, 2.0],
    }


def test_the_table_shows_missed_bars() -> None:
    shown = table([Figure("good", 1, "ms", 2), Figure("bad", 3, "ms", 2), Figure("free", 5, "ms")]).splitlines()
    assert [line.split()[-1] for line in shown] == ["ok", "MISSED", "ms"]
