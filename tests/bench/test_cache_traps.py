"""`bench cache --only traps`: what it counts, and that it shows no row."""

import json
from pathlib import Path

import pytest

from bench.cache import main
from bench.cache.traps import half_figures, is_refused, rows_of

ROWS = [
    {"kind": "number", "a": "What is error 403?", "b": "What is error 404?"},
    {"kind": "number", "a": "What is error 403?", "b": "what is error 403"},
    {"kind": "unit", "a": "Is 5 km far?", "b": "Is 5 miles far?"},
    {"kind": "paraphrase", "a": "Is 5 km far?", "b": "is 5 kilometers far"},
]


def test_shares_are_counted_by_kind() -> None:
    figures = {figure.name: figure for figure in half_figures("made-up", ROWS)}
    assert figures["traps, made-up half: swaps refused, of 3"].value == pytest.approx(2 / 3)
    assert figures["traps, made-up half: swaps refused, of 3"].passes is False
    assert figures["traps, made-up half: number refused, of 2"].value == 0.5
    assert figures["traps, made-up half: controls lost, of 1"].value == 0


def test_a_pair_is_refused_in_both_orders() -> None:
    assert is_refused(("flights from Rome to Oslo", "flights from Oslo to Rome"))
    assert not is_refused(("flights from Rome to Oslo", "flights to Oslo from Rome"))


def test_a_quick_run_judges_the_first_half_and_prints_no_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["--only", "traps", "--quick", "--results", str(tmp_path)])
    figures = json.loads((tmp_path / "cache.json").read_text())[0]["figures"]
    assert not [name for name in figures if "second" in name]
    assert "guard: a check, both texts new, p50" in figures
    printed = "".join(capfd.readouterr())
    assert not [row for row in rows_of("first") if row["a"] in printed]
