"""Every cost workload runs in small: it ends, reports all its figures, and writes one row where it is told to."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main, workloads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the accounts of a process are read from /proc")

SMALL = {
    "http": ["--n", "200", "--dim", "8", "--requests", "40", "--repeat", "2"],
    "load": ["--clients", "2", "--batches", "2", "--batch", "20", "--dim", "8", "--repeat", "1"],
    "single": ["--n", "300", "--dim", "8", "--clients", "4", "--seconds", "0.3"],
    "tenants-cost": ["--tenants", "6", "--points", "5", "--dim", "8", "--clients", "4", "--searches", "3"],
    "noisy": ["--seconds", "0.3", "--quiet-rate", "30", "--repeat", "1", "--only", "writes"],
    "bulk-import": ["--n", "5000", "--dim", "8", "--kills", "2", "--sample", "50"],
    "exact": ["--n", "300", "--queries", "16"],
    "compact": ["--n", "2000", "--dims", "16"],
    "many-collections": ["--n", "12"],
}
FIGURES = {
    "http": {"kernel", "beyond the kernel, JSON", "beyond the kernel, binary", "SDK, sync"},
    "load": {"JSON", "binary"},
    "single": {"p50 of many / p50 of one", "search p99 with writes / quiet"},
    "tenants-cost": {
        "server CPU to make a tenant",
        "memory beyond its vectors",
        "disk / raw vectors",
        "restart until ready",
        "first search after it, p99",
    },
    "noisy": {"writes: p99 moves by", "writes: neighbour admitted", "writes: p99 moves by, no limit"},
    "bulk-import": {"import, whole command", "kills", "points missing, twice or foreign, killed"},
    "exact": {"recall, seeded cosine, no filter", "recall, seeded ip, strong filter", "wrong hits"},
    "compact": {"16-d: file / live data", "16-d: deleted texts in the file", "16-d: faults of the check"},
    "many-collections": {"idle memory of one, 256 open", "memory of an open one", "restart until ready"},
}


def _row(workload: str, folder: Path) -> dict[str, Any]:
    """Run a workload in small and return the row it wrote."""
    code = main([workload, *SMALL[workload], "--results", str(folder)])
    rows = json.loads((folder / f"{workload}.json").read_text())
    assert len(rows) == 1
    row: dict[str, Any] = rows[0]
    assert code == int(any(figure.get("passes") is False for figure in row["figures"].values()))
    return row


def test_http_with_the_index_on(tmp_path: Path) -> None:
    small = ["--n", "1200", "--dim", "8", "--requests", "40", "--repeat", "2", "--index"]
    main(["http", *small, "--results", str(tmp_path)])
    figures = json.loads((tmp_path / "http.json").read_text())[0]["figures"]
    assert figures.keys() >= FIGURES["http"]
    assert figures["searches by the index"]["value"] == 1.0


@pytest.mark.parametrize("workload", SMALL)
def test_a_workload_runs_and_records_its_figures(workload: str, tmp_path: Path) -> None:
    row = _row(workload, tmp_path)
    if workload == "exact":
        assert {name: figure for name, figure in row["figures"].items() if not figure["passes"]} == {}
    if workload == "compact":  # so few points that the file's own pages are most of it
        assert row["figures"]["16-d: deleted texts in the file"]["passes"]
        assert row["figures"]["16-d: faults of the check"]["passes"]
    assert row["figures"].keys() >= FIGURES[workload]
    assert row["command"].startswith(f"python -m bench {workload} ")


def test_every_cost_workload_is_listed_with_its_line() -> None:
    assert {name: workloads()[name] for name in SMALL if not workloads().get(name)} == {}


def test_an_unknown_workload_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    shown = capsys.readouterr().err
    assert [name for name in SMALL if name not in shown] == []
