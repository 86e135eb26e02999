"""What tenants have asked for since it was last stored: counts per tenant and month (UTC, as the number yyyymm).

Thread-safe. What was taken to be stored stays visible until it is settled or given back.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

MONTHS_KEPT = 24

Key = tuple[int, int]
"""(tenant id, month)."""


@dataclass(slots=True)
class Counts:
    """Requests, their queries and points, their bytes, and how many of them were refused for being too many."""

    requests: int = 0
    reads: int = 0
    writes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sum of both."""
        return Counts(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def month_of(now_s: float) -> int:
    """The month, yyyymm, of a time in epoch seconds."""
    moment = time.gmtime(now_s)
    return moment.tm_year * 100 + moment.tm_mon


def months_before(month: int, n: int) -> int:
    """The month `n` months earlier."""
    number = month // 100 * 12 + month % 100 - 1 - n
    return number // 12 * 100 + number % 12 + 1


class UsageCounts:
    """Counts in RAM, until `take` hands them to whoever stores them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._counts: dict[Key, Counts] = {}
        self._taken: dict[Key, Counts] = {}
        self._months: set[int] = set()
        self._month, self._month_until_s = 0, 0.0

    def add(self, tenant_id: int, n_reads: int, n_writes: int, n_bytes_in: int, n_bytes_out: int, refused: int) -> None:
        """Count one request."""
        with self._lock:
            key = (tenant_id, self._current_month())
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = Counts()
                self._months.add(key[1])
            counts.requests += 1
            counts.reads += n_reads
            counts.writes += n_writes
            counts.bytes_in += n_bytes_in
            counts.bytes_out += n_bytes_out
            counts.refused += refused

    def pending(self, tenant_id: int) -> dict[int, Counts]:
        """A tenant's counts that are not stored yet, by month.

        Looked up by month: a walk over all tenants' counts would hold up the event loop, which waits for the lock.
        """
        with self._lock:
            found: dict[int, Counts] = {}
            for month in self._months:
                for source in (self._taken, self._counts):
                    counts = source.get((tenant_id, month))
                    if counts is not None:
                        found[month] = found.get(month, Counts()).plus(counts)
            return found

    def take(self) -> dict[Key, Counts]:
        """What there is to store; `settle` what was, then `give_back`. For one caller at a time."""
        with self._lock:
            self._taken, self._counts = self._counts, {}
            return dict(self._taken)

    @contextmanager
    def consistent(self, timeout_s: float = -1.0) -> Iterator[None]:
        """Within it what is stored and what is pending do not overlap: around storing with settling, around looking.

        Who looks names a `timeout_s`, and goes on without after that: a slow disk must not hold up readers.
        """
        is_held = self._storing.acquire(timeout=timeout_s)
        try:
            yield
        finally:
            if is_held:
                self._storing.release()

    def settle(self, stored: Iterable[Key]) -> None:
        """These entries of what was taken are stored."""
        with self._lock:
            for key in stored:
                self._taken.pop(key, None)

    def give_back(self) -> None:
        """What was taken and not settled goes with the next."""
        with self._lock:
            for key, counts in self._taken.items():
                self._counts[key] = self._counts.get(key, Counts()).plus(counts)
            self._taken = {}

    def _current_month(self) -> int:
        """The month now; computed anew every minute of the clock, since all time zones' months begin with one."""
        now_s = self._clock()
        if not self._month_until_s - 60.0 <= now_s < self._month_until_s:
            self._month = month_of(now_s)
            self._month_until_s = now_s // 60.0 * 60.0 + 60.0
        return self._month
