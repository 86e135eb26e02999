"""Zipf arrivals: some intents are asked for much more than others, and questions come again word for word.

A request's category is drawn by the size of the categories, its intent by Zipf's law over the category's intents, in an
order of its own, its row evenly from the intent's. Exponents fall from 1.1 (traffic like that of code) to .4 (like that
of chat) over the categories in the order of their names. Rows out of scope come as often as they are there, each as
often as any other. What was stored word for word hits exactly, and is counted apart.
"""

import argparse

import numpy as np

from bench.cache.closed_loop import Kind, play
from bench.cache.core import CoreCache
from bench.cache.quality import BUDGETS, N_SHUFFLES, budget_figures
from bench.cache.questions import Arrivals, Int64s, Questions, asked
from bench.cache.thresholds import Hindsight, best_overall
from bench.report import Figure, median

MOST_SKEWED, LEAST_SKEWED = 1.1, 0.4


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of three streams, as long as the data."""
    questions = asked(given)
    streams = [arrivals(questions, given.seed, number) for number in range(N_SHUFFLES)]
    runs = [play(CoreCache(questions, BUDGETS), questions, stream) for stream in streams]
    overall = [
        best_overall(Hindsight(questions, stream, run).all(), BUDGETS.max_false_per_request).hits
        for stream, run in zip(streams, runs, strict=True)
    ]
    hits = [float(run.is_hit.mean()) for run in runs]
    return [
        median("zipf: exact hits", [float((run.kinds == Kind.EXACT).mean()) for run in runs], "of requests"),
        median("zipf: hits by meaning, learned online", hits, "of requests"),
        median("zipf: hits by meaning, one threshold, overall budget in hindsight", overall, "of requests"),
        *budget_figures("zipf", runs),
        median("zipf: labels", [float(run.is_labelled.sum()) for run in runs], ""),
    ]


def arrivals(questions: Questions, seed: int, stream: int) -> Arrivals:
    """As many requests as there are rows."""
    rng = np.random.default_rng([seed, stream, 1])
    n = len(questions)
    rows = np.empty(n, np.int64)
    exponents = np.linspace(MOST_SKEWED, LEAST_SKEWED, len(questions.names))
    categories = questions.categories[rng.integers(n, size=n)]
    for place, exponent in [(-1, 0.0), *enumerate(exponents.tolist())]:
        rows[categories == place] = _rows(questions, rng, place, exponent, int((categories == place).sum()))
    return Arrivals(rows, rng.random(n), np.zeros(n))


def _rows(questions: Questions, rng: np.random.Generator, place: int, exponent: float, size: int) -> Int64s:
    """Rows of one category: the intent by Zipf's law, then one of its rows."""
    members = np.flatnonzero(questions.categories == place)
    intents = rng.permutation(np.unique(questions.intents[members]))
    chances = np.arange(1, len(intents) + 1) ** -exponent
    drawn = rng.choice(intents, size=size, p=chances / chances.sum())
    rows = np.empty(size, np.int64)
    for intent in intents:
        asked = np.flatnonzero(drawn == intent)
        rows[asked] = rng.choice(members[questions.intents[members] == intent], size=len(asked))
    return rows
