"""The token bucket follows its definition; the limiter refuses without taking, and holds little."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RateLimited
from vdb.storage.catalog import RateDocument
from vdb.tenancy.rate import BYTES, READS, WRITES, Bucket, RateLimiter, positive

STEPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=40)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(rate=st.integers(1, 8), capacity=st.integers(1, 20), steps=STEPS)
def test_a_bucket_is_what_was_filled_in_less_what_was_taken(rate: int, capacity: int, steps: list[Any]) -> None:
    """The model adds an eighth of a second's tokens at a time, in whole eighths of a token."""
    bucket, now_s = Bucket(rate, capacity, 0.0), 0.0
    level = 8 * capacity
    for eighths, taken in steps:
        for _ in range(eighths):
            level = min(8 * capacity, level + rate)
        now_s += eighths / 8
        wait_s = bucket.wait_s(now_s)
        assert wait_s == pytest.approx(max(0, 8 - level) / 8 / rate)
        if wait_s == 0.0:
            bucket.take(taken)
            level -= 8 * taken


@given(rate=st.floats(0.01, 1e6), debt=st.floats(1, 1e6))
def test_after_the_wait_it_named_a_bucket_holds_a_token(rate: float, debt: float) -> None:
    bucket = Bucket(rate, 1.0, 0.0)
    bucket.take(debt)
    assert bucket.wait_s(math.ceil(bucket.wait_s(0.0))) == pytest.approx(0.0, abs=1e-6 / rate)


def limiter(clock: Clock, **given: Any) -> RateLimiter:
    return RateLimiter(1.0, clock, **given)


def admitted(limiter: RateLimiter, rates: RateDocument, n: int, kind: str = READS, tenant: int = 1) -> int:
    """How many of `n` requests came in."""
    n_admitted = 0
    for _ in range(n):
        try:
            limiter.admit(tenant, rates, kind, 0)
        except RateLimited:
            continue
        n_admitted += 1
    return n_admitted


def test_a_burst_comes_in_at_once_and_then_the_rate() -> None:
    clock = Clock()
    found, rates = limiter(clock), RateDocument(reads_per_s=10.0, burst_s=2.0)
    assert admitted(found, rates, 50) == 20
    clock.now_s += 0.5
    assert admitted(found, rates, 50) == 5


def test_a_refusal_says_how_long_and_takes_nothing() -> None:
    clock = Clock()
    found, rates = limiter(clock), RateDocument(reads_per_s=2.0)
    assert admitted(found, rates, 9) == 2
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            found.admit(1, rates, READS, 0)
        assert refused.value.retry_after_s == pytest.approx(0.5)
    assert found.n_refused == {READS: 10, WRITES: 0, BYTES: 0}


def test_what_a_request_cost_beyond_its_admission_delays_the_next() -> None:
    clock = Clock()
    found, rates = limiter(clock), RateDocument(writes_per_s=10.0)
    found.admit(1, rates, WRITES, 0)
    found.charge(1, WRITES, 99)
    with pytest.raises(RateLimited) as refused:
        found.admit(1, rates, WRITES, 0)
    assert refused.value.retry_after_s == pytest.approx(9.1)
    assert admitted(found, rates, 1, READS) == 1, "reads have no limit"


def test_bytes_are_taken_as_announced_and_refused_whatever_the_request_is() -> None:
    clock = Clock()
    found, rates = limiter(clock), RateDocument(bytes_per_s=100.0)
    found.admit(1, rates, WRITES, 1_000)
    for kind in (READS, WRITES):
        with pytest.raises(RateLimited) as refused:
            found.admit(1, rates, kind, 0)
        assert refused.value.retry_after_s == pytest.approx(9.01)
    assert found.n_refused[BYTES] == 2


def test_a_tenant_uses_up_its_own_tokens_only() -> None:
    found, rates = limiter(Clock()), RateDocument(reads_per_s=3.0)
    assert [admitted(found, rates, 9, tenant=tenant) for tenant in (1, 2)] == [3, 3]


def test_a_changed_rate_holds_at_once_and_keeps_the_debt() -> None:
    clock = Clock()
    found = limiter(clock)
    found.admit(1, RateDocument(reads_per_s=1.0), READS, 0)
    found.charge(1, READS, 100)
    with pytest.raises(RateLimited) as refused:
        found.admit(1, RateDocument(reads_per_s=50.0), READS, 0)
    assert refused.value.retry_after_s == pytest.approx(101 / 50)
    assert admitted(found, RateDocument(writes_per_s=50.0), 1) == 1


def test_tenants_beyond_the_bound_are_forgotten_the_least_recent_first() -> None:
    found, rates = limiter(Clock(), max_tenants=2), RateDocument(reads_per_s=1.0)
    for tenant in (1, 2, 1, 3):
        admitted(found, rates, 1, tenant=tenant)
    assert len(found) == 2
    assert [admitted(found, rates, 1, tenant=tenant) for tenant in (1, 2)] == [0, 1]


def test_a_rate_of_the_settings_is_one_only_if_it_is_positive() -> None:
    assert [positive(rate) for rate in (5.0, 0.0, -1.0, math.inf, math.nan)] == [5.0, None, None, None, None]
