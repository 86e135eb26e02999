"""What a run says: figures of each setting, cost at a recall, ratios of ours to its peers, and the bars.

Cost at a recall as in `reading.py`.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tenants.protocol import Measured, Sweep
from bench.tenants.reading import costs_at
from bench.tenants.workload import CLASS_NAMES, Workload

TARGETS = (0.95, 0.99)
COLUMNS = ("queries", "recall", "recall p1", "mean us", "p50 us", "p99 us", "qps")
"""What `figures` gives. By tenant size they stand in one text, in this order, so that a row stays short."""

Mask = NDArray[np.bool_]


def figures(sweep: Sweep, mask: Mask) -> dict[str, float | int]:
    """Recall and cost of the queries in `mask` that were asked."""
    kept = mask & ~np.isnan(sweep.recalls)
    if not kept.any():
        return {"queries": 0}
    recalls, cpu_us = sweep.recalls[kept], sweep.cpu_us[kept]
    mean = float(cpu_us.mean())
    return {
        "queries": int(kept.sum()),
        "recall": _rounded(float(recalls.mean())),
        "recall p1": _rounded(float(np.percentile(recalls, 1))),
        "mean us": _rounded(mean),
        "p50 us": _rounded(float(np.percentile(cpu_us, 50))),
        "p99 us": _rounded(float(np.percentile(cpu_us, 99))),
        "qps": round(1e6 / mean),
    }


def cost_us(measured: Measured, mask: Mask, target: float) -> float | None:
    """Mean CPU µs at a mean recall, over the queries in `mask` that were asked; None where no setting reaches it."""
    kept = mask & measured.asked
    if not kept.any():
        return None
    points = [(float(one.recalls[kept].mean()), one.times_us[:, kept].mean(axis=1).tolist()) for one in measured.sweeps]
    costs = costs_at(points, target)
    return None if costs is None else median(costs)


def row(
    workload: Workload, runs: Sequence[Measured], left_out: dict[str, str], clock_us: float, peers: Mapping[str, str]
) -> dict[str, Any]:
    """The figures of a workload as they stand in the results; `peers` are the releases of their packages."""
    return {
        "workload": {"name": workload.name, "metric": workload.metric, "dimension": workload.dimension}
        | workload.about
        | {"raw bytes": workload.raw_bytes},
        "columns by tenant size": ", ".join(COLUMNS),
        "peers": dict(peers),
        "clock us": round(clock_us, 3),
        "contenders": {run.name: _contender(workload, run) for run in runs},
        "left out": left_out,
        "ours / peers": ratios(workload, runs),
    }


def ratios(workload: Workload, runs: Sequence[Measured], ours: str = "ours") -> dict[str, Any]:
    """Cost and memory of ours over that of each peer, on the queries both were asked; empty where ours is absent."""
    own = next((run for run in runs if run.name == ours), None)
    if own is None:
        return {}
    found: dict[str, Any] = {}
    for run in runs:
        if run is not own:
            both = own.asked & run.asked
            by_target = {f"us at {t}": _ratio(cost_us(own, both, t), cost_us(run, both, t)) for t in TARGETS}
            found[run.name] = by_target | {"memory": _ratio(own.memory.anonymous, run.memory.anonymous)}
    return found


def class_masks(workload: Workload) -> dict[str, Any]:
    """Which queries belong to each size class that any tenant asking is in."""
    masks = {name: workload.classes == i for i, name in enumerate(CLASS_NAMES)}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _contender(workload: Workload, run: Measured) -> dict[str, Any]:
    everyone = np.ones(len(workload.queries), np.bool_)
    masks = class_masks(workload)
    return {
        "resident bytes": run.memory.resident,
        "anonymous bytes": run.memory.anonymous,
        "built share": _rounded(run.built_share),
        "build s": _rounded(run.build_s),
        "build CPU s": _rounded(run.build_cpu_s),
        "facts": {name: _rounded(value) if isinstance(value, float) else value for name, value in run.facts.items()},
        "at": {f"{t}": _at(run, everyone, masks, t) for t in TARGETS},
        "settings": [_setting(sweep, everyone, masks) for sweep in run.sweeps],
    }


def _at(run: Measured, everyone: Mask, masks: dict[str, Any], target: float) -> dict[str, float | None]:
    costs = {"all": cost_us(run, everyone, target)}
    costs |= {name: cost_us(run, mask, target) for name, mask in masks.items()}
    return {name: None if cost is None else _rounded(cost) for name, cost in costs.items()}


def _setting(sweep: Sweep, everyone: Mask, masks: dict[str, Any]) -> dict[str, Any]:
    found = {name: figures(sweep, mask) for name, mask in masks.items()}
    by_class = {name: " ".join(f"{value:g}" for value in one.values()) for name, one in found.items()}
    wrong = {"foreign hits": sweep.n_foreign, "hits twice": sweep.n_twice}
    runs = {"runs mean us": [_rounded(run) for run in sweep.runs_us]}
    return {"setting": sweep.setting} | figures(sweep, everyone) | wrong | runs | {"by tenant size": by_class}


def cheapest(run: Measured, target: float) -> Sweep | None:
    """The cheapest setting whose mean recall reaches the target."""
    reaching = [one for one in run.sweeps if float(np.nanmean(one.recalls)) >= target]
    return min(reaching, key=lambda one: float(np.nanmean(one.cpu_us)), default=None)


def _ratio(own: float | None, other: float | None) -> float | None:
    return _rounded(own / other) if own is not None and other else None


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
