"""Made-up rows of races, for tests of what is drawn from them."""

from collections.abc import Mapping
from typing import Any

from bench.tenants.reading import at_recall

__all__ = ["contender", "race_row"]


def contender(costs: Mapping[float, float], **facts: Any) -> dict[str, Any]:
    """A contender that takes `costs[recall]` µs of CPU at each recall."""
    sweeps = [
        {
            "setting": f"effort {i}",
            "recall": recall,
            "recall p1": recall,
            "hits twice": 0,
            "cpu us": {"mean": cost, "of other threads": 0.0},
            "wall us": {"mean": cost, "p50": cost, "p95": 2 * cost, "p99": 3 * cost},
            "qps": round(1e6 / cost),
            "runs cpu us": [cost * 0.9, cost * 1.1],
        }
        for i, (recall, cost) in enumerate(costs.items())
    ]
    at: dict[str, Any] = {}
    for target in (0.9, 0.95, 0.99):
        cost_at = at_recall(list(costs.items()), target)
        at[f"{target:g}"] = None if cost_at is None else {"cpu us": cost_at, "qps": round(1e6 / cost_at)}
    given = {"packages": {}, "parameters": "none", "build s": 1.0, "anonymous bytes": 2**20, "disk bytes": None}
    return given | facts | {"at recall": at, "sweeps": sweeps}


def race_row(contenders: Mapping[str, Any], data_set: str = "made", **figures: Any) -> dict[str, Any]:
    """A row as `bench race` writes it."""
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "commit": {"id": "0123456789" * 4, "is_dirty": False},
        "machine": {"cpu": "Some CPU", "n_cores": 2, "memory_gib": 8.0, "kernel": "Linux 6.1.0", "load_1min": 0.1},
        "versions": {"python": "3.11.7", "vdb": "0.1.0", "numpy": "2.4.6", "numba": "0.68.1", "lmdb": "3.0.0"},
        "command": "python -m bench race made",
        "figures": {
            "data set": {"name": data_set, "metric": "l2", "dimension": 8, "points": 1000},
            "k": 10,
            "repetitions": 2,
            "contenders": dict(contenders),
            "left out": {},
        }
        | figures,
    }
