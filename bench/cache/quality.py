"""Hits at an error budget: thresholds learned online against thresholds chosen in hindsight, on every row once."""

import argparse
from dataclasses import dataclass

import numpy as np

from bench.cache.bounds import lower_bound
from bench.cache.closed_loop import Played, play
from bench.cache.core import CoreCache, similarity_alone
from bench.cache.questions import Arrivals, Questions, asked, shuffled
from bench.cache.thresholds import AtThreshold, Hindsight, best_in_every_category, best_overall
from bench.report import Figure, median
from vdb.cache.calibration import Budgets

BUDGETS = Budgets(max_false_per_request=0.01, max_false_per_hit=0.03, explore=0.05)
N_SHUFFLES = 3
OVERALL_BAR, EVERY_CATEGORY_BAR = 1.3, 1.8
CURVE = (1_000, 2_000, 5_000, 10_000, 20_000, 36_000)
"""Requests after which the cumulative error is told."""


@dataclass(frozen=True, slots=True, eq=False)
class Shuffle:
    """One order: what was learned online, without agreement of neighbours, and in hindsight."""

    learned: Played
    alone: Played
    overall: AtThreshold
    every_category: AtThreshold
    decide_us: float
    learn_us: float


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of three shuffles."""
    questions = asked(given)
    shuffles = [_shuffle(questions, shuffled(questions, given.seed, number)) for number in range(N_SHUFFLES)]
    return figures(shuffles, are_real=not given.quick)


def budget_figures(part: str, runs: list[Played]) -> list[Figure]:
    """How the budgets were kept; the worst of all runs, each of which has to keep them."""
    peaks = [run.peak for run in runs]
    per_hit = [run.false_per_hit for run in runs]
    by_request = [_highest_bound(run, per_hit=False) for run in runs]
    by_hit = [_highest_bound(run, per_hit=True) for run in runs]
    request, hit = BUDGETS.max_false_per_request, BUDGETS.max_false_per_hit
    return [
        Figure(f"{part}: false per request, highest after 1,000", max(peaks), "", request, runs=tuple(peaks)),
        Figure(f"{part}: false per hit", max(per_hit), "", hit, runs=tuple(per_hit)),
        Figure(
            f"{part}: lower bound of false per request, worst category",
            max(by_request),
            "",
            request,
            runs=tuple(by_request),
        ),
        Figure(f"{part}: lower bound of false per hit, worst category", max(by_hit), "", hit, runs=tuple(by_hit)),
    ]


def figures(shuffles: list[Shuffle], *, are_real: bool) -> list[Figure]:
    """The table; the bars on hits are for real questions only."""
    overall_bar, every_bar = (OVERALL_BAR, EVERY_CATEGORY_BAR) if are_real else (None, None)
    learned = [one.learned for one in shuffles]
    hits = [float(run.is_hit.mean()) for run in learned]
    overall = [one.overall.hits for one in shuffles]
    every = [one.every_category.hits for one in shuffles]
    alone = [float(one.alone.is_hit.mean()) for one in shuffles]
    found = [
        median("quality: hits, learned online", hits, "of requests"),
        median("quality: hits, one threshold, overall budget in hindsight", overall, "of requests"),
        median("quality: that threshold", [one.overall.threshold for one in shuffles], "cosine"),
        median("quality: hits, one threshold, every category's budget", every, "of requests"),
        median("quality: its threshold", [one.every_category.threshold for one in shuffles], "cosine"),
        median("quality: learned / overall", _ratios(hits, overall), "×", overall_bar, at_least=True),
        median("quality: learned / every category", _ratios(hits, every), "×", every_bar, at_least=True),
        *budget_figures("quality", learned),
        median("quality: hits without agreement of neighbours", alone, "of requests"),
        median("quality: its false per request", [float(one.alone.is_false.mean()) for one in shuffles], ""),
        median("quality: labels", [float(run.is_labelled.sum()) for run in learned], ""),
        median("quality: decision, search excluded", [one.decide_us for one in shuffles], "µs"),
        median("quality: learning, per label", [one.learn_us for one in shuffles], "µs"),
    ]
    curve = [
        median(f"quality: false per request after {n:,}", [float(run.false_per_request[n - 1]) for run in learned], "")
        for n in CURVE
        if n <= learned[0].n
    ]
    return found + curve + _by_category(learned)


def _shuffle(questions: Questions, arrivals: Arrivals) -> Shuffle:
    cache = CoreCache(questions, BUDGETS)
    learned = play(cache, questions, arrivals)
    alone = play(CoreCache(questions, BUDGETS, similarity_alone), questions, arrivals)
    tried = Hindsight(questions, arrivals, learned).all()
    return Shuffle(
        learned,
        alone,
        best_overall(tried, BUDGETS.max_false_per_request),
        best_in_every_category(tried, BUDGETS.max_false_per_request),
        cache.decide_ns / cache.n_decided / 1e3,
        cache.learn_ns / cache.n_learned / 1e3,
    )


def _by_category(runs: list[Played]) -> list[Figure]:
    found = []
    for place, name in enumerate(runs[0].names):
        counts = np.array([run.counts(place) for run in runs], float)
        n_requests = np.maximum(counts[:, 0], 1)
        found += [
            median(f"quality: {name}, hits", (counts[:, 1] / n_requests).tolist(), "of requests"),
            median(f"quality: {name}, false per request", (counts[:, 2] / n_requests).tolist(), ""),
        ]
    return found


def _highest_bound(run: Played, *, per_hit: bool) -> float:
    counts = [run.counts(place) for place in range(len(run.names))]
    return max(lower_bound(false, max(n_hits if per_hit else n, 1)) for n, n_hits, false in counts)


def _ratios(mine: list[float], others: list[float]) -> list[float]:
    return [one / other for one, other in zip(mine, others, strict=True)]
