"""`bench cache` runs in small: every part ends and reports its figures."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cache import latency, main
from bench.cache.decisions import Sentences


def _figures(part: str, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    main(["--only", part, "--quick", "--results", str(tmp_path), *arguments])
    rows = json.loads((tmp_path / "cache.json").read_text())
    assert len(rows) == 1
    figures: dict[str, Any] = rows[0]["figures"]
    return figures


def test_latency_is_reported_without_its_peer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    figures = _figures("latency", tmp_path, "--peer-python", "/bin/false")
    timed = {f"{what}: {which}" for what in ("search", "decision", "over HTTP") for which in ("p50", "p99")}
    assert figures.keys() == timed | {"restart, until the first decision"}
    assert all(figure["value"] > 0 for figure in figures.values())
    assert "gptcache is left out: its process ended" in capfd.readouterr().out


def test_eviction_is_compared_on_every_workload(tmp_path: Path) -> None:
    figures = _figures("eviction", tmp_path)
    assert len(figures) == 30
    hits = {name.removesuffix(": hits"): figure["value"] for name, figure in figures.items()}
    for workload in ("Zipf", "Zipf and scans"):
        assert hits[f"{workload}, 2,000 entries, ours"] > hits[f"{workload}, 2,000 entries, LRU"]


@pytest.mark.parametrize("then", ["time.sleep(60)", "raise SystemExit(1)"])
def test_a_peer_that_does_not_answer_is_left_out_and_not_waited_for(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = tmp_path / "peer.py"
    peer.write_text(f"import sys, time\nprint('ready', flush=True)\nsys.stdin.readline()\n{then}\n")
    monkeypatch.setattr(latency, "PEER", peer)
    monkeypatch.setattr(latency, "LIMIT_S", 2.0)
    some = Sentences(["a"], np.ones((1, 4), np.float32))
    with latency._peer(sys.executable, some, some, tmp_path) as turn:
        assert turn is not None
        took = latency._in_turns({"gptcache": turn, "ours": lambda: [1.0]}, 2)
    assert took == {"ours": [[1.0], [1.0]]}
    assert "gptcache is left out" in capsys.readouterr().out
