"""`bench disk` runs in small: every part ends and reports its figures, and what must hold at any size holds."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.disk import READINGS, SEARCHED, main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages in RAM are told by mincore")

FIGURES = {
    "recall@10",
    "warm, CPU, median",
    "warm, 16 clients, queries/s",
    "cold, 1 client, p50",
    "cold, 16 clients, bytes read per query",
    "cold, p50 / floor",
    "anonymous memory",
}
MUST_HOLD = ("lists per query", "pages per query", "pages read per cold query")


def _figures(part: str, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    kept = ["--cache", str(tmp_path / "cache"), "--results", str(tmp_path)]
    main(["--only", part, "--quick", *kept, *arguments])
    rows = json.loads((tmp_path / "disk.json").read_text())
    assert len(rows) == 1
    figures: dict[str, Any] = rows[0]["figures"]
    return figures


@pytest.mark.parametrize("part", SEARCHED)
def test_searches_report_their_figures(part: str, tmp_path: Path) -> None:
    figures = _figures(part, tmp_path)
    assert figures.keys() >= FIGURES
    assert {name: figures[name] for name in MUST_HOLD if not figures[name]["passes"]} == {}


@pytest.mark.parametrize("part", READINGS)
def test_a_kind_of_reading_is_compared_with_the_same_in_memory(part: str, tmp_path: Path) -> None:
    figures = _figures(part, tmp_path)
    assert figures[f"{part} readings, disk / memory"]["value"] > 0
    assert figures["foreign hits"]["value"] == 0


def test_all_identical_vectors_are_found(tmp_path: Path) -> None:
    figures = _figures("duplicates", tmp_path)
    assert figures["identical vectors found"]["passes"] and figures["found twice"]["passes"]


def test_a_peer_whose_process_fails_is_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    figures = _figures("peers", tmp_path, "--against", "diskann", "--peer-python", "diskann=/bin/false")
    assert {name.partition(":")[0] for name in figures} == {"ours"}
    assert "diskann is left out: its process ended with 1" in capfd.readouterr().out
