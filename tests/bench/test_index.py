"""Every part of `bench index` runs in small: it ends, reports its figures, and what must hold at any size holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.index import PARTS, main

FIGURES = {
    "writes": {"insert, batches of 1,000", "grant, batches of 1,000", "revoke, batches of 1,000"},
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
