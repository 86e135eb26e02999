"""The oracle of exact search can fail: each kind of wrong answer is told from a right one."""

import numpy as np
import pytest

from bench.exact.corpus import seeded
from bench.exact.oracle import Tally, distances, judge
from vdb.protocol.answers import Hit

ALLOWED = np.array([4, 7, 9])
TRUE = np.array([0.3, 0.1, 0.2])


def _judged(*hits: tuple[str, float], limit: int = 2) -> Tally:
    tally = Tally()
    found = [Hit(id=point_id, owner="acme", distance=distance, version=1) for point_id, distance in hits]
    judge(tally, found, ALLOWED, TRUE, limit)
    return tally


def test_the_nearest_allowed_rows_are_right() -> None:
    tally = _judged(("p7", 0.1), ("p9", 0.2))
    assert (tally.recall, tally.n_wrong) == (1.0, 0)


@pytest.mark.parametrize(
    "second",
    [("p4", 0.3), ("p5", 0.2), ("p7", 0.1), ("p9", 0.21)],
    ids=["a farther row", "a row not allowed", "a row twice", "a wrong distance"],
)
def test_a_wrong_hit_counts_against_recall(second: tuple[str, float]) -> None:
    tally = _judged(("p7", 0.1), second)
    assert (tally.recall, tally.n_wrong) == (0.5, 1)


def test_a_missing_hit_counts_against_recall() -> None:
    tally = _judged(("p7", 0.1))
    assert (tally.recall, tally.n_wrong) == (0.5, 0)


def test_fewer_rows_than_asked_for_are_all_that_is_expected() -> None:
    tally = _judged(("p7", 0.1), ("p9", 0.2), ("p4", 0.3), limit=10)
    assert (tally.n_expected, tally.recall) == (3, 1.0)


def test_distances_are_those_of_the_api() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    query = np.array([3.0, 0.0], dtype=np.float32)
    assert distances("l2", query, rows).tolist() == [4.0, 3.0]
    assert distances("ip", query, rows).tolist() == [-9.0, 0.0]
    assert distances("cosine", query, rows) == pytest.approx([0.4, 1.0])


def test_a_corpus_shares_some_rows_and_hides_others() -> None:
    corpus = seeded("l2", 500, 5, 1)
    visible = corpus.visible_to(corpus.tenants[0])
    own = np.array(corpus.owners) == corpus.tenants[0]
    assert own.sum() < visible.sum() < len(visible)
    assert visible[own].all()
