"""What inserts cost an index in memory by size: CPU of coding and naming them, and of the layout that takes them in.

The last 10,000 points of each size are written in batches of 1,000 to an index of the others; then it is laid out once.
A layout is due when 12 % of the rows are new, so an insert pays its cost over so many.
"""

import argparse
import time

import numpy as np

from bench.index.arena import Batch, arena
from bench.report import Figure
from bench.scaling.memory import Found
from bench.scaling.sets import figures, worlds
from bench.tenants.workload import Workload
from vdb.index.curator.index import RELAYOUT_SHARE

SIZES = (20_000, 60_000, 120_000, 250_000, 500_000, 1_000_000)
N_WRITTEN, BATCH = 10_000, 1_000
OWNER = 1


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every size."""
    found: list[Figure] = []
    for workload in worlds(given, SIZES):
        found += figures("writes", len(workload.vectors), _of(workload))
        print(f"{len(workload.vectors):,} points are done", flush=True)
    return found


def _of(workload: Workload) -> Found:
    n = len(workload.vectors)
    n_written = min(N_WRITTEN, n // 10)
    first = n - n_written
    ready = [
        Batch(OWNER, rows.astype(np.uint32), np.array(workload.vectors[rows]), {OWNER: None})
        for rows in np.array_split(np.arange(first, n), -(-n_written // BATCH))
    ]
    with arena(workload, np.arange(first), n) as place:
        began = time.thread_time()
        for batch in ready:
            batch.put(place)
        put_s = time.thread_time() - began
        began = time.process_time()
        place.lay_out()
        layout_s = time.process_time() - began
    per_layout = 1e6 * layout_s / (RELAYOUT_SHARE * n)
    return {
        "CPU of an insert": (1e6 * put_s / n_written, "µs"),
        "CPU of a layout": (layout_s, "s"),
        "CPU of layouts per insert": (per_layout, "µs"),
        "CPU of an insert with its layouts": (1e6 * put_s / n_written + per_layout, "µs"),
    }
