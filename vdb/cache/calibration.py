"""Which candidates a (tenant, category) serves: the bar on the decision score, under budgets, learned from labels.

Each refit learns how often candidates of a score are wrong (`error_model`), prices what was served (`spending`), and
takes the lowest bar whose forecast, at its one-sided 90 % bound, keeps both budgets: false hits per request, and per
hit. What was spent beyond the plan, by the same bound, is won back over the next `HORIZON` requests; what was not spent
may be spent then, within limits. Where load may relax the bar, the plan leaves a share of the budgets for it; load
spends what past spending, at its 95 % bound, leaves of the whole.

Nothing is drawn here: the caller brings a number in [0, 1) for each decision, so decisions can be repeated. Constants
were chosen on shuffles of CLINC150 and Banking77 other than those that `bench cache` reports, and on simulated streams.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from msgspec import Struct

from vdb.cache.error_model import BINS, LEAST, PRIOR, WIDTH, ErrorModel, bin_of, fit
from vdb.cache.labels import Label, LabelWindow
from vdb.cache.relaxation import Relaxation
from vdb.cache.score import from_log_odds, log_odds
from vdb.cache.spending import Spending

MIN_LABELS = 60
"""Fewer serve nothing."""
LABELS_PER_FIT = 16
FITS_PER_WINDOW = 25
"""A refit waits for `LABELS_PER_FIT` labels, or for this part of those in the window."""
RESERVED = 0.08
"""Share of the budgets that is kept for load, where a policy lets load relax the bar."""
PLAN_DEVIATIONS = 1.28
"""Standard errors added to what is planned: a one-sided bound of 90 %."""
BOUND_DEVIATIONS = 1.645
"""Standard errors of a one-sided bound of 95 %."""
HORIZON = 1000.0
MOST_EXTRA = 0.25
"""How much more than its share of the budget a request may be planned to spend, of what was not spent before."""
LEAST_RATE = 0.25
LEAST_RATE_OF_HITS = 0.5
"""Least share of a budget that is planned, however much was overspent. Hits have to go on, or their budget would never
recover."""
MOST_WRONG = 2.0
"""A hit is not served that is wrong with more than this many times the chance that hits may have on average."""
REPORT_PSEUDO = 2.0


class Verdict(StrEnum):
    """What becomes of a lookup."""

    SERVE = "serve"
    EXPLORE = "explore"
    MISS = "miss"


class Reason(StrEnum):
    """Why."""

    ABOVE_BAR = "above_bar"
    BELOW_BAR = "below_bar"
    EXPLORED = "explored"
    RELAXED = "relaxed"
    SHADOW = "shadow"
    TOO_FEW_LABELS = "too_few_labels"
    BUDGET_SPENT = "budget_spent"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Of a policy. `threshold` is a fixed bar on cosine, None where it is learned; `relax` how far the bar in force may
    be lowered at full load, on its own scale."""

    max_false_per_request: float = 0.01
    max_false_per_hit: float = 0.05
    explore: float = 0.05
    threshold: float | None = None
    relax: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """`threshold` is the bar that was in force, on cosine where it is fixed, else on the score; None where nothing is
    served. `label_weight` belongs into the label of this lookup, if it gets one."""

    verdict: Verdict
    reason: Reason
    score: float
    threshold: float | None
    is_relaxed: bool = False
    label_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What labels say of what was served; shares in [0, 1], bounds one-sided 95 %. None while there are too few.

    `unspent` is how many false hits the budgets have left, by the bound; requests and hits are those remembered.
    """

    n_requests: float
    n_hits: float
    n_labels: int
    n_reported: float
    threshold: float | None
    false_per_request: float | None
    false_per_request_bound: float | None
    false_per_hit: float | None
    false_per_hit_bound: float | None
    unspent: float | None


class CalibrationState(Struct, frozen=True, kw_only=True):
    """What a calibration knows beside its labels; JSON of about 2 KB."""

    version: int = 1
    n_requests: float
    n_hits: float
    n_reported: float
    n_asked: float
    asked: list[float]
    served: list[float]
    settled: float = 0.0
    settled_deviation: float = 0.0
    model: tuple[float, float, float, tuple[float, float, float]] | None
    bar: float | None
    spent: float
    spent_bound: float
    n_labels: int
    n_due: int
    newest_lookup: int | None
    smoothed_load: float
    is_relaxed: bool


class Calibration:
    """Of one (tenant, category). `decide` may run in many threads (a count is lost at worst); everything else has one
    caller at a time. Nothing to close."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self._window = LabelWindow()
        self._spending = Spending()
        self._relaxation = Relaxation()
        self._model: ErrorModel | None = None
        self._wrong = [1.0] * BINS
        self._bar = math.inf
        self._spent = 0.0
        self._spent_bound = 0.0
        self._n_labels = 0
        self._n_due = 0
        self._newest_lookup: int | None = None

    def set_budgets(self, budgets: Budgets) -> None:
        """The policy has changed."""
        self.budgets = budgets
        self._choose_bar()

    def count_request(self) -> None:
        """A request that had no candidate to decide about: none was near, the guard refused it, or it hit exactly."""
        self._spending.count_request(None)

    def may_serve(self, score: float, similarity: float) -> bool:
        """Whether `decide` might come to more than a miss: others need not be looked at any closer. Counts nothing."""
        budgets = self.budgets
        bar, value = (self._bar, score) if budgets.threshold is None else (budgets.threshold, similarity)
        return value >= bar - budgets.relax

    def decide(
        self, score: float, similarity: float, draw: float, load: float = 0.0, *, is_shadow: bool = False
    ) -> Decision:
        """Decide about a candidate, and count the request. About 3 µs.

        Args:
            score: of the candidate's neighbourhood, `decision_score`.
            similarity: cosine of the candidate.
            draw: uniform in [0, 1); whether a would-be hit is explored.
            load: in [0, 1], of the model behind the cache.
            is_shadow: nothing is to be served; the label of such a lookup weighs 1.
        """
        number = bin_of(log_odds(score))
        self._spending.count_request(number)
        budgets = self.budgets
        level = self._relaxation.level(load) if budgets.relax else 0.0
        if budgets.threshold is not None:
            bar, value = budgets.threshold, similarity
        else:
            bar, value = self._bar, score
            if bar == math.inf:
                reason = Reason.TOO_FEW_LABELS if self._model is None else Reason.BUDGET_SPENT
                return Decision(Verdict.MISS, reason, score, None)
        is_relaxed = value < bar and level > 0.0 and value >= bar - budgets.relax * level and self._affords(number)
        if value < bar and not is_relaxed:
            return Decision(Verdict.MISS, Reason.BELOW_BAR, score, bar)
        if budgets.threshold is None and self._is_overspent(number):
            return Decision(Verdict.MISS, Reason.BUDGET_SPENT, score, bar)
        if is_shadow:
            return Decision(Verdict.MISS, Reason.SHADOW, score, bar, is_relaxed)
        if draw < budgets.explore:
            return Decision(Verdict.EXPLORE, Reason.EXPLORED, score, bar, is_relaxed, 1.0 / budgets.explore)
        self._spending.count_hit(number)
        self._spent += self._wrong[number]
        self._spent_bound += self._wrong[number]
        reason = Reason.RELAXED if is_relaxed else Reason.ABOVE_BAR
        return Decision(Verdict.SERVE, reason, score, bar, is_relaxed)

    def learn(self, label: Label) -> None:
        """Take a label in; refits when enough have come (up to 2 ms), else cheap."""
        self._take(label)
        if self._is_due():
            self.refit()

    def report_wrong(self) -> None:
        """A served answer was reported wrong. It counts as spent beside what was expected to be wrong, and reports
        beyond that raise all chances of being wrong: a report may only raise the bar."""
        self._spending.n_reported += 1.0
        self._choose_bar()

    def refit(self) -> None:
        """Learn from the labels there are, and choose the bar anew."""
        self._n_due = 0
        if len(self._window) < MIN_LABELS:
            return
        model = self._model
        start = PRIOR if model is None else (model.intercept, model.slope)
        self._model = fit(*self._window.arrays(), start)
        self._choose_bar()

    def estimate(self) -> Estimate:
        """What labels say of what was served."""
        spending = self._spending
        n_requests, n_hits = spending.n_requests, spending.n_hits
        known = self._model is not None
        left = min(self._left(self._spent_bound))
        return Estimate(
            n_requests=n_requests,
            n_hits=n_hits,
            n_labels=self._n_labels,
            n_reported=spending.n_reported,
            threshold=self.threshold,
            false_per_request=self._spent / max(n_requests, 1.0) if known else None,
            false_per_request_bound=min(self._spent_bound / max(n_requests, 1.0), 1.0) if known else None,
            false_per_hit=min(self._spent / max(n_hits, 1.0), 1.0) if known else None,
            false_per_hit_bound=min(self._spent_bound / max(n_hits, 1.0), 1.0) if known else None,
            unspent=max(left, 0.0) if known else None,
        )

    @property
    def threshold(self) -> float | None:
        """The bar in force while load is low: cosine where it is fixed, else a score; None where nothing is served."""
        if self.budgets.threshold is not None:
            return self.budgets.threshold
        return None if self._bar == math.inf else self._bar

    def state(self) -> CalibrationState:
        """What `restored` needs beside the labels."""
        spending, model = self._spending, self._model
        return CalibrationState(
            n_requests=spending.n_requests,
            n_hits=spending.n_hits,
            n_reported=spending.n_reported,
            n_asked=spending.n_asked,
            asked=list(spending.asked),
            served=list(spending.served),
            settled=spending.settled,
            settled_deviation=spending.settled_deviation,
            model=None if model is None else (model.intercept, model.slope, model.correction, model.covariance),
            bar=None if self._bar == math.inf else self._bar,
            spent=self._spent,
            spent_bound=self._spent_bound,
            n_labels=self._n_labels,
            n_due=self._n_due,
            newest_lookup=self._newest_lookup,
            smoothed_load=self._relaxation.smoothed,
            is_relaxed=self._relaxation.is_on,
        )

    @classmethod
    def restored(cls, budgets: Budgets, state: CalibrationState | None, labels: Iterable[Label]) -> "Calibration":
        """As it was when `state` was taken, with what came after it learned on top.

        Args:
            budgets: of the policy in force.
            state: None where there is none; then nothing is served until requests have been seen.
            labels: those kept, oldest first.
        """
        made = cls(budgets)
        kept = list(labels)
        ids = [label.lookup_id for label in kept]
        n_old = len(kept)
        if state is not None and state.newest_lookup in ids:
            n_old = len(ids) - ids[::-1].index(state.newest_lookup)
        for label in kept[:n_old]:
            made._take(label)
        if state is None:
            made.refit()
        else:
            made._adopt(state)
        for label in kept[n_old:]:
            made.learn(label)
        return made

    def _adopt(self, state: CalibrationState) -> None:
        spending = self._spending
        spending.n_requests, spending.n_hits = state.n_requests, state.n_hits
        spending.n_reported, spending.n_asked = state.n_reported, state.n_asked
        spending.asked, spending.served = list(state.asked), list(state.served)
        spending.n_unsettled = sum(state.served)
        spending.settled, spending.settled_deviation = state.settled, state.settled_deviation
        self._n_labels, self._n_due, self._newest_lookup = state.n_labels, state.n_due, state.newest_lookup
        self._relaxation.smoothed, self._relaxation.is_on = state.smoothed_load, state.is_relaxed
        if state.model is not None:
            self._model = ErrorModel(*state.model)
            self._wrong = self._model.wrong.tolist()
        self._bar = math.inf if state.bar is None else state.bar
        self._spent, self._spent_bound = state.spent, state.spent_bound

    def _take(self, label: Label) -> None:
        self._window.add(log_odds(label.score), label.is_right, label.weight)
        self._n_labels += 1
        self._n_due += 1
        self._newest_lookup = label.lookup_id

    def _is_due(self) -> bool:
        return self._n_due >= max(LABELS_PER_FIT, len(self._window) // FITS_PER_WINDOW)

    def _choose_bar(self) -> None:
        """The lowest bar that keeps both budgets; counts what was spent anew, by the model as it is now."""
        model, spending, budgets = self._model, self._spending, self.budgets
        if model is None:
            return
        spent, deviation = spending.spent(model)
        factor = max(1.0, (spending.n_reported + REPORT_PSEUDO) / (spent + REPORT_PSEUDO))
        self._wrong = [min(factor * chance, 1.0) for chance in model.wrong.tolist()]
        self._spent = factor * spent + spending.n_reported
        self._spent_bound = factor * (spent + BOUND_DEVIATIONS * deviation) + spending.n_reported
        planned = factor * (spent + PLAN_DEVIATIONS * deviation) + spending.n_reported
        aim = 1.0 - RESERVED if budgets.relax else 1.0
        per_request = _rate(aim * budgets.max_false_per_request, spending.n_requests, planned, MOST_EXTRA, LEAST_RATE)
        per_hit = _rate(aim * budgets.max_false_per_hit, spending.n_hits, planned, 0.0, LEAST_RATE_OF_HITS)
        above, wrong, deviations = model.from_bin_up(spending.asked_by_bin())
        forecast = factor * (wrong + PLAN_DEVIATIONS * deviations)
        keeps = (above > 0.0) & (forecast <= per_request * spending.n_asked) & (forecast <= per_hit * above)
        keeps &= factor * model.wrong <= MOST_WRONG * budgets.max_false_per_hit
        lowest = int(np.argmax(keeps)) if keeps.any() else None
        self._bar = math.inf if lowest is None else from_log_odds(LEAST + WIDTH * lowest)

    def _left(self, spent: float) -> tuple[float, float]:
        """How many false hits each budget has left: per request, per hit."""
        spending, budgets = self._spending, self.budgets
        return (
            budgets.max_false_per_request * spending.n_requests - spent,
            budgets.max_false_per_hit * spending.n_hits - spent,
        )

    def _is_overspent(self, number: int) -> bool:
        """Whether serving this bin would make it worse; between refits, which raise the bar in time as a rule."""
        per_request, per_hit = self._left(self._spent)
        return per_request < 0.0 or (per_hit < 0.0 and self._wrong[number] > self.budgets.max_false_per_hit)

    def _affords(self, number: int) -> bool:
        """Whether both budgets have room for one more candidate of this bin, by the bound."""
        return self._model is not None and min(self._left(self._spent_bound)) >= self._wrong[number]


def _rate(budget: float, count: float, spent: float, most_extra: float, least: float) -> float:
    """The share that may be planned to be false from now on, where `spent` of `count` were before; `most_extra` and
    `least` in parts of the budget."""
    unspent = (budget * count - spent) / HORIZON
    return max(budget + min(unspent, most_extra * budget), least * budget)
