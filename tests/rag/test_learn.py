"""Learning a fusion: its metrics against `ir_measures`, what it finds where a leg is noise, and that it keeps still."""

from collections.abc import Sequence

import ir_measures
import numpy as np
import pytest

from vdb.rag.fuse import DEFAULT, Candidates, FusionOptions
from vdb.rag.learn import JudgedCandidates, Metric, decided, learned, measured

Rng = np.random.Generator


def ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks of a leg that has found every candidate."""
    made = np.empty(len(scores), np.int32)
    made[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return made


def judged(rng: Rng, n_queries: int, dense: float, sparse: float, n: int = 40) -> list[JudgedCandidates]:
    """Queries with one relevant point, whose scores lie so many standard deviations above those of the others."""
    queries = []
    for _ in range(n_queries):
        grades = np.zeros(n)
        grades[rng.integers(n)] = 1.0
        similarity = rng.standard_normal(n) + dense * grades
        bm25 = np.maximum(rng.standard_normal(n) + sparse * grades, 0.0)
        candidates = Candidates(similarity, bm25, ranks(similarity), ranks(bm25), 6.0)
        queries.append(JudgedCandidates(candidates, grades, np.ones(1)))
    return queries


@pytest.mark.parametrize(("metric", "measure"), [("ndcg", "nDCG@10"), ("recall", "R@10"), ("mrr", "RR@10")])
def test_metrics_are_those_of_ir_measures(rng: Rng, metric: Metric, measure: str) -> None:
    for _ in range(20):
        grades = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], 30)
        unseen = rng.integers(1, 4, 3).astype(float)
        scores = rng.permutation(30).astype(float)
        ideal = -np.sort(-np.concatenate([grades[grades > 0], unseen]))
        query = JudgedCandidates(Candidates(scores, scores, ranks(scores), ranks(scores), 1.0), grades, ideal)
        qrels = {str(place): int(grade) for place, grade in enumerate(grades)}
        qrels |= {f"unseen {place}": int(grade) for place, grade in enumerate(unseen)}
        run = {str(place): score for place, score in enumerate(scores.tolist())}
        parsed = ir_measures.parse_measure(measure)
        expected = ir_measures.calc_aggregate([parsed], {"q": qrels}, {"q": run})[parsed]
        assert measured(query, scores, metric, 10) == pytest.approx(expected, abs=1e-12)


def test_candidates_of_one_document_count_once_by_the_best() -> None:
    scores = np.array([5.0, 4.0, 3.0, 2.0])
    candidates = Candidates(scores, scores, ranks(scores), ranks(scores), 1.0)
    grades = np.array([0.0, 0.0, 1.0, 1.0])
    query = JudgedCandidates(candidates, grades, np.ones(1), groups=np.array([7, 7, 3, 3]))
    assert measured(query, scores, "mrr", 10) == 0.5
    assert measured(query, scores, "recall", 10) == 1.0


def test_a_leg_that_is_noise_loses_its_weight(rng: Rng) -> None:
    found = learned(judged(rng, 200, dense=0.0, sparse=2.0), "ndcg", 10, FusionOptions("sigma", 0.9))
    assert found.kept
    assert found.options.weight <= 0.3
    assert found.sparse > found.dense
    assert found.learned > found.default


def test_no_more_than_one_leg_is_used_where_fusion_does_not_win(rng: Rng) -> None:
    queries = judged(rng, 400, dense=0.0, sparse=3.5)
    found = learned(queries, "mrr", 10, FusionOptions("minmax", 0.8))
    assert found.learned >= found.sparse - 0.01


@pytest.mark.parametrize("n_queries", [1, 2, 5, 10])
def test_few_judgements_leave_the_default(rng: Rng, n_queries: int) -> None:
    for _ in range(20):
        found = learned(judged(rng, n_queries, dense=2.0, sparse=2.0), "recall", 5, DEFAULT)
        assert found.options == DEFAULT
        assert not found.kept


def test_without_judgements_the_default_stays() -> None:
    nothing = JudgedCandidates(
        Candidates(np.zeros(0), np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int32), 0.0),
        np.zeros(0),
        np.zeros(0),
    )
    for queries in ([], [nothing]):
        found = learned(queries, "ndcg", 10, DEFAULT)
        assert (found.options, found.kept, found.n_queries) == (DEFAULT, False, 0)


def test_a_query_whose_legs_found_nothing_counts_as_a_miss(rng: Rng) -> None:
    nothing = JudgedCandidates(
        Candidates(np.zeros(0), np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int32), 0.0), np.zeros(0), np.ones(2)
    )
    queries: Sequence[JudgedCandidates] = judged(rng, 9, dense=9.0, sparse=9.0)
    found = learned([*queries, nothing], "recall", 5, DEFAULT)
    assert found.n_queries == 10
    assert found.dense == pytest.approx(0.9)


def test_the_same_judgements_teach_the_same(rng: Rng) -> None:
    queries = judged(rng, 60, dense=1.0, sparse=2.5)
    assert learned(queries, "ndcg", 10, DEFAULT) == learned(queries, "ndcg", 10, DEFAULT)


def test_a_choice_that_does_not_hold_on_other_folds_is_not_made() -> None:
    gained = np.zeros((10, 43))
    gained[:, 0] = 0.5
    for query in range(10):
        gained[query, 2 + query] = 1.0  # each column wins on one query, and loses on the others
    assert decided(gained) == (0, 0.5)
