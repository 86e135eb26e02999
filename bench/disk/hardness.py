"""How hard the vectors are: what a graph in RAM finds of them, which everybody can compare with other sets.

Measured on 500,000 of them: of more, the same effort finds less.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from bench.index.arena import world
from bench.report import Figure
from bench.tenants.contender import LeftOut
from bench.tenants.elsewhere import Elsewhere, How
from bench.tenants.limits import Limits
from bench.tenants.per_tenant import M, PerTenantHnsw
from bench.tenants.store import Store
from bench.tenants.truth import judge

WORKLOAD, EF, EF_CONSTRUCTION, BAR = "single-500k", 64, 100, 0.97


def measure(pythons: Mapping[str, str], cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The recall of hnswlib, whose interpreter `pythons` names, else it is this one; nothing where it cannot run."""
    workload = world(cache, WORKLOAD, seed, is_quick)
    how = How(Store(cache), Limits(build_s=float("inf")), EF_CONSTRUCTION)
    graph = Elsewhere(PerTenantHnsw.name, how, pythons.get("hnswlib", sys.executable))
    try:
        graph.build(workload)
        found = graph.ask(f"ef {EF}", 0)[0]
    except LeftOut as exc:
        print(f"hnswlib is left out: {exc}", flush=True)
        return []
    finally:
        graph.close()
    recall = float(judge(workload, found).recalls.mean())
    return [Figure(f"hnswlib, M {M}, ef {EF}: recall", recall, "", None if is_quick else BAR)]
