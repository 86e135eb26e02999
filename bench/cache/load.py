"""Simulated overload: the bar is lowered while the model is busy, within what the budgets have left, and comes back.

Every row is asked once. Load follows the Azure LLM inference trace of 2023: generated tokens of the last minute, scaled
so that relaxation would be on for a fifth of the requests if it were not for hysteresis. The same stream is played with
relaxation and without; the difference is what relaxation saves.
"""

import argparse
import csv
from datetime import datetime
from pathlib import Path

import numpy as np

from bench.cache.closed_loop import Played, play
from bench.cache.core import CoreCache
from bench.cache.quality import BUDGETS, N_SHUFFLES, budget_figures
from bench.cache.questions import Arrivals, Float64s, Questions, asked, shuffled
from bench.report import Figure, median
from bench.tenants.contender import LeftOut
from vdb.cache.calibration import Budgets
from vdb.cache.relaxation import OFF, ON

RELAX = 0.3
OVERLOADED_SHARE = 0.2
WINDOW_S = 60.0


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of three shuffles, each played twice."""
    questions = asked(given)
    loads = trace_load(given.data, len(questions))
    pairs = [_pair(questions, shuffled(questions, given.seed, number), loads) for number in range(N_SHUFFLES)]
    relaxed = [pair[0] for pair in pairs]
    is_busy, is_calm = loads >= ON, loads < OFF
    return [
        Figure("load: requests while overloaded", float(is_busy.mean()), "of requests"),
        median("load: hits, relaxed", [float(run.is_hit.mean()) for run in relaxed], "of requests"),
        median("load: hits, not relaxed", [float(run.is_hit.mean()) for _, run in pairs], "of requests"),
        median("load: relaxed hits", [float(run.is_relaxed.sum()) for run in relaxed], ""),
        median("load: calls saved while overloaded", [_saved(*pair, is_busy) for pair in pairs], "of calls"),
        median("load: calls saved over all", [_saved(*pair, np.ones_like(is_busy)) for pair in pairs], "of calls"),
        median("load: relaxed hits at low load", [_lagging(run, is_calm) for run in relaxed], "of them", 0.1),
        median(
            "load: spells of relaxed hits", [float(_spells(run, is_calm)) for run in relaxed], "", 2.0, at_least=True
        ),
        median("load: false relaxed hits", [_false_share(run) for run in relaxed], "of them"),
        *budget_figures("load", relaxed),
    ]


def trace_load(data: Path, n: int) -> Float64s:
    """Load in [0, 1] at each of n requests, spread evenly over the requests of the trace."""
    path = data / "traces" / "azure_llm_code_2023.csv"
    if not path.is_file():
        raise LeftOut(f"no trace at {path}; VDB_DATASETS names the folder of all data sets")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    times = np.array([datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows])
    tokens = np.cumsum([float(row["GeneratedTokens"]) for row in rows])
    first = np.searchsorted(times, times - WINDOW_S)
    busy = tokens - np.where(first > 0, tokens[first - 1], 0.0)
    load = np.minimum(ON * busy / np.quantile(busy, 1.0 - OVERLOADED_SHARE), 1.0)
    return np.asarray(load[np.arange(n) * len(load) // n])


def _pair(questions: Questions, arrivals: Arrivals, loads: Float64s) -> tuple[Played, Played]:
    stream = Arrivals(arrivals.rows, arrivals.draws, loads)
    budgets = Budgets(BUDGETS.max_false_per_request, BUDGETS.max_false_per_hit, BUDGETS.explore, relax=RELAX)
    return (
        play(CoreCache(questions, budgets), questions, stream),
        play(CoreCache(questions, BUDGETS), questions, stream),
    )


def _saved(relaxed: Played, plain: Played, chosen: np.ndarray) -> float:
    """The share of calls that the model was spared, of those it had to answer without relaxation."""
    with_it, without = ~relaxed.is_hit[chosen], ~plain.is_hit[chosen]
    return float(1.0 - with_it.sum() / without.sum())


def _lagging(run: Played, is_calm: np.ndarray) -> float:
    """The share of relaxed hits served although load was low: what smoothing costs."""
    return float((run.is_relaxed & is_calm).sum() / max(run.is_relaxed.sum(), 1))


def _spells(run: Played, is_calm: np.ndarray) -> int:
    """How many times relaxed hits came after a time of low load without any."""
    n_spells, is_over = 0, True
    for relaxed, calm in zip(run.is_relaxed.tolist(), is_calm.tolist(), strict=True):
        if relaxed and is_over:
            n_spells, is_over = n_spells + 1, False
        elif calm and not relaxed:
            is_over = True
    return n_spells


def _false_share(run: Played) -> float:
    return float(run.is_false[run.is_relaxed].mean()) if run.is_relaxed.any() else 0.0
