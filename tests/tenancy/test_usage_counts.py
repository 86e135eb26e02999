"""Counts of usage: by tenant and month, visible until they are stored, given back where they could not be."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.tenancy.usage import Counts, UsageCounts, month_of, months_before


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_requests_add_up_by_tenant_and_month() -> None:
    now = [at("2026-01-31T23:59:59")]
    counts = UsageCounts(lambda: now[0])
    counts.add(1, 2, 0, 10, 20, 0)
    counts.add(1, 3, 0, 1, 2, 0)
    counts.add(2, 0, 7, 0, 0, 0)
    now[0] = at("2026-02-01T00:00:00")
    counts.add(1, 0, 0, 0, 0, 1)
    assert counts.pending(1) == {202601: Counts(2, 5, 0, 11, 22, 0), 202602: Counts(1, 0, 0, 0, 0, 1)}
    assert counts.pending(2) == {202601: Counts(1, 0, 7, 0, 0, 0)} and counts.pending(3) == {}


def test_a_clock_set_back_counts_for_the_earlier_month() -> None:
    now = [at("2026-02-01T00:00:30")]
    counts = UsageCounts(lambda: now[0])
    for text in ("2026-02-01T00:00:30", "2026-01-31T23:00:00"):
        now[0] = at(text)
        counts.add(1, 1, 0, 0, 0, 0)
    assert sorted(counts.pending(1)) == [202601, 202602]


def test_what_is_being_stored_stays_visible_and_is_given_back_if_it_was_not() -> None:
    counts = UsageCounts(lambda: at("2026-03-05T00:00:00"))
    for tenant in (1, 2):
        counts.add(tenant, 1, 0, 0, 0, 0)
    taken = counts.take()
    counts.add(1, 1, 0, 0, 0, 0)
    assert counts.pending(1) == {202603: Counts(2, 2)}
    counts.settle([(2, 202603)])
    counts.give_back()
    assert (counts.pending(1), counts.pending(2)) == ({202603: Counts(2, 2)}, {})
    assert set(taken) == {(1, 202603), (2, 202603)} and counts.take() == {(1, 202603): Counts(2, 2)}


@given(st.integers(0, 4_000_000_000), st.integers(0, 60))
def test_months_count_backwards_over_years(now_s: int, n: int) -> None:
    moment = datetime.fromtimestamp(now_s, UTC)
    month = month_of(now_s)
    assert divmod(month, 100) == (moment.year, moment.month)
    earlier = months_before(month, n)
    assert 1 <= earlier % 100 <= 12
    assert (month // 100 - earlier // 100) * 12 + month % 100 - earlier % 100 == n


@pytest.mark.parametrize(("month", "n", "wanted"), [(202601, 1, 202512), (202612, 11, 202601), (202603, 23, 202404)])
def test_some_months_before(month: int, n: int, wanted: int) -> None:
    assert months_before(month, n) == wanted
