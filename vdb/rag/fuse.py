"""Fusion: the candidates of two legs, each with the scores of both, become one order.

Shapes: n candidates, the union of the best of the dense and the sparse leg. Scores float64, higher is better. Every
kind weighs what it makes of the dense scores with `weight` and what it makes of the sparse ones with 1 − `weight`:

- `coverage`: dense scores as standard deviations from the candidates' mean, divided by `DEVIATIONS`; BM25 divided by
  what it would be of a document that holds nothing but every term of the query. So the sparse leg counts by the share
  of the query that was found, and little where hardly a word of it occurs.
- `sigma`: standard deviations from the mean, both legs.
- `minmax`: from 0, the least, to 1, the most; BM25 begins at 0.
- `rrf`: 1 / (`rrf_k` + rank) where the leg itself found the candidate (Cormack et al., SIGIR 2009).

A candidate that is better in both legs is never below the other. ADR 11 has the measurements.
"""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

FusionKind = Literal["coverage", "minmax", "rrf", "sigma"]
KINDS: tuple[FusionKind, ...] = get_args(FusionKind)

DEVIATIONS = 24.0
"""Standard deviations of the dense leg that weigh as much as a whole query found by the sparse one, at `weight` .5."""

Scores = NDArray[np.float64]
Ranks = NDArray[np.int32]


class Candidates(NamedTuple):
    """Of n candidates: `dense` (n,) similarity in any unit, nan where a point has no vector; `sparse` (n,) BM25, 0
    where no term occurs; ranks (n,) from 1 within the leg's own list, 0 where not in it; `sparse_bound`: the BM25 that
    no document exceeds, terms that none holds counted too, 0 where the query has no terms."""

    dense: Scores
    sparse: Scores
    dense_rank: Ranks
    sparse_rank: Ranks
    sparse_bound: float


class FusionOptions(Struct, frozen=True):
    """`weight` is the share of the dense leg, 0 to 1; `rrf_k` is for `rrf` alone."""

    kind: FusionKind = "coverage"
    weight: float = 0.5
    rrf_k: float = 60.0


DEFAULT = FusionOptions()
"""What a collection without judgements gets."""


def fused(candidates: Candidates, options: FusionOptions) -> Scores:
    """Scores (n,) of the candidates, higher is better; equal where nothing tells them apart. Finite."""
    dense, sparse = scaled(candidates, options)
    return options.weight * dense + (1.0 - options.weight) * sparse


def scaled(candidates: Candidates, options: FusionOptions) -> tuple[Scores, Scores]:
    """What is weighed: the scores of the dense and of the sparse leg, (n,) each, in the unit of the kind."""
    if options.kind == "rrf":
        return _reciprocal(candidates.dense_rank, options.rrf_k), _reciprocal(candidates.sparse_rank, options.rrf_k)
    dense = _without_gaps(candidates.dense)
    if options.kind == "minmax":
        return _between(dense, _least(dense)), _between(candidates.sparse, 0.0)
    if options.kind == "sigma":
        return _deviations(dense), _deviations(candidates.sparse)
    bound = candidates.sparse_bound
    return _deviations(dense) / DEVIATIONS, candidates.sparse / bound if bound > 0 else np.zeros(len(dense))


def _without_gaps(scores: Scores) -> Scores:
    """A point without a vector counts as the least similar candidate."""
    missing = np.isnan(scores)
    if not missing.any():
        return scores
    return np.where(missing, _least(scores[~missing]), scores)


def _least(scores: Scores) -> float:
    return float(scores.min()) if len(scores) else 0.0


def _between(scores: Scores, least: float) -> Scores:
    extent = float(scores.max()) - least if len(scores) else 0.0
    return np.asarray((scores - least) / extent if extent > 0 else np.zeros(len(scores)))


def _deviations(scores: Scores) -> Scores:
    """Standard deviations from the mean; zeros where rounding is all that tells the scores apart."""
    if not len(scores):
        return scores
    n = len(scores)
    mean = float(np.add.reduce(scores)) / n  # as `mean` does, at a fifth of the time
    centred = scores - mean
    deviation = math.sqrt(float(np.add.reduce(centred * centred)) / n)
    is_tiny = not deviation > 1e-12 * (abs(mean) + n * deviation)  # no score is farther from 0 than this
    if is_tiny and deviation <= 1e-12 * float(np.abs(scores).max()):
        return np.zeros(len(scores))
    return np.asarray(centred / deviation)


def _reciprocal(ranks: Ranks, rrf_k: float) -> Scores:
    return np.asarray(np.where(ranks > 0, 1.0 / (rrf_k + ranks), 0.0))
