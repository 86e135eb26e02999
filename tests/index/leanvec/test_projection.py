"""Projections: how much of the inner products they keep, against PCA and the paper's own optimiser."""

from collections.abc import Callable

import numpy as np
import pytest

from vdb.errors import InvalidArgument
from vdb.index.leanvec import projection
from vdb.index.leanvec.projection import Projection, fit_queries, fit_rows, loss
from vdb.kernels.reference import Float32s

N, M, D, KEPT = 3_000, 600, 48, 12


def rows_like_text(rng: np.random.Generator, n: int, dimension: int = D, turn: int = 0) -> Float32s:
    """Unit rows with a decaying spectrum and a mean that is not zero; another `turn`, other leading directions."""
    spectrum = np.roll((1 + np.arange(dimension)) ** -0.5, turn)
    drawn = rng.standard_normal((n, dimension)) * spectrum + 0.1
    unit: Float32s = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def frank_wolfe(rows: Float32s, queries: Float32s, kept: int, n_steps: int = 500) -> tuple[Float32s, Float32s]:
    """Algorithm 1 of LeanVec (arXiv 2312.16335), written out: A and B inside the unit ball of the spectral norm."""
    spread = rows.T.astype(np.float64) @ rows
    asked = queries.T.astype(np.float64) @ queries
    a = b = np.zeros((rows.shape[1], kept))
    last = np.inf
    for t in range(n_steps):
        rate = 1 / (t + 1) ** 0.999
        slope = 2 * asked @ a @ (b.T @ spread @ b) - 2 * asked @ spread @ b
        a = (1 - rate) * a + rate * _polar(-slope)
        slope = 2 * spread @ b @ (a.T @ asked @ a) - 2 * spread @ asked @ a
        b = (1 - rate) * b + rate * _polar(-slope)
        rest = a @ b.T - np.eye(len(a))
        now = float(np.trace(rest @ spread @ rest.T @ asked))
        if t > 2 and abs(last - now) < 1e-3 * last:
            break
        last = now
    return a.T.astype(np.float32), b.T.astype(np.float32)


def _polar(matrix: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)


