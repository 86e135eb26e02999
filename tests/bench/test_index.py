"""Every part of `bench index` runs in small: it ends, reports its figures, and what must hold at any size holds."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.index import PARTS, main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the accounts of a process are read from /proc")

FIGURES = {
    "writes": {"insert, batches of 1,000", "grant, batches of 1,000", "revoke, batches of 1,000"},
    "pauses": {"p99 during a layout / quiet, CPU", "p99 during a layout / quiet, wall less other load"},
    "growth": {"recall lost by growth, budget 14 n^0.6", "layouts"},
    "growth-1m": {"recall lost by growth, budget 14 n^0.6", "cells, grown"},
    "memory": {"anonymous memory / raw, as built", "first search after it, index loaded"},
    "memory-1m": {"anonymous memory / raw, after a restart", "index of 1,000 idle tenants beyond one"},
    "filters": {"recall, owner, 1 %", "first search, owner, 1 %, a label", "later searches, shared, 0.01 %"},
}
_NOTHING_FOREIGN = {f"foreign, dead or repeated hits, budget {factor} n^0.6" for factor in (7, 14, 30)}
MUST_HOLD = {
    "growth": _NOTHING_FOREIGN,
    "growth-1m": _NOTHING_FOREIGN,
    "filters": {f"answers short of hits, owner, {percent} %" for percent in (50, 10, 1, 0.1, 0.01)},
}


def _figures(part: str, folder: Path) -> dict[str, Any]:
    main(["--part", part, "--quick", "--cache", str(folder / "cache"), "--results", str(folder)])
    rows = json.loads((folder / "index.json").read_text())
    assert len(rows) == 1
    figures: dict[str, Any] = rows[0]["figures"]
    return figures


def test_every_part_has_its_figures_named_here() -> None:
    assert set(FIGURES) == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_and_reports_its_figures(part: str, tmp_path: Path) -> None:
    figures = _figures(part, tmp_path)
    assert figures.keys() >= FIGURES[part]
    assert {name: figures[name] for name in MUST_HOLD.get(part, ()) if not figures[name]["passes"]} == {}
