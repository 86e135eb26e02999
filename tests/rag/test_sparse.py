"""BM25 of one tenant: the scores of an oracle, and of nobody else's points."""

from pathlib import Path

import bm25s
import numpy as np
import pytest

from tests.rag.text_world import TextWorld
from vdb.storage.keyspace import EVERYONE_ID


@pytest.fixture
def world(tmp_path: Path) -> TextWorld:
    return TextWorld(tmp_path / "collection")


def _texts(rng: np.random.Generator, n: int) -> list[str]:
    words = np.array([f"w{i}" for i in range(200)])
    odds = 1 / np.arange(1, 201)
    return [" ".join(rng.choice(words, rng.integers(1, 40), p=odds / odds.sum())) for _ in range(n)]


def test_scores_are_those_of_the_oracle(world: TextWorld, rng: np.random.Generator) -> None:
    texts = _texts(rng, 700)
    world.insert(texts[:500])
    world.insert(texts[500:], owner=2, shared=[EVERYONE_ID])
    world.insert(_texts(rng, 300), owner=3)  # nobody else's business
    oracle = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    oracle.index([world.analyser.terms(text) for text in texts], show_progress=False)
    for text in _texts(rng, 60):
        asked = world.analyser.terms(text)[:6]
        expected = oracle.get_scores(asked)
        pids, scores = world.query(1, " ".join(asked)).top(20)
        np.testing.assert_allclose(scores, -np.sort(-expected)[: len(scores)], rtol=1e-5)
        np.testing.assert_allclose(scores, expected[pids], rtol=1e-5)


def test_what_others_write_changes_no_bit_of_a_score(world: TextWorld, rng: np.random.Generator) -> None:
    world.insert(_texts(rng, 200))
    world.insert(_texts(rng, 50), owner=9, shared=[EVERYONE_ID])
    asked = ["w0 w1 w7 w50", "w3", "w0 w0 w120 w199"]
    before = [world.query(1, text).top(50) for text in asked]
    theirs = len(world.points)
    world.insert(_texts(rng, 300), owner=2, shared=[3])
    with world.commit() as (txn, changes):
        for pid in range(theirs, theirs + 100):
            world.remove(txn, changes, pid)
        for pid in range(theirs + 100, theirs + 150):
            world.put(txn, changes, pid, 2, {"text": "w0 w1"}, [3, 4])
    after = [world.query(1, text).top(50) for text in asked]
    for (pids, scores), (pids_after, scores_after) in zip(before, after, strict=True):
        assert pids.tobytes() == pids_after.tobytes() and scores.tobytes() == scores_after.tobytes()


def test_a_granted_point_counts_for_its_grantee_and_a_public_one_for_all(world: TextWorld) -> None:
    world.insert(["cat dog"], owner=1, shared=[2])
    world.insert(["cat"], owner=1, shared=[EVERYONE_ID])
    world.insert(["cat cat"], owner=2)
    found = {tenant: world.query(tenant, "cat").top(9)[0].tolist() for tenant in (1, 2, 3)}
    assert {tenant: sorted(pids) for tenant, pids in found.items()} == {1: [0, 1], 2: [0, 1, 2], 3: [1]}


def test_a_term_that_is_asked_twice_counts_twice(world: TextWorld) -> None:
    world.insert(["cat", "dog", "bird"])
    once, twice = (world.query(1, text).top(1)[1][0] for text in ("cat", "cat cat"))
    assert twice == 2 * once > 0


def test_ties_go_to_the_smaller_pid_and_scores_are_those_of_the_ranking(world: TextWorld) -> None:
    world.insert(["cat"] * 40 + ["dog"])
    query = world.query(1, "cat dog")
    pids, scores = query.top(10)
    assert pids.tolist() == [40, *range(9)] and (query.n_terms, query.n_postings) == (2, 41)
    asked = np.array([7, 40, 99, 0], np.uint32)
    assert query.scores(asked).tolist() == [scores[1], scores[0], 0.0, scores[1]]


def test_only_allowed_points_are_ranked(world: TextWorld) -> None:
    world.insert(["cat dog", "cat", "dog", "cat bird"])
    assert world.query(1, "cat").top(9, np.array([1, 2, 3], np.uint32))[0].tolist() == [1, 3]
    assert world.query(1, "cat").top(9, np.empty(0, np.uint32))[0].tolist() == []


@pytest.mark.parametrize("text", ["", "unheard", "?!"])
def test_a_query_without_known_terms_finds_nothing(world: TextWorld, text: str) -> None:
    world.insert(["cat"])
    query = world.query(1, text)
    assert query.top(3)[0].tolist() == [] and query.scores(np.zeros(1, np.uint32)).tolist() == [0.0]
    assert world.query(7, "cat").n_postings == 0
