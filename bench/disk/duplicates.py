"""Identical vectors among others: whoever asks for as many of the nearest as there are has all of them.

Two-means cannot part them, so they stay in one list however long it gets.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.disk.lists import EFFORT, NO_GRANTS, Points, build, read
from bench.index.arena import world
from bench.report import Figure
from vdb.index.spann.search import Effort
from vdb.kernels import warm

N, N_SAME = 100_000, 10_000
SPARE = 2
"""Times as many rows are scanned as are the same: their list's pages hold others too."""


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """How many of the identical vectors an index on disk finds."""
    warm(background=False)
    workload = world(cache, "single-120k", seed, is_quick)
    n = min(N, len(workload.vectors))
    n_same = n * N_SAME // N
    vectors = np.array(workload.vectors[:n])
    same = np.sort(np.random.default_rng([seed, 20]).choice(n, n_same, replace=False))
    vectors[same] = vectors[same[0]]
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        build(Points(vectors, np.ones(n, np.uint32), NO_GRANTS, workload.metric), Path(folder))
        with read(Path(folder)).opened(Path(folder)) as index:
            effort = Effort(SPARE * n_same, max(n_same, EFFORT.candidates))
            found = index.search(index.state, 1, vectors[same[0]], n_same, 1, 0, effort)
            hits = found.pid[found.row >= 0]
            n_lists = len(index.state.model.leaves)
            del index
    return [
        Figure("points", n, ""),
        Figure("lists", n_lists, ""),
        Figure("identical vectors found", len(np.intersect1d(hits, same)), "", n_same, at_least=True),
        Figure("found twice", len(hits) - len(np.unique(hits)), "", 0),
        Figure("lists read", float(found.statistics[1]), ""),
    ]
