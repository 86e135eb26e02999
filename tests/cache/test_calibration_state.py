"""A calibration that was stored and loaded goes on as if nothing had been."""

import math

import msgspec
import numpy as np

from vdb.cache.calibration import Budgets, Calibration, CalibrationState, Decision, Verdict
from vdb.cache.labels import WINDOW, Label
from vdb.cache.score import from_log_odds

BUDGETS = Budgets(max_false_per_hit=0.03, relax=0.2)


def _go_on(calibration: Calibration, seed: int, n: int, labels: list[Label]) -> list[Decision]:
    rng = np.random.default_rng(seed)
    decisions = []
    for _ in range(n):
        log_odds = rng.normal(1.0, 1.5)
        is_right = bool(rng.random() < 1.0 / (1.0 + math.exp(-(1.0 + 1.5 * log_odds))))
        score = from_log_odds(log_odds)
        decisions.append(calibration.decide(score, score, float(rng.random()), 0.6))
        if decisions[-1].verdict is not Verdict.SERVE:
            labels.append(Label(len(labels) + 1, score, score, is_right, decisions[-1].label_weight))
            calibration.learn(labels[-1])
    return decisions


def _stored(calibration: Calibration) -> CalibrationState:
    return msgspec.json.decode(msgspec.json.encode(calibration.state()), type=CalibrationState)


def test_it_decides_as_before() -> None:
    calibration, labels = Calibration(BUDGETS), list[Label]()
    _go_on(calibration, 1, 2503, labels)
    restored = Calibration.restored(BUDGETS, _stored(calibration), labels[-WINDOW:])
    assert restored.estimate() == calibration.estimate()
    assert _go_on(restored, 2, 1500, list(labels)) == _go_on(calibration, 2, 1500, list(labels))


def test_labels_newer_than_the_state_are_learned_on_top() -> None:
    calibration, labels = Calibration(BUDGETS), list[Label]()
    _go_on(calibration, 1, 1500, labels)
    state = _stored(calibration)
    _go_on(calibration, 2, 200, labels)
    restored = Calibration.restored(BUDGETS, state, labels)
    assert restored.estimate().n_labels == len(labels)


def test_without_a_state_nothing_is_served_until_requests_were_seen() -> None:
    calibration, labels = Calibration(BUDGETS), list[Label]()
    _go_on(calibration, 1, 1500, labels)
    restored = Calibration.restored(BUDGETS, None, labels)
    decisions = _go_on(restored, 2, 800, labels)
    assert decisions[0].verdict is Verdict.MISS
    assert any(decision.verdict is Verdict.SERVE for decision in decisions)


def test_a_state_of_before_any_label_restores() -> None:
    restored = Calibration.restored(BUDGETS, _stored(Calibration(BUDGETS)), [])
    assert restored.threshold is None
    assert restored.estimate().n_labels == 0


def test_a_state_is_small() -> None:
    calibration = Calibration(BUDGETS)
    _go_on(calibration, 1, 2500, [])
    assert len(msgspec.json.encode(calibration.state())) < 4096
