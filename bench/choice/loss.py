"""The loss of projections on queries that they were not learned from: the closed form, the paper's optimiser, PCA."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.choice.corpora import Corpus
from bench.tenants.workload import Float32s
from vdb.index.leanvec.projection import Projection, fit_queries, fit_rows, loss

N_ROWS = 5_000
N_STEPS = 60

Float64s = NDArray[np.float64]


def losses(corpus: Corpus) -> Iterator[tuple[str, float, float | None]]:
    """Name, loss on the queries asked, and the most it may be: that of the next. Only where queries are recorded."""
    if corpus.recorded is None:
        return
    rows, kept = corpus.rows[:N_ROWS], corpus.rows.shape[1] // 3
    pca = fit_rows(rows, kept)
    a, b = frank_wolfe(rows - pca.mean, corpus.recorded, kept)
    optimised = Projection(a, b, pca.mean, np.zeros(kept))
    found = [loss(made, rows, corpus.asked) for made in (fit_queries(rows, corpus.recorded, kept), optimised, pca)]
    yield "closed form", found[0], found[1]
    yield "Frank-Wolfe", found[1], found[2]
    yield "PCA", found[2], None


def frank_wolfe(rows: Float32s, queries: Float32s, kept: int) -> tuple[Float32s, Float32s]:
    """Algorithm 1 of LeanVec (arXiv 2312.16335): A and B (kept, D) inside the unit ball of the spectral norm."""
    spread = (rows.T @ rows).astype(np.float64) / len(rows)
    asked = (queries.T @ queries).astype(np.float64) / len(queries)
    a = b = np.zeros((rows.shape[1], kept))
    last = np.inf
    for t in range(N_STEPS):
        rate = 1 / (t + 1) ** 0.999
        a = (1 - rate) * a + rate * _polar(2 * asked @ spread @ b - 2 * asked @ a @ (b.T @ spread @ b))
        b = (1 - rate) * b + rate * _polar(2 * spread @ asked @ a - 2 * spread @ b @ (a.T @ asked @ a))
        rest = a @ b.T - np.eye(len(a))
        now = float(np.trace(rest @ spread @ rest.T @ asked))
        if t > 2 and abs(last - now) < 1e-3 * last:
            break
        last = now
    return np.ascontiguousarray(a.T, np.float32), np.ascontiguousarray(b.T, np.float32)


def _polar(matrix: Float64s) -> Float64s:
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)
