"""The threshold of a collection: what is lost stays below what was allowed, also of questions that were not given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.extractive.calibration import CONFIDENCE, calibrated, lost_bound, n_needed

supports = st.lists(st.floats(0, 1), max_size=150)


def test_supports_that_lie_apart_are_parted_half_way() -> None:
    found = calibrated([0.8] * 100, [0.2] * 40, 0.05)
    assert found.threshold == 0.5
    assert (found.lost, found.refused) == (0.0, 1.0)
    assert found.bound == pytest.approx(1 - 0.1 ** (1 / 100))


def test_few_questions_bear_no_threshold() -> None:
    assert n_needed(0.05) == 45
    assert calibrated([0.9] * 44, [0.1], 0.05).threshold is None
    assert calibrated([0.9] * 45, [0.1], 0.05).threshold == 0.5
    assert calibrated([0.9] * 1000, [0.1], 0.0).threshold is None


def test_some_are_lost_where_that_is_allowed_and_refuses_more() -> None:
    own = [0.3] * 5 + [0.9] * 295
    found = calibrated(own, [0.6] * 100, 0.05)
    assert found.threshold is not None and 0.6 < found.threshold <= 0.9
    assert found.lost == pytest.approx(5 / 300) and found.refused == 1.0 and found.bound <= 0.05


def test_without_unanswerable_questions_as_many_are_refused_as_may_be() -> None:
    found = calibrated([i / 1000 for i in range(1000)], [], 0.05)
    assert found.refused is None
    assert found.threshold is not None and 0.03 < found.threshold < 0.05


@pytest.mark.parametrize(("n_lost", "n", "bound"), [(0, 10, 0.2057), (1, 20, 0.1810), (5, 100, 0.0908), (10, 10, 1.0)])
def test_the_bound_is_that_of_clopper_and_pearson(n_lost: int, n: int, bound: float) -> None:
    assert lost_bound(n_lost, n) == pytest.approx(bound, abs=2e-4)


@given(supports.filter(bool), supports, st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
def test_no_more_is_lost_than_allowed(own: list[float], others: list[float], max_lost: float) -> None:
    found = calibrated(own, others, max_lost)
    if found.threshold is None:
        assert max_lost < 1.0
        return
    assert 0.0 <= found.threshold <= 1.0
    assert found.lost == sum(value < found.threshold for value in own) / len(own) <= found.bound <= max_lost
    if others:
        assert found.refused == sum(value < found.threshold for value in others) / len(others)


def test_of_questions_that_were_not_given_no_more_are_lost_nearly_always(rng: np.random.Generator) -> None:
    n_exceeded = 0
    for _ in range(300):
        threshold = calibrated(rng.random(120).tolist(), rng.random(50).tolist(), 0.1).threshold
        assert threshold is not None
        n_exceeded += threshold > 0.1  # of uniform supports the threshold is the share that is lost
    assert n_exceeded / 300 <= 1 - CONFIDENCE + 0.03, n_exceeded
