"""Fusion: what no kind of it may do, on drawn candidates; what each kind makes of a few known ones."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.fuse import DEFAULT, KINDS, Candidates, FusionKind, FusionOptions, _deviations, fused

NAN = float("nan")
kinds = st.sampled_from(KINDS)
weights = st.floats(0.0, 1.0)


def made(dense: list[float], sparse: list[float], bound: float = 10.0, depth: int = 100) -> Candidates:
    """Candidates with the ranks that their scores have in lists of `depth`."""
    scores = np.array(dense, np.float64), np.array(sparse, np.float64)
    found = ~np.isnan(scores[0]), scores[1] > 0
    ranks = []
    for leg, has in zip(scores, found, strict=True):
        rank = np.zeros(len(leg), np.int32)
        order = [int(place) for place in np.argsort(-leg, kind="stable") if has[place]][:depth]
        rank[order] = np.arange(1, len(order) + 1)
        ranks.append(rank)
    return Candidates(scores[0], scores[1], ranks[0], ranks[1], bound)


@st.composite
def drawn(draw: Callable[[st.SearchStrategy[object]], object]) -> Candidates:
    """Few candidates with ties, points without a vector and points without a term."""
    n = draw(st.integers(0, 12))
    dense = draw(st.lists(st.sampled_from([NAN, -1.5, 0.0, 0.25, 0.5, 0.5, 3.0]), min_size=n, max_size=n))  # type: ignore[arg-type]
    sparse = draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 7.5]), min_size=n, max_size=n))  # type: ignore[arg-type]
    return made(dense, sparse, bound=draw(st.sampled_from([0.0, 10.0])), depth=draw(st.integers(1, 12)))  # type: ignore[arg-type]


@given(drawn(), kinds, weights)
def test_what_is_better_in_both_legs_is_never_lower(candidates: Candidates, kind: FusionKind, weight: float) -> None:
    scores = fused(candidates, FusionOptions(kind, weight))
    dense = np.where(np.isnan(candidates.dense), -np.inf, candidates.dense)
    better = (dense[:, None] > dense) & (candidates.sparse[:, None] > candidates.sparse)
    assert (scores[:, None] >= scores)[better].all()


@given(drawn(), kinds, weights)
def test_scores_are_finite_and_one_for_each(candidates: Candidates, kind: FusionKind, weight: float) -> None:
    scores = fused(candidates, FusionOptions(kind, weight))
    assert scores.shape == candidates.dense.shape
    assert np.isfinite(scores).all()


@given(drawn(), kinds, weights, st.sampled_from([0.25, 8.0]), st.sampled_from([-2.0, 0.0, 64.0]))
def test_the_units_of_the_legs_do_not_matter(
    candidates: Candidates, kind: FusionKind, weight: float, scale: float, shift: float
) -> None:
    other = candidates._replace(
        dense=candidates.dense * scale + shift,
        sparse=candidates.sparse * scale,
        sparse_bound=candidates.sparse_bound * scale,
    )
    options = FusionOptions(kind, weight)
    assert np.allclose(fused(other, options), fused(candidates, options), atol=1e-9)


@given(drawn(), kinds, weights)
def test_what_nothing_tells_apart_is_equal(candidates: Candidates, kind: FusionKind, weight: float) -> None:
    twice = Candidates(
        np.tile(candidates.dense, 2),
        np.tile(candidates.sparse, 2),
        np.tile(candidates.dense_rank, 2),
        np.tile(candidates.sparse_rank, 2),
        candidates.sparse_bound,
    )
    scores = fused(twice, FusionOptions(kind, weight))
    assert np.array_equal(scores[: len(scores) // 2], scores[len(scores) // 2 :])


@given(drawn(), kinds)
def test_a_weight_of_one_or_zero_is_one_leg(candidates: Candidates, kind: FusionKind) -> None:
    if kind == "rrf":
        return  # it knows no more of what a leg did not find
    dense = np.where(np.isnan(candidates.dense), -np.inf, candidates.dense)
    for weight, leg in ((1.0, dense), (0.0, candidates.sparse)):
        scores = fused(candidates, FusionOptions(kind, weight))
        assert (scores[:, None] >= scores)[leg[:, None] >= leg].all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", ["dense", "sparse"])
def test_a_leg_without_anything_leaves_the_order_to_the_other(kind: FusionKind, missing: str) -> None:
    known, nothing = [0.2, 0.9, 0.5], [NAN if missing == "dense" else 0.0] * 3
    candidates = made(nothing, known) if missing == "dense" else made(known, nothing, bound=0.0)
    assert np.argsort(-fused(candidates, FusionOptions(kind, 0.5))).tolist() == [1, 2, 0]


def test_a_point_without_a_vector_counts_as_the_least_similar() -> None:
    with_gap, least = made([NAN, 0.5, 0.1], [3.0, 1.0, 1.0]), made([0.1, 0.5, 0.1], [3.0, 1.0, 1.0])
    minmax = FusionOptions("minmax", 0.5)
    assert fused(with_gap, minmax).tolist() == fused(least, minmax).tolist()


def test_reciprocal_ranks_are_weighted() -> None:
    candidates = Candidates(
        np.array([0.9, 0.8, 0.1]), np.array([0.0, 2.0, 3.0]), np.array([1, 2, 0]), np.array([0, 2, 1]), 9.0
    )
    scores = fused(candidates, FusionOptions("rrf", 0.25, rrf_k=60.0))
    assert np.allclose(scores, [0.25 / 61, 0.25 / 62 + 0.75 / 62, 0.75 / 61])


def test_min_max_spreads_each_leg_from_nothing_to_its_best() -> None:
    scores = fused(made([0.2, 0.6, 1.0], [0.0, 5.0, 2.5]), FusionOptions("minmax", 0.5))
    assert np.allclose(scores, [0.0, 0.75, 0.75])


def test_the_sparse_leg_counts_by_the_share_of_the_query_that_was_found() -> None:
    dense, sparse = [0.9, 0.8, 0.1], [0.0, 0.1, 3.0]
    found = fused(made(dense, sparse, bound=4.0), DEFAULT)
    hardly = fused(made(dense, sparse, bound=400.0), DEFAULT)
    assert np.argmax(found) == 2
    assert np.argmax(hardly) == 0


def test_the_default_is_not_reciprocal_ranks_of_equal_weight() -> None:
    assert DEFAULT.kind != "rrf"


def test_rounding_alone_is_no_deviation() -> None:
    candidates = made([0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0])
    assert np.argsort(-fused(candidates, FusionOptions("sigma", 1.0)), kind="stable").tolist() == [0, 1, 2]
    assert not fused(candidates, FusionOptions("sigma", 1.0)).any()


def test_deviations_are_numpys_to_the_last_bit(rng: np.random.Generator) -> None:
    for n in (1, 2, 3, 7, 8, 9, 50, 97, 128, 129, 300, 2_000):
        scores = rng.normal(0.3, 0.1, n)
        centred = scores - scores.mean()
        deviation = np.sqrt(np.mean(centred * centred))
        expected = centred / deviation if deviation > 1e-12 * np.abs(scores).max() else np.zeros(n)
        assert _deviations(scores).tobytes() == np.asarray(expected).tobytes()


def test_scores_that_rounding_alone_tells_apart_are_equal() -> None:
    for n in (2, 5, 100):
        steps = np.arange(n, dtype=np.float64)
        assert not _deviations(1e6 + 1e-10 * steps).any()
        assert _deviations(1e6 + 1e-3 * steps).any()
