"""The bars that our index is held to, by workload; nothing is held to a bar where it takes no part."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from bench.report import Figure
from bench.tenants.contiguous import ExactCodes
from bench.tenants.ours import Ours
from bench.tenants.per_tenant import PerTenantHnsw
from bench.tenants.protocol import Measured
from bench.tenants.summary import Mask, cheapest, class_masks, cost_us
from bench.tenants.workload import CLASS_NAMES, Workload

SHARED_QPS, SHARED_MEMORY, SHARED_SPREAD, SHARED_P1 = 2.0, 0.1, 3.0, 0.7
EXCLUSIVE_SCAN, EXCLUSIVE_GROWTH = 1.5, 2.0
SINGLE_QPS = 1.4
_SCANNED = CLASS_NAMES[:3]
"""Size classes of exclusive tenants whose cost is held to that of a scan."""

_AGAINST_RIVAL = {"shared": "QPS at", "single": "QPS at", "exclusive": "us at 0.99, ours / scan"}
"""How figures begin that are held to a bar against a rival, by the kind of workload."""
_NEAR_BOUND = (3_000, 5_000)
"""Tenants of so many points stand for those of 4,000, to whose cost that of larger ones is held."""


def bars(workload: Workload, runs: Sequence[Measured]) -> list[Figure]:
    """What is held to a bar in this workload, with the figure measured; empty where ours takes no part."""
    by_name = {run.name: run for run in runs}
    ours = by_name.get(Ours.name)
    if ours is None:
        return []
    found = [Figure("foreign hits", sum(sweep.n_foreign for sweep in ours.sweeps), "", 0)]
    kind = workload.name.partition("-")[0]
    if kind == "shared":
        found += _shared(workload, ours, by_name.get(PerTenantHnsw.name))
    elif kind == "exclusive":
        found += _exclusive(workload, ours, by_name.get(ExactCodes.name))
    elif kind == "single":
        found += _against(workload, ours, by_name.get(PerTenantHnsw.name), 0.95, SINGLE_QPS)
    elif kind == "hard":
        found += _against(workload, ours, by_name.get(PerTenantHnsw.name), 0.99, None)
    return found


def unjudged(workload: Workload, held: Iterable[Figure]) -> str:
    """A line where the bar against the rival has no verdict, as it took no part or never finds as much; else empty."""
    wanted = _AGAINST_RIVAL.get(workload.name.partition("-")[0])
    if wanted is None or any(figure.name.startswith(wanted) and figure.bar is not None for figure in held):
        return ""
    return f"not judged: {wanted} …, as one side took no part or never finds as much"


def _shared(workload: Workload, ours: Measured, hnsw: Measured | None) -> Iterator[Figure]:
    yield from _against(workload, ours, hnsw, 0.99, SHARED_QPS)
    if hnsw is not None:
        ratio = ours.memory.anonymous / hnsw.memory.anonymous
        yield Figure("memory growth, ours / hnswlib per tenant", ratio, "x", SHARED_MEMORY)
    sweep = cheapest(ours, 0.99)
    if sweep is None:
        return
    p1 = float(np.nanpercentile(sweep.recalls, 1))
    yield Figure(f"first-percentile recall, {sweep.setting}", p1, "", SHARED_P1, at_least=True)
    for name, mask in class_masks(workload).items():
        p50, p99 = np.percentile(sweep.cpu_us[mask & ours.asked], (50, 99))
        yield Figure(f"p99 / p50, tenants {name}", float(p99 / p50), "x", SHARED_SPREAD)


def _exclusive(workload: Workload, ours: Measured, scan: Measured | None) -> Iterator[Figure]:
    masks = class_masks(workload)
    for name in _SCANNED if scan is not None else ():
        if scan is not None and name in masks:
            both = masks[name] & ours.asked & scan.asked
            yield from _ratio(f"us at 0.99, ours / scan, tenants {name}", ours, scan, both, EXCLUSIVE_SCAN)
    sizes = workload.access.sizes[workload.askers]
    at_bound = cost_us(ours, (sizes >= _NEAR_BOUND[0]) & (sizes <= _NEAR_BOUND[1]), 0.99)
    for name in CLASS_NAMES[len(_SCANNED) :]:
        cost = cost_us(ours, masks[name], 0.99) if name in masks else None
        if cost is not None and at_bound:
            yield Figure(f"us at 0.99, tenants {name} / of 4,000 points", cost / at_bound, "x", EXCLUSIVE_GROWTH)


def _ratio(name: str, ours: Measured, other: Measured, mask: Mask, bar: float) -> Iterator[Figure]:
    own_us, other_us = cost_us(ours, mask, 0.99), cost_us(other, mask, 0.99)
    if own_us is not None and other_us:
        yield Figure(name, own_us / other_us, "x", bar)


def _against(
    workload: Workload, ours: Measured, peer: Measured | None, target: float, bar: float | None
) -> Iterator[Figure]:
    """That we reach a recall, and how many times as many queries a second as the peer we then answer."""
    best = max(float(np.nanmean(sweep.recalls)) for sweep in ours.sweeps)
    yield Figure("best recall", best, "", target, at_least=True)
    if peer is None:
        return
    both = ours.asked & peer.asked
    own_us, peer_us = cost_us(ours, both, target), cost_us(peer, both, target)
    if own_us and peer_us is not None:
        yield Figure(f"QPS at {target}, ours / {peer.name}", peer_us / own_us, "x", bar, at_least=True)
