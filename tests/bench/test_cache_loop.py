"""The closed loop of `bench cache`: who is asked, who knows what, and what it is compared with."""

import argparse
import math
from pathlib import Path

import numpy as np
import pytest

from bench.cache import engine, load, quality, zipf
from bench.cache.bounds import lower_bound
from bench.cache.closed_loop import Kind, Looked, play
from bench.cache.core import CoreCache
from bench.cache.questions import Arrivals, Questions, asked, made_up_questions, shuffled
from bench.cache.thresholds import Hindsight
from bench.tenants.contender import LeftOut
from vdb.cache.calibration import Budgets


@pytest.fixture(scope="module")
def questions() -> Questions:
    return made_up_questions(3)


def test_every_row_is_asked_once_and_every_request_is_counted(questions: Questions) -> None:
    arrivals = shuffled(questions, 1, 0)
    played = play(CoreCache(questions, Budgets(max_false_per_hit=0.03)), questions, arrivals)
    assert sorted(arrivals.rows.tolist()) == list(range(len(questions)))
    assert sum(played.counts(place)[0] for place in range(len(played.names))) == len(questions)
    assert played.is_hit.any()
    assert not (played.is_labelled & played.is_hit).any()
    assert not (played.is_false & ~played.is_hit).any()


def test_the_oracle_speaks_of_misses_only_and_never_of_rows_out_of_scope(questions: Questions) -> None:
    verdicts = []

    class Watched(CoreCache):
        def store(self, row: int, looked: Looked, is_right: bool | None) -> None:
            assert looked.kind is Kind.MISS
            verdicts.append((questions.intents[row], is_right))
            super().store(row, looked, is_right)

    play(Watched(questions, Budgets()), questions, shuffled(questions, 1, 0))
    assert any(is_right for _, is_right in verdicts)
    assert not any(is_right for intent, is_right in verdicts if intent < 0)


def test_what_was_stored_word_for_word_hits_exactly(questions: Questions) -> None:
    rows = np.array([5, 6, 5, 5])
    played = play(CoreCache(questions, Budgets()), questions, Arrivals(rows, np.ones(4), np.zeros(4)))
    assert played.kinds.tolist() == [Kind.MISS, Kind.MISS, Kind.EXACT, Kind.EXACT]
    assert not played.is_false.any()


def test_the_baseline_decides_as_a_cache_with_that_threshold_does(questions: Questions) -> None:
    arrivals = shuffled(questions, 1, 0)
    played = play(CoreCache(questions, Budgets(explore=0.0, threshold=0.85)), questions, arrivals)
    hindsight = Hindsight(questions, arrivals, played).at(0.85)
    assert hindsight.n_hits.sum() == played.is_hit.sum() > 0
    assert hindsight.n_false.sum() == played.is_false.sum()


@pytest.mark.parametrize(("found", "n", "bound"), [(1, 20, 0.002561), (5, 100, 0.019906), (31, 2250, 0.009992)])
def test_at_the_lower_bound_so_many_have_a_chance_of_5_percent(found: int, n: int, bound: float) -> None:
    ways = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(found)]
    share = lower_bound(found, n)
    fewer = math.fsum(math.exp(way + k * math.log(share) + (n - k) * math.log1p(-share)) for k, way in enumerate(ways))
    assert 1.0 - fewer == pytest.approx(0.05, rel=1e-3)
    assert share == pytest.approx(bound, rel=1e-3)
    assert lower_bound(0, n) == 0.0


def test_zipf_arrivals_repeat_questions_and_keep_categories(questions: Questions) -> None:
    arrivals = zipf.arrivals(questions, 1, 0)
    asked_of = np.bincount(questions.categories[arrivals.rows] + 1)
    assert len(np.unique(arrivals.rows)) < len(questions)
    assert (asked_of > 0).all()


def test_the_quick_runs_have_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality, "N_SHUFFLES", 1)
    monkeypatch.setattr(zipf, "N_SHUFFLES", 1)
    given = argparse.Namespace(seed=1, quick=True, data=tmp_path)
    for part in (quality, zipf):
        assert all(math.isfinite(figure.value) for figure in part.measure(given))
    with pytest.raises(LeftOut, match="no trace"):
        load.measure(given)


def test_the_engine_decides_as_its_core_does(tmp_path: Path) -> None:
    figures = engine.measure(argparse.Namespace(seed=1, quick=True, data=tmp_path))
    assert figures[0].value == 1.0
    assert figures[1].value > 0.3


def test_a_data_set_that_is_absent_leaves_the_part_out(tmp_path: Path) -> None:
    with pytest.raises(LeftOut, match="no data set"):
        asked(argparse.Namespace(seed=1, quick=False, data=tmp_path))
