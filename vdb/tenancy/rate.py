"""Rate limits: per tenant a token bucket each for reads (queries), writes (points) and bytes (of bodies and answers).

A bucket fills at its rate up to rate × `burst_s` tokens, one at least. A request is admitted while every bucket that it
draws on holds one token, and takes that one. What it really costs is known later, is taken then, and may leave the
bucket in debt: so nothing is refused half done, and whoever asked for much waits before asking again.

Tokens are counted when somebody asks; nothing runs in between. The clock is passed in, in seconds.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from vdb.errors import RateLimited
from vdb.storage.catalog import RateDocument

READS, WRITES, BYTES = "reads", "writes", "bytes"
MAX_TENANTS = 10_000
"""Tenants with a limit whose buckets are kept: the least recently admitted one is forgotten, its buckets full again."""


class Bucket:
    """One token bucket. Not locked."""

    __slots__ = ("_at_s", "_capacity", "_level", "_rate")

    def __init__(self, rate: float, capacity: float, now_s: float) -> None:
        self._rate, self._capacity = rate, capacity
        self._level, self._at_s = capacity, now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until it holds a token: 0 where it does now."""
        if now_s > self._at_s:
            self._level = min(self._capacity, self._level + (now_s - self._at_s) * self._rate)
            self._at_s = now_s
        return 0.0 if self._level >= 1.0 else (1.0 - self._level) / self._rate

    def take(self, n: float) -> None:
        """Take `n` tokens, into debt if need be."""
        self._level -= n

    def change(self, rate: float, capacity: float, now_s: float) -> None:
        """Other figures from now on; a debt stays one."""
        self.wait_s(now_s)
        self._rate, self._capacity = rate, capacity
        self._level = min(self._level, capacity)


class _Account:
    """The buckets of one tenant, by kind; kinds without a limit have none."""

    __slots__ = ("buckets", "rates")

    def __init__(self) -> None:
        self.rates: RateDocument | None = None
        self.buckets: dict[str, Bucket] = {}

    def follow(self, rates: RateDocument, burst_s: float, now_s: float) -> None:
        """Use these rates."""
        self.rates = rates
        for kind, rate in ((READS, rates.reads_per_s), (WRITES, rates.writes_per_s), (BYTES, rates.bytes_per_s)):
            if rate is None:
                self.buckets.pop(kind, None)
                continue
            capacity = max(1.0, rate * burst_s)
            known = self.buckets.get(kind)
            if known is None:
                self.buckets[kind] = Bucket(rate, capacity, now_s)
            else:
                known.change(rate, capacity, now_s)


class RateLimiter:
    """The buckets of all tenants that have a limit. Belongs to one thread; holds nothing for tenants without one."""

    def __init__(
        self, burst_s: float, clock: Callable[[], float] = time.monotonic, max_tenants: int = MAX_TENANTS
    ) -> None:
        """`burst_s` holds where a tenant's rates name none."""
        self._burst_s = burst_s
        self._clock = clock
        self._max_tenants = max_tenants
        self._accounts: OrderedDict[int, _Account] = OrderedDict()
        self.n_refused = {READS: 0, WRITES: 0, BYTES: 0}

    def __len__(self) -> int:
        return len(self._accounts)

    def admit(self, tenant_id: int, rates: RateDocument, kind: str, n_bytes: int) -> None:
        """Take a token of `kind`, and the bytes of the body as announced; raises RateLimited and takes nothing."""
        now_s = self._clock()
        account = self._account(tenant_id, rates, now_s)
        waits = [
            (account.buckets[needed].wait_s(now_s), needed) for needed in (kind, BYTES) if needed in account.buckets
        ]
        wait_s, lacking = max(waits, default=(0.0, kind))
        if wait_s > 0.0:
            self.n_refused[lacking] += 1
            raise RateLimited(f"the tenant's rate of {lacking} is used up", retry_after_s=wait_s)
        self._take(account, kind, 1)
        self._take(account, BYTES, n_bytes)

    def charge(self, tenant_id: int, kind: str, n: int) -> None:
        """Take what a request cost beyond what was taken when it came in."""
        account = self._accounts.get(tenant_id)
        if account is not None and n > 0:
            self._take(account, kind, n)

    def forget(self, tenant_id: int) -> None:
        """The tenant has no limit any more."""
        self._accounts.pop(tenant_id, None)

    def _account(self, tenant_id: int, rates: RateDocument, now_s: float) -> _Account:
        account = self._accounts.get(tenant_id)
        if account is None:
            account = self._accounts[tenant_id] = _Account()
            if len(self._accounts) > self._max_tenants:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(tenant_id)
        if account.rates is not rates:
            if account.rates != rates:
                account.follow(rates, self._burst_s if rates.burst_s is None else rates.burst_s, now_s)
            account.rates = rates
        return account

    @staticmethod
    def _take(account: _Account, kind: str, n: float) -> None:
        bucket = account.buckets.get(kind)
        if bucket is not None:
            bucket.take(n)


def positive(rate: float) -> float | None:
    """A rate of the settings, where 0 (or anything that is no rate) means none."""
    return rate if rate > 0.0 and math.isfinite(rate) else None
