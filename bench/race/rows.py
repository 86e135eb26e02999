"""What rows of all races have alike: what a setting found, its times, and the cost at recalls."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from bench.report import Figure
from bench.report import median as measured
from bench.tenants.reading import costs_at
from bench.tenants.truth import Judged
from bench.tenants.workload import Float64s

__all__ = ["TARGETS", "at_targets", "facts_of", "of_wall", "rounded", "times", "what_was_found"]

TARGETS = (0.9, 0.95, 0.99)
_PERCENTS = (50, 95, 99)


def rounded(value: float) -> float:
    """To five digits, as rows have it."""
    return float(f"{value:.5g}")


def facts_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found beside sweeps, floats rounded."""
    return {name: rounded(value) if isinstance(value, float) else value for name, value in found.items()}


def what_was_found(setting: str, judged: Judged) -> dict[str, Any]:
    """The head of a sweep's row."""
    return {
        "setting": setting,
        "recall": rounded(float(judged.recalls.mean())),
        "recall p1": rounded(float(np.percentile(judged.recalls, 1))),
        "hits twice": judged.n_twice,
        "hits of no row": judged.n_foreign,
    }


def of_wall(wall_us: Float64s) -> dict[str, float]:
    """Percentiles of µs by the clock, (q,)."""
    return {f"p{percent}": rounded(float(np.percentile(wall_us, percent))) for percent in _PERCENTS}


def at_targets(sweeps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """CPU µs and queries per CPU second at each of `TARGETS` (`bench/tenants/reading.py`), what repetitions read, and
    whether even the fastest setting finds more; None where none finds as much."""
    points = [(one["recall"], [run + _beside(one) for run in one["runs cpu us"]]) for one in sweeps]
    least = min(recall for recall, _ in points)
    at: dict[str, Any] = {}
    for target in TARGETS:
        costs = costs_at(points, target)
        name = f"{target:g}"
        if costs is None:
            at[name] = None
            continue
        cost = median(costs)
        at[name] = {"cpu us": rounded(cost), "qps": round(1e6 / cost), "runs cpu us": [rounded(run) for run in costs]}
        at[name]["at most"] = target < least
    return at


def times(name: str, own: Mapping[str, Any], other: Mapping[str, Any], bar: float | None = None) -> Figure:
    """How many times the queries of the other's ours answers in a CPU second: the median of the repetitions, each by
    what it read of both."""
    runs = [theirs / mine for mine, theirs in zip(own["runs cpu us"], other["runs cpu us"], strict=True)]
    return measured(name, runs, "x", bar, at_least=bar is not None)


def _beside(sweep: Mapping[str, Any]) -> float:
    """CPU µs that other threads of the process took, which the repetitions leave out."""
    return float(sweep["cpu us"].get("of other threads", 0.0))
