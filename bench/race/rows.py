"""What rows of all races have alike: what a setting found, its times, and the cost at recalls."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.tenants.summary import at_recall
from bench.tenants.truth import Judged
from bench.tenants.workload import Float64s

__all__ = ["TARGETS", "at_targets", "facts_of", "of_wall", "rounded", "what_was_found"]

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
    """CPU µs and queries per CPU second at each of `TARGETS`, on the line between sweeps; None where none is."""
    at: dict[str, Any] = {}
    for target in TARGETS:
        cost = at_recall([(one["recall"], one["cpu us"]["mean"]) for one in sweeps], target)
        at[f"{target:g}"] = None if cost is None else {"cpu us": rounded(cost), "qps": round(1e6 / cost)}
    return at
