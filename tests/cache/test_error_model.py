"""The error model: what it learns of labels whose truth is known."""

import numpy as np
import pytest

from vdb.cache.error_model import BINS, MIDDLES, ErrorModel, bin_of, fit

INTERCEPT, SLOPE = 1.0, 1.4


def _labels(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_odds = rng.normal(0.8, 1.3, n)
    is_right = rng.random(n) < 1.0 / (1.0 + np.exp(-(INTERCEPT + SLOPE * log_odds)))
    return log_odds, is_right.astype(np.float64), np.ones(n)


def _expected(model: ErrorModel, log_odds: np.ndarray) -> float:
    counts = np.bincount([bin_of(value) for value in log_odds], minlength=BINS).astype(float)
    return model.expected(counts)


def test_it_finds_the_line_that_labels_were_drawn_from(rng: np.random.Generator) -> None:
    model = fit(*_labels(rng, 4000))
    assert model.intercept == pytest.approx(INTERCEPT, abs=0.35)
    assert model.slope == pytest.approx(SLOPE, abs=0.3)


def test_higher_scores_are_wrong_less_often_whatever_the_labels_say(rng: np.random.Generator) -> None:
    for is_right in (np.zeros(100), np.ones(100), rng.integers(0, 2, 100).astype(float)):
        model = fit(rng.normal(0.0, 2.0, 100), is_right, np.ones(100))
        assert (np.diff(model.wrong) <= 0.0).all()
        assert (model.wrong > 0.0).all() and (model.wrong <= 1.0).all()


def test_labels_sampled_by_score_say_the_same_as_all_of_them(rng: np.random.Generator) -> None:
    """Served lookups are labelled one in twenty: the expected number of wrong ones among all must not move."""
    ratios = []
    for _ in range(30):
        log_odds, is_right, _ = _labels(rng, 4000)
        share = np.where(log_odds > 1.0, 0.05, 1.0)
        kept = rng.random(4000) < share
        model = fit(log_odds[kept], is_right[kept], 1.0 / share[kept])
        above = log_odds > 1.0
        ratios.append(_expected(model, log_odds[above]) / (1.0 - is_right[above]).sum())
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.2)


def test_the_deviation_is_about_what_estimates_vary_by(rng: np.random.Generator) -> None:
    log_odds = _labels(rng, 4000)[0]
    counts = np.bincount([bin_of(value) for value in log_odds[log_odds > 0.5]], minlength=BINS).astype(float)
    models = [fit(*_labels(rng, 800)) for _ in range(60)]
    spread = np.std([model.expected(counts) for model in models])
    claimed = np.mean([model.deviation(counts) for model in models])
    assert 0.5 < claimed / spread < 2.0


def test_more_labels_leave_less_doubt(rng: np.random.Generator) -> None:
    counts = np.ones(BINS)
    assert fit(*_labels(rng, 3000)).deviation(counts) < fit(*_labels(rng, 200)).deviation(counts)


def test_newer_labels_count_more_than_older_ones(rng: np.random.Generator) -> None:
    log_odds = rng.normal(0.5, 1.0, 4000)
    early_wrong = np.concatenate([np.zeros(2000), np.ones(2000)])
    late_wrong = early_wrong[::-1].copy()
    weights = np.ones(4000)
    assert fit(log_odds, early_wrong, weights).wrong[60] < fit(log_odds, late_wrong, weights).wrong[60]


def test_wrong_labels_of_high_scores_raise_the_chance_there(rng: np.random.Generator) -> None:
    log_odds, is_right, weights = _labels(rng, 1000)
    model = fit(log_odds, is_right, weights)
    is_right[np.argsort(log_odds)[-20:]] = 0.0
    worse = fit(log_odds, is_right, weights)
    assert worse.wrong[bin_of(2.5)] > 3 * model.wrong[bin_of(2.5)]


def test_scores_beyond_the_bins_count_in_the_outermost() -> None:
    assert bin_of(-50.0) == 0
    assert bin_of(50.0) == BINS - 1
    assert [bin_of(middle) for middle in MIDDLES] == list(range(BINS))
