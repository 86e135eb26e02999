"""The fusion of a collection learned from judgements: which kind and weight puts first what was judged to answer.

Few judgements say little, so a choice has to win by more than chance explains. Of all kinds and weights the one is
taken whose sure gain over the default is greatest: the mean gain less `CAUTION` standard errors, as if `N_IMAGINED`
more queries had been judged that gained nothing; the default where none is above zero. On folds it was not chosen by it
then has to beat the default, and a leg alone replaces it that is surely better there. Deterministic: the folds follow
the order of the queries. ADR 11 has the measurements.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdb.rag.fuse import Candidates, FusionKind, FusionOptions, fused, scaled

Metric = Literal["ndcg", "recall", "mrr"]
Float64s = NDArray[np.float64]

LEARNED_KINDS: tuple[FusionKind, ...] = ("coverage", "sigma")
WEIGHTS = np.arange(21) / 20
DENSE, SPARSE = len(WEIGHTS), 1
"""Columns of the legs alone: the last and the first weight of the first kind, after the default's column."""
N_FOLDS = 5
CAUTION = 1.5
"""Standard errors by which a choice has to beat what it replaces."""
N_IMAGINED = 5
IMAGINED_VARIANCE = 0.05
"""Of the gain of the imagined queries: among few real ones that happen to agree the error would be too small."""


class JudgedCandidates(NamedTuple):
    """The candidates of a query and what was judged of them.

    `grades` (n,) float64, 0 and less where not relevant; `ideal`: all positive grades of the query, descending, of
    points that no leg found too; `groups` (n,) int64: candidates of one group count once, by the best, None where each
    counts by itself.
    """

    candidates: Candidates
    grades: Float64s
    ideal: Float64s
    groups: NDArray[np.int64] | None = None


class LearnedFusion(NamedTuple):
    """`options` to use, `kept` where they are others than the default. The metric, 0 to 1, on the judged queries of
    either leg, of the default and of what was learned, the last on queries that it was not learned from."""

    options: FusionOptions
    kept: bool
    n_queries: int
    dense: float
    sparse: float
    default: float
    learned: float


def measured(query: JudgedCandidates, scores: Float64s, metric: Metric, at: int) -> float:
    """The metric of one query, 0 to 1, its candidates ordered by scores (n,), equal ones by their place."""
    order = np.argsort(-scores, kind="stable")
    if query.groups is not None:
        _, firsts = np.unique(query.groups[order], return_index=True)
        order = order[np.sort(firsts)]
    return _of_ranked(np.maximum(query.grades[order[:at]], 0.0), query.ideal, metric, at)


def learned(queries: Sequence[JudgedCandidates], metric: Metric, at: int, default: FusionOptions) -> LearnedFusion:
    """Learn from judged queries; those without a relevant point are left out. Without any the default stays.

    The metric looks at the best `at` candidates: `ndcg` with grades as gains, `recall`, `mrr`.
    """
    judged = [query for query in queries if len(query.ideal)]
    if not judged:
        return LearnedFusion(default, False, 0, 0.0, 0.0, 0.0, 0.0)
    options = [default] + [
        FusionOptions(kind, float(weight), default.rrf_k) for kind in LEARNED_KINDS for weight in WEIGHTS
    ]
    gained = np.stack([_of_all_options(query, default, metric, at) for query in judged])
    chosen, figure = decided(gained)
    means = gained.mean(axis=0)
    return LearnedFusion(
        options[chosen],
        options[chosen] != default,
        len(judged),
        float(means[DENSE]),
        float(means[SPARSE]),
        float(means[0]),
        figure,
    )


def decided(gained: Float64s) -> tuple[int, float]:
    """The column to use of (queries, 1 + kinds · weights), and its mean metric on queries it was not chosen by."""
    folds = np.arange(len(gained)) % N_FOLDS
    held_out = np.empty(len(gained))
    for fold in np.unique(folds):
        held_out[folds == fold] = gained[folds == fold, _chosen(gained[folds != fold])]
    chosen = _chosen(gained)
    if held_out.mean() <= gained[:, 0].mean():
        chosen, held_out = 0, gained[:, 0]
    leg = max((DENSE, SPARSE), key=lambda column: float(gained[:, column].mean()))
    if _sure((gained[:, leg] - held_out)[:, None])[0] > 0:
        return leg, float(gained[:, leg].mean())
    return chosen, float(held_out.mean())


def _chosen(gained: Float64s) -> int:
    """The column to use by the rows (queries) given; column 0 is the default."""
    return int(np.argmax(_sure(gained - gained[:, :1])))


def _sure(gains: Float64s) -> Float64s:
    """Of gains (queries, columns) the mean less what chance explains; 0 where nothing differs."""
    n = len(gains) + N_IMAGINED
    means = gains.sum(axis=0) / n
    squares = ((gains**2).sum(axis=0) + N_IMAGINED * IMAGINED_VARIANCE) / n
    sure = means - CAUTION * np.sqrt((squares - means**2) / n)
    return np.asarray(np.where(gains.any(axis=0), sure, 0.0))


def _of_all_options(query: JudgedCandidates, default: FusionOptions, metric: Metric, at: int) -> Float64s:
    row = [measured(query, fused(query.candidates, default), metric, at)]
    for kind in LEARNED_KINDS:
        dense, sparse = scaled(query.candidates, FusionOptions(kind))
        row += [measured(query, weight * dense + (1.0 - weight) * sparse, metric, at) for weight in WEIGHTS]
    return np.array(row)


def _of_ranked(grades: Float64s, ideal: Float64s, metric: Metric, at: int) -> float:
    if metric == "recall":
        return float((grades > 0).sum() / len(ideal))
    if metric == "mrr":
        found = np.flatnonzero(grades > 0)
        return 1.0 / (1.0 + float(found[0])) if len(found) else 0.0
    return float((grades * _discounts(len(grades))).sum() / (ideal[:at] * _discounts(min(at, len(ideal)))).sum())


def _discounts(n: int) -> Float64s:
    return 1.0 / np.log2(np.arange(2, n + 2))