def test_for_queries_unlike_the_rows_the_closed_form_beats_the_optimiser_which_beats_pca(
    rng: np.random.Generator,
) -> None:
    rows, queries = rows_like_text(rng, N), rows_like_text(rng, M, turn=D // 2)
    asked, unseen = queries[: M // 2], queries[M // 2 :]
    pca, ours = fit_rows(rows, KEPT), fit_queries(rows, asked, KEPT)
    a, b = frank_wolfe(rows - pca.mean, asked, KEPT)
    theirs = Projection(a, b, pca.mean, np.zeros(KEPT))
    losses = [loss(made, rows, unseen) for made in (ours, theirs, pca)]
    assert losses == sorted(losses), losses
    assert losses[0] < 0.9 * losses[2], losses


def test_few_queries_do_not_spoil_queries_like_the_rows(rng: np.random.Generator) -> None:
    rows, asked = rows_like_text(rng, N), rows_like_text(rng, 100, turn=D // 2)
    like_rows = rows_like_text(rng, M)
    both = [loss(made, rows, like_rows) for made in (fit_rows(rows, KEPT), fit_queries(rows, asked, KEPT))]
    assert both[1] < 2.5 * both[0], both


def test_all_dimensions_keep_everything(rng: np.random.Generator) -> None:
    rows, queries = rows_like_text(rng, 500), rows_like_text(rng, 50, turn=5)
    for made in (fit_rows(rows, D), fit_queries(rows, queries, D)):
        assert loss(made, rows, queries) < 1e-6


def test_a_cut_is_the_fit_of_fewer_dimensions(rng: np.random.Generator) -> None:
    rows, queries = rows_like_text(rng, 500), rows_like_text(rng, 50, turn=5)
    for wide, narrow in (
        (fit_rows(rows, KEPT), fit_rows(rows, 5)),
        (fit_queries(rows, queries, KEPT), fit_queries(rows, queries, 5)),
    ):
        cut = wide.cut(5)
        np.testing.assert_allclose(cut.of_rows, narrow.of_rows, atol=1e-5)
        np.testing.assert_allclose(cut.of_queries, narrow.of_queries, rtol=1e-4, atol=1e-4)
        assert cut.dimension == 5
        assert (np.diff(wide.energy) <= 1e-12).all() and 0 < wide.energy.sum() <= 1 + 1e-6


@pytest.mark.parametrize("n", [1, 2, 7])
def test_fewer_rows_than_dimensions(rng: np.random.Generator, n: int) -> None:
    rows = rows_like_text(rng, n)
    for made in (fit_rows(rows, KEPT), fit_queries(rows, rows, KEPT)):
        assert np.isfinite(made.of_rows).all() and np.isfinite(made.of_queries).all()
        assert loss(made, rows, rows) < 1e-6


def test_rows_that_are_all_the_same_or_zero() -> None:
    for value in (0.0, 0.25):
        rows = np.full((20, D), value, np.float32)
        for made in (fit_rows(rows, KEPT), fit_queries(rows, rows, KEPT)):
            assert np.isfinite(made.project_rows(rows)).all() and np.isfinite(made.project_queries(rows)).all()


def test_one_dimension(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((30, 1)).astype(np.float32)
    assert loss(fit_rows(rows, 1), rows, rows) < 1e-6
    assert loss(fit_queries(rows, rows, 1), rows, rows) < 1e-6


def test_leading_directions_without_all_of_them(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_like_text(rng, N, dimension=200)
    exact = loss(fit_rows(rows, KEPT), rows, rows[:200])
    monkeypatch.setattr(projection, "EXACT_DIMENSIONS", 100)
    assert loss(fit_rows(rows, KEPT), rows, rows[:200]) < 1.02 * exact


def test_what_cannot_be_fitted_is_refused(rng: np.random.Generator) -> None:
    rows = rows_like_text(rng, 10)
    attempts: list[Callable[[], object]] = [
        lambda: fit_rows(rows[:0], 3),
        lambda: fit_rows(rows, 0),
        lambda: fit_rows(rows, D + 1),
        lambda: fit_queries(rows, rows[:0], 3),
        lambda: fit_queries(rows, rows[:, :3], 3),
        lambda: fit_rows(rows, 3).cut(4),
        lambda: fit_rows(rows, 3).cut(0),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidArgument):
            attempt()


def test_long_rows_are_whitened_without_all_directions_and_lose_no_more(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, queries = rows_like_text(rng, 1_000), rows_like_text(rng, 300, turn=D // 2)
    slow = fit_queries(rows, queries, KEPT)
    monkeypatch.setattr(projection, "EXACT_DIMENSIONS", D - 1)
    fast = fit_queries(rows, queries, KEPT)
    losses = [loss(made, rows, queries) for made in (slow, fast)]
    assert losses[1] < 1.01 * losses[0], losses
    fit_queries(np.zeros((3, D), np.float32), np.zeros((2, D), np.float32), KEPT)


def test_a_cut_of_a_projection_of_rows_is_one_of_rows(rng: np.random.Generator) -> None:
    rows, queries = rows_like_text(rng, 300), rows_like_text(rng, 60, turn=5)
    assert fit_rows(rows, KEPT).cut(3).is_of_rows
    assert not fit_queries(rows, queries, KEPT).cut(3).is_of_rows
    stored = fit_rows(rows, KEPT)
    assert Projection(stored.of_queries.copy(), stored.of_rows, stored.mean, stored.energy).is_of_rows


def test_fewer_of_very_long_rows_are_looked_at() -> None:
    assert projection.sample_rows(768) == projection.SAMPLE_ROWS
    assert projection.sample_rows(8_192) == projection.LEAST_ROWS
