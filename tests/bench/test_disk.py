"""`bench disk` runs in small: it ends, reports its figures, and what must hold at any size holds."""

import json
import sys
from pathlib import Path

import pytest

from bench.disk import WORKLOADS, main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages in RAM are told by mincore")

FIGURES = {"recall@10", "lists per query", "pages per query", "warm, CPU, median", "cold, p50", "cold, p50 / floor"}
MUST_HOLD = {"lists per query", "pages per query", "pages read per cold query"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_and_reports_its_figures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    main(["--only", name, "--quick", "--cache", str(tmp_path / "cache"), "--results", str(tmp_path)])
    rows = json.loads((tmp_path / "disk.json").read_text())
    assert len(rows) == 1 and rows[0]["figures"].keys() >= FIGURES
    assert {
        figure: rows[0]["figures"][figure] for figure in MUST_HOLD if not rows[0]["figures"][figure]["passes"]
    } == {}
