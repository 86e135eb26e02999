"""docs/benchmarks.md names every workload by its command."""

from bench.__main__ import workloads
from bench.record import ROOT


def test_every_workload_stands_in_the_document() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in workloads() if f"`python -m bench {name}" not in text] == []
