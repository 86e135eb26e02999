"""Calibration: which candidates are served, on streams whose truth is known."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from vdb.cache.calibration import MIN_LABELS, Budgets, Calibration, Reason, Verdict
from vdb.cache.labels import Label
from vdb.cache.score import from_log_odds

BUDGETS = Budgets(max_false_per_request=0.01, max_false_per_hit=0.03, explore=0.05)


@dataclass
class Played:
    """What became of a stream: one row per request."""

    hit: np.ndarray
    false: np.ndarray
    relaxed: np.ndarray
    labels: list[Label]

    @property
    def per_request(self) -> np.ndarray:
        return np.cumsum(self.false) / np.arange(1, len(self.false) + 1)


def _play(
    calibration: Calibration,
    rng: np.random.Generator,
    n: int,
    *,
    line: tuple[float, float] = (1.0, 1.5),
    load: float = 0.0,
    first: int = 0,
) -> Played:
    """Requests whose candidates are right with the chance of `line` at their log-odds; scores rise as a cache fills."""
    hit, false, relaxed, labels = np.zeros(n), np.zeros(n), np.zeros(n), []
    for number in range(first, first + n):
        log_odds = rng.normal(1.5 * min(number / 2000, 1.0), 1.5)
        is_right = bool(rng.random() < 1.0 / (1.0 + math.exp(-(line[0] + line[1] * log_odds))))
        score = from_log_odds(log_odds)
        decision = calibration.decide(score, score, float(rng.random()), load)
        if decision.verdict is Verdict.SERVE:
            hit[number - first], false[number - first] = 1, not is_right
            relaxed[number - first] = decision.is_relaxed
        else:
            labels.append(Label(number, score, score, is_right, decision.label_weight))
            calibration.learn(labels[-1])
    return Played(hit, false, relaxed, labels)


@pytest.mark.parametrize("line", [(1.0, 1.5), (0.0, 1.0), (2.0, 2.0), (-1.0, 1.5)])
def test_budgets_are_kept_on_streams_of_known_error(line: tuple[float, float], rng: np.random.Generator) -> None:
    played = [_play(Calibration(BUDGETS), rng, 4000, line=line) for _ in range(5)]
    n_false = sum(one.false.sum() for one in played)
    n_hits = sum(one.hit.sum() for one in played)
    worst = max(one.per_request[999:].max() for one in played)
    assert n_false <= 0.01 * 20_000, n_false
    assert n_false <= 0.03 * n_hits + 1.645 * math.sqrt(0.03 * n_hits), (n_false, n_hits)
    assert worst <= 0.015, f"one category of 1,000 requests may be unlucky, not that much: {worst}"


def test_what_can_be_served_is_served(rng: np.random.Generator) -> None:
    assert _play(Calibration(BUDGETS), rng, 4000, line=(2.0, 2.0)).hit[2000:].mean() > 0.6


def test_nothing_is_served_where_candidates_are_no_better_than_chance(rng: np.random.Generator) -> None:
    assert _play(Calibration(BUDGETS), rng, 2000, line=(-1.0, 0.0)).hit.sum() == 0


def test_too_few_labels_serve_nothing(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    for number in range(MIN_LABELS - 1):
        decision = calibration.decide(0.99, 0.99, 0.5)
        assert (decision.verdict, decision.reason) == (Verdict.MISS, Reason.TOO_FEW_LABELS)
        assert decision.threshold is None
        calibration.learn(Label(number, 0.99, 0.99, is_right=True))
    assert calibration.threshold is None


def test_a_budget_of_nothing_serves_nothing(rng: np.random.Generator) -> None:
    calibration = Calibration(Budgets(max_false_per_request=0.0, max_false_per_hit=0.03))
    played = _play(calibration, rng, 1500)
    assert played.hit.sum() == 0
    assert calibration.decide(0.999, 0.999, 0.5).reason is Reason.BUDGET_SPENT


def test_the_bar_rises_when_error_rises(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    _play(calibration, rng, 3000, line=(2.0, 1.5))
    before = calibration.threshold
    _play(calibration, rng, 3000, line=(-1.0, 1.5), first=3000)
    after = calibration.threshold
    assert before is not None and (after is None or after > before)


def test_reports_only_raise_the_bar(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    _play(calibration, rng, 3000)
    bars = [calibration.threshold]
    for _ in range(60):
        calibration.report_wrong()
        bars.append(calibration.threshold)
    known = [math.inf if bar is None else bar for bar in bars]
    assert known == sorted(known)
    assert known[-1] > known[0]


def test_a_share_of_would_be_hits_is_explored_and_its_labels_weigh_that_much_more(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    _play(calibration, rng, 3000)
    explored = calibration.decide(0.99, 0.99, 0.049)
    assert (explored.verdict, explored.reason) == (Verdict.EXPLORE, Reason.EXPLORED)
    assert explored.label_weight == pytest.approx(20.0)
    assert calibration.decide(0.99, 0.99, 0.05).verdict is Verdict.SERVE
    assert calibration.decide(0.01, 0.01, 0.0).label_weight == 1.0


def test_weighted_labels_stand_for_all_requests(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    played = _play(calibration, rng, 20_000)
    weights = np.array([label.weight for label in played.labels])
    assert weights.sum() == pytest.approx(20_000, rel=0.06)


def test_in_shadow_nothing_is_served_and_all_is_labelled(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    _play(calibration, rng, 3000)
    n_hits = calibration.estimate().n_hits
    for draw in (0.01, 0.5):
        decision = calibration.decide(0.99, 0.99, draw, is_shadow=True)
        assert (decision.verdict, decision.reason, decision.label_weight) == (Verdict.MISS, Reason.SHADOW, 1.0)
    assert calibration.estimate().n_hits == n_hits


def test_a_fixed_threshold_is_a_bar_on_similarity_and_needs_no_labels() -> None:
    calibration = Calibration(Budgets(threshold=0.9))
    assert calibration.decide(0.1, 0.91, 0.5).verdict is Verdict.SERVE
    assert calibration.decide(0.99, 0.89, 0.5).verdict is Verdict.MISS
    assert calibration.decide(0.1, 0.91, 0.01).verdict is Verdict.EXPLORE
    assert calibration.threshold == 0.9


def test_new_budgets_move_the_bar_at_once(rng: np.random.Generator) -> None:
    calibration = Calibration(BUDGETS)
    _play(calibration, rng, 3000)
    before = calibration.threshold
    calibration.set_budgets(replace(BUDGETS, max_false_per_request=0.001, max_false_per_hit=0.002))
    assert before is not None and (calibration.threshold is None or calibration.threshold > before)


def test_load_serves_more_and_stays_within_the_budget(rng: np.random.Generator) -> None:
    budgets = replace(BUDGETS, relax=0.4, max_false_per_hit=0.05)
    relaxed, plain = Calibration(budgets), Calibration(budgets)
    for calibration in (relaxed, plain):
        _play(calibration, np.random.default_rng(5), 3000)
    under_load = _play(relaxed, np.random.default_rng(6), 1000, load=1.0, first=3000)
    without = _play(plain, np.random.default_rng(6), 1000, first=3000)
    assert under_load.relaxed.sum() > 0
    assert under_load.hit.sum() > without.hit.sum()
    assert under_load.false.sum() <= 0.01 * 4000
    quiet = _play(relaxed, rng, 300, first=4000)
    assert quiet.relaxed[50:].sum() == 0


def test_nothing_is_relaxed_once_the_budget_is_spent(rng: np.random.Generator) -> None:
    calibration = Calibration(replace(BUDGETS, relax=1.0))
    _play(calibration, rng, 3000)
    for _ in range(40):
        calibration.report_wrong()
    assert _play(calibration, rng, 500, load=1.0, first=3000).relaxed.sum() == 0


def test_what_may_not_be_served_is_a_miss_whatever_the_draw(rng: np.random.Generator) -> None:
    calibration = Calibration(replace(BUDGETS, relax=0.1))
    assert not calibration.may_serve(0.999, 0.999)
    _play(calibration, rng, 3000)
    n_requests = calibration.estimate().n_requests
    scores = np.linspace(0.01, 0.99, 99).tolist()
    may = [calibration.may_serve(score, score) for score in scores]
    assert calibration.estimate().n_requests == n_requests
    assert any(may) and not all(may)
    for score, known in zip(scores, may, strict=True):
        assert known or calibration.decide(score, score, 0.5, 1.0).verdict is Verdict.MISS


def test_the_estimate_is_about_what_was_false(rng: np.random.Generator) -> None:
    estimated, bounds, truth = [], [], []
    for _ in range(20):
        calibration = Calibration(BUDGETS)
        truth.append(_play(calibration, rng, 3000).false.mean())
        estimate = calibration.estimate()
        assert estimate.false_per_request is not None and estimate.false_per_request_bound is not None
        estimated.append(estimate.false_per_request)
        bounds.append(estimate.false_per_request_bound)
    assert 0.6 < np.mean(estimated) / np.mean(truth) < 1.8, (np.mean(estimated), np.mean(truth))
    n_above = sum(true > bound for true, bound in zip(truth, bounds, strict=True))
    assert n_above <= 4, f"the bound was passed {n_above} times of 20"


def test_the_same_stream_gives_the_same_decisions() -> None:
    played = [_play(Calibration(BUDGETS), np.random.default_rng(3), 2000) for _ in range(2)]
    assert np.array_equal(played[0].hit, played[1].hit)
    assert played[0].hit.sum() > 0
