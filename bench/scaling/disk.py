"""An index on disk by size: pages, lists and CPU of a search at two recalls, bytes in RAM and on disk, CPU of builds.

Work is in pages: those of lists and those of vectors that are compared. Everything lies in the system's page cache, so
CPU is what is left when no page has to be waited for.
"""

import argparse
from pathlib import Path

import numpy as np

from bench.disk.lists import made, read
from bench.report import Figure
from bench.scaling.frontier import TARGETS, Point, around, between, cpu_us, run
from bench.scaling.memory import Found
from bench.scaling.sets import figures, worlds
from bench.tenants.workload import Float32s, Int64s, K, Workload
from vdb.engine.plan_lists import LISTS
from vdb.index.spann.index import ROW_BYTES, SpannIndex
from vdb.index.spann.search import Effort
from vdb.index.spann.search import Found as Answer

SIZES = (20_000, 60_000, 120_000, 250_000, 500_000, 1_000_000)
COUNTS = ("heads scored", "lists read", "rows scanned", "vectors compared", "pages of lists", "pages of vectors")
SHARES = (0.15, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
RECALLS = (0.95, 0.99)
"""Shares of the budgets of the server's table at these recalls are tried, with the rest of its rows."""


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every size."""
    found: list[Figure] = []
    for workload in worlds(given, SIZES):
        found += figures("disk", len(workload.vectors), _of(workload, given.cache))
        print(f"{len(workload.vectors):,} points are done", flush=True)
    return found


def _of(workload: Workload, cache: Path) -> Found:
    folder, n = made(cache, workload), len(workload.vectors)
    kept = read(folder)
    files = [path.stat() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pickle"]
    with kept.opened(folder) as index:
        n_bytes = index.nbytes + ROW_BYTES * n  # the lists and numbers of rows, and their ends, are not opened here
        found: Found = {
            "CPU of the build": (kept.build_cpu_s, "s"),
            "bytes in RAM": (n_bytes, "B"),
            "bytes in RAM per point": (n_bytes / n, "B"),
            "bytes on disk per point": (sum(one.st_blocks * 512 for one in files) / n, "B"),
            "lists": (len(kept.model.leaves), ""),
        }
        return found | _searches(workload, index)


def _searches(workload: Workload, index: SpannIndex) -> Found:
    state = index.state
    efforts = {
        f"{share:g} of {recall:g}": Effort(int(share * listed.budget), *listed[1:])
        for recall, listed in LISTS
        if recall in RECALLS
        for share in SHARES
    }

    def answered(query: Float32s, effort: Effort) -> Answer:
        return index.search(state, 1, query, K, 1, 0, effort)

    points: list[Point] = []
    for name, effort in efforts.items():

        def search(query: Float32s, effort: Effort = effort) -> tuple[Int64s, Int64s]:
            answer = answered(query, effort)
            return answer.pid[answer.row >= 0].astype(np.int64), answer.statistics

        points.append(run(workload, name, search, COUNTS, work))
    found: Found = {}
    for name, target in TARGETS.items():
        places = around(points, target)
        if places is None:
            continue
        low, high, share = places
        low_us, high_us = (
            cpu_us(workload, lambda query, effort=efforts[point.setting]: answered(query, effort))  # type: ignore[misc]
            for point in (low, high)
        )
        found[f"CPU at {name}"] = (between(low_us, high_us, share), "µs")
        found[f"work at {name}"] = (between(low.work, high.work, share), "pages")
        for count in COUNTS:
            found[f"{count} at {name}"] = (between(low.counts[count], high.counts[count], share), "")
    return found


def work(counts: dict[str, float]) -> float:
    """Pages that a search reads."""
    return counts["pages of lists"] + counts["pages of vectors"]
