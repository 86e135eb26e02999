"""How hard the vectors are: what a graph in RAM finds of them, which everybody can compare with other sets.

Measured on 500,000 of them: of more, the same effort finds less.
"""

from pathlib import Path

import numpy as np

from bench.index.arena import world
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.limits import Limits
from bench.tenants.per_tenant import M, PerTenantHnsw
from bench.tenants.store import Store
from bench.tenants.truth import judge

WORKLOAD, EF, EF_CONSTRUCTION, BAR = "single-500k", 64, 100, 0.97


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The recall of hnswlib; nothing where it is not installed."""
    workload = world(cache, WORKLOAD, seed, is_quick)
    graph = PerTenantHnsw(Store(cache), Limits(build_s=float("inf")), EF_CONSTRUCTION)
    try:
        graph.build(workload)
    except LeftOut as exc:
        print(f"hnswlib is left out: {exc}", flush=True)
        return []
    graph.use(f"ef {EF}")
    found = np.stack([graph.search(0, query) for query in workload.queries]).astype(np.int64)
    recall = float(judge(workload, found).recalls.mean())
    return [Figure(f"hnswlib, M {M}, ef {EF}: recall", recall, "", None if is_quick else BAR)]
