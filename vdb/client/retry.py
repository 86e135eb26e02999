"""Which failure may be tried again, and when: the policy only; transports sleep and send.

The server refuses with `RateLimited` (429) before it has read anything, so every call may be sent again; with
`Unavailable` (503) before it has done anything, so every call but a conditional one may. After a broken connection
nobody knows what was done: only calls that may be done twice are sent again. Such a failure carries `retry_after_s` 0
or what the answer said; a TransportError without it is final.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from vdb.errors import RateLimited, SequenceTimeout, TransportError, Unavailable, VdbError


class Repeat(Enum):
    """When a call may be sent again."""

    ALWAYS = "reads, and writes that may be done twice"
    IF_REFUSED = "only after the server said that nothing was done"
    NEVER = "conditional writes: only where a rate limit refused them"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently; `n_retries` 0 turns retries off."""

    n_retries: int = 4
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0


class Attempts:
    """One call's attempts within `timeout_s` seconds in all. Used by one thread; nothing to close."""

    def __init__(
        self,
        policy: RetryPolicy,
        repeat: Repeat,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy, self._repeat = policy, repeat
        self._clock, self._jitter = clock, jitter
        self._deadline = clock() + timeout_s
        self._n_failed = 0

    @property
    def remaining_s(self) -> float:
        return max(self._deadline - self._clock(), 0.001)

    def delay_after(self, exc: VdbError) -> float:
        """Seconds to wait before the next attempt; raises `exc` where there is to be none."""
        self._n_failed += 1
        if self._n_failed > self._policy.n_retries or not self._may_repeat(exc):
            raise exc
        delay_s = max(exc.retry_after_s or 0.0, self._backoff_s())
        if self._clock() + delay_s >= self._deadline:
            raise exc
        return delay_s

    def _may_repeat(self, exc: VdbError) -> bool:
        if isinstance(exc, RateLimited):
            return True
        if isinstance(exc, Unavailable):
            return self._repeat is not Repeat.NEVER and not isinstance(exc, SequenceTimeout)
        return isinstance(exc, TransportError) and exc.retry_after_s is not None and self._repeat is Repeat.ALWAYS

    def _backoff_s(self) -> float:
        ceiling: float = min(self._policy.first_delay_s * 2 ** (self._n_failed - 1), self._policy.max_delay_s)
        return ceiling * (0.5 + 0.5 * self._jitter())
