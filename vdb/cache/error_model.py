"""How often a candidate of a given score is wrong, learned from labels, and how sure that is.

The chance of being wrong at log-odds x is  FLOOR + (1 − FLOOR) · σ(−(intercept + slope · x)), times a correction.
The line is fitted by logistic regression to weighted labels, with these choices:

- labels fade: each counts half of one that is `HALF_LIFE` labels newer, for error rises as a cache fills;
- weights, one over the sampling rate, are capped at `WEIGHT_CAP`: what is fitted is a chance *given* the score, so
  sampling by score biases nothing, and large weights on few labels would only make it noisy;
- labels that are wrong more often than `REGION` count a tenth: the line has to be right where answers are served;
- the correction is the ratio of wrong labels to expected ones where fewer than `TAIL` are wrong, with pseudo-counts: it
  makes up for a tail that is no straight line (two questions that are equal and were labelled differently, say).

The covariance is the sandwich estimate, which holds for weighted labels and where the line is not quite true.

Scores are counted in `BINS` bins of log-odds from `LEAST` on, `WIDTH` wide. Arrays float64; n labels.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

LEAST, WIDTH, BINS = -5.0, 0.125, 112

FLOOR = 0.001
PLATEAU = 3.0
HALF_LIFE = 3000
WEIGHT_CAP = 2.0
REGION = 0.2
OUTSIDE = 0.1
"""Weight of labels outside the region."""
TAIL = 0.03
TAIL_PSEUDO = 3.0
LEAST_CORRECTION = 0.7

PRIOR = (0.0, 1.0)
"""Intercept and slope that few labels are drawn to: score taken at its word."""
PRIOR_PRECISION = (0.5, 0.5)
_LEAST_SLOPE = 0.05
_ROUNDS = 8
_LONGEST_STEP = 2.0
_SMALL_STEP = 1e-6

Floats = NDArray[np.float64]
MIDDLES: Floats = LEAST + WIDTH * np.arange(0.5, BINS, dtype=np.float64)
_POSITIONS: Floats = np.minimum(MIDDLES, PLATEAU)


def bin_of(log_odds: float) -> int:
    """The bin that counts this score."""
    return min(max(int((log_odds - LEAST) / WIDTH), 0), BINS - 1)


@dataclass(frozen=True)
class ErrorModel:
    """A fitted model. `covariance` is that of intercept and slope: (variance, covariance, variance)."""

    intercept: float
    slope: float
    correction: float
    covariance: tuple[float, float, float]

    @cached_property
    def wrong(self) -> Floats:
        """(BINS,), the chance of being wrong in the middle of each bin."""
        return np.minimum(self.correction * _wrong(self.intercept, self.slope, MIDDLES), 1.0)

    def expected(self, counts: Floats) -> float:
        """How many of `counts` (BINS,) candidates are wrong."""
        return float(counts @ self.wrong)

    def deviation(self, counts: Floats) -> float:
        """Standard error of `expected`."""
        gradient = counts * self._sensitivity
        return float(self._deviations(gradient.sum(), (gradient * _POSITIONS).sum()))

    def from_bin_up(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        """For every bin (BINS,): how many candidates are in it or above, how many of them wrong, standard error."""
        gradient = counts * self._sensitivity
        return (
            _sums_from(counts),
            _sums_from(counts * self.wrong),
            self._deviations(_sums_from(gradient), _sums_from(gradient * _POSITIONS)),
        )

    @cached_property
    def _sensitivity(self) -> Floats:
        right = _right(self.intercept, self.slope, MIDDLES)
        return np.asarray(self.correction * (1.0 - FLOOR) * right * (1.0 - right))

    def _deviations(self, by_intercept: Floats, by_slope: Floats) -> Floats:
        first, both, second = self.covariance
        variance = by_intercept**2 * first + 2.0 * by_intercept * by_slope * both + by_slope**2 * second
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def fit(log_odds: Floats, is_right: Floats, weights: Floats, start: tuple[float, float] = PRIOR) -> ErrorModel:
    """Fit to n labels, oldest first; `start` is the line to begin with, the last one fitted.

    `is_right` is 1.0 or 0.0; `weights` one over the probability with which each was labelled.
    """
    age = np.arange(len(log_odds))[::-1]
    log_odds = np.minimum(log_odds, PLATEAU)
    weights = np.minimum(weights, WEIGHT_CAP) * 0.5 ** (age / HALF_LIFE)
    local = weights * np.where(log_odds >= _where_wrong(REGION, start), 1.0, OUTSIDE)
    intercept, slope = _line(log_odds, is_right, local, start)
    return ErrorModel(
        intercept,
        slope,
        _correction(log_odds, is_right, weights, (intercept, slope)),
        _sandwich(log_odds, is_right, local, (intercept, slope)),
    )


def _line(x: Floats, y: Floats, w: Floats, start: tuple[float, float]) -> tuple[float, float]:
    """Newton's method on the penalised log-likelihood, steps bounded."""
    intercept, slope = start
    for _ in range(_ROUNDS):
        right = _right(intercept, slope, x)
        first, both, second = _information(x, w * right * (1.0 - right))
        residual = w * (y - right)
        by_intercept = float(residual.sum()) - PRIOR_PRECISION[0] * (intercept - PRIOR[0])
        by_slope = float(residual @ x) - PRIOR_PRECISION[1] * (slope - PRIOR[1])
        determinant = first * second - both * both
        step_intercept = _bounded((second * by_intercept - both * by_slope) / determinant)
        step_slope = _bounded((first * by_slope - both * by_intercept) / determinant)
        intercept, slope = intercept + step_intercept, max(slope + step_slope, _LEAST_SLOPE)
        if abs(step_intercept) + abs(step_slope) < _SMALL_STEP:
            break
    return intercept, slope


def _sandwich(x: Floats, y: Floats, w: Floats, line: tuple[float, float]) -> tuple[float, float, float]:
    right = _right(*line, x)
    first, both, second = _information(x, w * right * (1.0 - right))
    bread = np.array([[second, -both], [-both, first]]) / (first * second - both * both)
    first, both, second = _information(x, (w * (y - right)) ** 2)
    covariance = bread @ np.array([[first, both], [both, second]]) @ bread
    return float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])


def _correction(x: Floats, y: Floats, w: Floats, line: tuple[float, float]) -> float:
    tail = x >= _where_wrong(TAIL, line)
    expected = float(w[tail] @ _wrong(*line, x[tail]))
    found = float(w[tail] @ (1.0 - y[tail]))
    return max((found + TAIL_PSEUDO) / (expected + TAIL_PSEUDO), LEAST_CORRECTION)


def _information(x: Floats, v: Floats) -> tuple[float, float, float]:
    vx = v * x
    return float(v.sum()) + PRIOR_PRECISION[0], float(vx.sum()), float(vx @ x) + PRIOR_PRECISION[1]


def _right(intercept: float, slope: float, x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-(intercept + slope * np.minimum(x, PLATEAU)))))


def _wrong(intercept: float, slope: float, x: Floats) -> Floats:
    return FLOOR + (1.0 - FLOOR) * (1.0 - _right(intercept, slope, x))


def _where_wrong(share: float, line: tuple[float, float]) -> float:
    """The log-odds at which the line says that this share is wrong."""
    return (math.log((1.0 - share) / share) - line[0]) / line[1]


def _bounded(step: float) -> float:
    return min(max(step, -_LONGEST_STEP), _LONGEST_STEP)


def _sums_from(values: Floats) -> Floats:
    return np.cumsum(values[::-1])[::-1]
