"""The ledger: totals over collections, exact while writes are on their way."""

import pytest

from vdb.errors import QuotaExceeded
from vdb.tenancy.quota import Ledger

ACME, NOTES, SHAPES = 1, 10, 11
NOTHING = (0, 0)


def ledger_of(points: int | None, n_bytes: int | None = None) -> Ledger:
    ledger = Ledger()
    ledger.track(ACME, points, n_bytes)
    return ledger


def test_a_tenant_without_a_quota_is_not_followed() -> None:
    ledger = Ledger()
    assert not ledger.is_tracked(ACME)
    assert ledger.propose(ACME, NOTES, NOTHING, (10**9, 10**9)) is None
    ledger.settle(ACME, NOTES, 1, 10**9, 10**9)
    ledger.restore(ACME, NOTES, None)


def test_a_total_over_collections_is_refused_at_the_first_point_too_many() -> None:
    ledger = ledger_of(10)
    ledger.settle(ACME, NOTES, 1, 6, 0)
    ledger.propose(ACME, SHAPES, NOTHING, (4, 0))
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (5, 0))


def test_points_and_bytes_have_caps_of_their_own() -> None:
    ledger = ledger_of(None, 100)
    ledger.propose(ACME, NOTES, NOTHING, (10**6, 100))
    with pytest.raises(QuotaExceeded, match="100 bytes"):
        ledger.propose(ACME, NOTES, NOTHING, (1, 101))


def test_what_is_proposed_elsewhere_counts_before_it_is_committed() -> None:
    ledger = ledger_of(10)
    ledger.propose(ACME, NOTES, NOTHING, (8, 0))
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (3, 0))
    ledger.restore(ACME, NOTES, None)
    ledger.propose(ACME, SHAPES, NOTHING, (3, 0))


def test_a_refusal_leaves_what_earlier_requests_of_the_commit_proposed() -> None:
    ledger = ledger_of(10)
    assert ledger.propose(ACME, NOTES, NOTHING, (8, 0)) is None
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, NOTES, (8, 0), (11, 0))
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (3, 0))
    assert ledger.propose(ACME, NOTES, (8, 0), (9, 0)) == (8, 0)
    ledger.restore(ACME, NOTES, (8, 0))
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (3, 0))
    ledger.propose(ACME, SHAPES, NOTHING, (2, 0))


def test_an_older_observation_changes_nothing_and_drops_no_proposal() -> None:
    ledger = ledger_of(10)
    ledger.settle(ACME, NOTES, 5, 9, 0)
    ledger.observe(ACME, NOTES, 4, 1, 0)
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (2, 0))
    ledger.propose(ACME, NOTES, (9, 0), (10, 0))
    ledger.observe(ACME, NOTES, 5, 9, 0)
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, SHAPES, NOTHING, (1, 0))


def test_who_is_over_a_lowered_quota_may_shrink_but_not_grow() -> None:
    ledger = ledger_of(10)
    ledger.settle(ACME, NOTES, 1, 9, 0)
    ledger.track(ACME, 3, None)
    ledger.propose(ACME, NOTES, (9, 0), (8, 0))
    with pytest.raises(QuotaExceeded):
        ledger.propose(ACME, NOTES, (8, 0), (9, 0))


def test_a_collection_that_is_gone_counts_no_more() -> None:
    ledger = ledger_of(10)
    ledger.settle(ACME, NOTES, 1, 9, 0)
    ledger.forget_collection(NOTES)
    ledger.propose(ACME, SHAPES, NOTHING, (10, 0))
    ledger.forget(ACME)
    assert not ledger.is_tracked(ACME)
