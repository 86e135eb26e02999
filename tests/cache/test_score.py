"""The decision score: what near entries say of the nearest one's answer."""

import numpy as np
import pytest

from vdb.cache.score import decision_score, from_log_odds, log_odds


def _score(similarities: list[float], groups: list[int], rejected: list[int] | None = None) -> float:
    return decision_score(
        np.array(similarities, np.float32),
        np.array(groups, np.uint64),
        np.array(rejected or [0] * len(groups), np.uint64),
    )


def test_it_lies_between_0_and_1_for_any_neighbourhood(rng: np.random.Generator) -> None:
    for _ in range(200):
        k = int(rng.integers(1, 17))
        similarities = np.sort(rng.uniform(-1, 1, k))[::-1]
        score = _score(similarities.tolist(), rng.integers(1, 5, k).tolist(), rng.integers(0, 5, k).tolist())
        assert 0.0 < score < 1.0


def test_a_nearer_entry_scores_higher() -> None:
    scores = [_score([similarity], [1]) for similarity in (0.2, 0.5, 0.8, 0.95, 1.0)]
    assert scores == sorted(scores)
    assert scores[0] < 0.1


def test_neighbours_of_the_same_group_raise_it_and_others_lower_it() -> None:
    alone = _score([0.8], [1])
    agreeing = _score([0.8, 0.78, 0.75], [1, 1, 1])
    unknown = _score([0.8, 0.78, 0.75], [1, 2, 3])
    different = _score([0.8, 0.78, 0.75], [1, 2, 3], [0, 1, 1])
    assert different < unknown < alone < agreeing


def test_that_groups_differ_counts_whichever_of_them_rejected_the_other() -> None:
    assert _score([0.8, 0.7], [1, 2], [0, 1]) == _score([0.8, 0.7], [1, 2], [2, 0])


def test_no_group_was_rejected_by_entries_that_were_compared_with_none() -> None:
    assert _score([0.8, 0.7], [1, 2], [0, 0]) == _score([0.8, 0.7], [1, 2])


def test_log_odds_go_there_and_back() -> None:
    for score in (0.001, 0.2, 0.5, 0.97):
        assert from_log_odds(log_odds(score)) == pytest.approx(score)
    assert np.isfinite(log_odds(0.0)) and np.isfinite(log_odds(1.0))
