"""Request figures by collection and by tenant, of a bounded number of series.

Collections: those that exist, at most as many as the server may have. Tenants: the ones that ask most have a line of
their own, the rest share the line `(other)`. A tenant that comes to have its own line begins there at 0, one that loses
it is added to that; so no counter ever goes back. Counted and read on the event loop only.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator

Sample = tuple[dict[str, str], float]

COLLECTION_BUCKETS_S = (0.001, 0.01, 0.1, 1.0)
"""Few, because each collection has all of them."""

OTHER = "(other)"
"""No tenant can have this name."""
REVIEW_REQUESTS = 10_000
"""After so many requests it is looked anew who asks most."""
_CANDIDATES_PER_LINE = 8


class _Collection:
    __slots__ = ("buckets", "statuses", "sum_s")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(COLLECTION_BUCKETS_S) + 1)
        self.sum_s = 0.0


class CollectionFigures:
    """Requests and latency by collection; `existing` names the collections that there are."""

    def __init__(self, max_collections: int, existing: Callable[[], Collection[str]]) -> None:
        self._max_collections = max_collections
        self._existing = existing
        self._collections: dict[str, _Collection] = {}

    def observe(self, name: str, status_class: int, duration_s: float) -> None:
        """Count a request to a collection that exists; `status_class` is the first digit of its status."""
        found = self._collections.get(name)
        if found is None:
            if len(self._collections) >= self._max_collections:
                self._forget_deleted()
            found = self._collections[name] = _Collection()
        found.statuses[status_class] = found.statuses.get(status_class, 0) + 1
        found.buckets[bisect_left(COLLECTION_BUCKETS_S, duration_s)] += 1
        found.sum_s += duration_s

    def requests(self) -> list[Sample]:
        """Requests by collection and class of status."""
        self._forget_deleted()
        return [
            ({"collection": name, "status": f"{status}xx"}, n)
            for name, found in self._collections.items()
            for status, n in found.statuses.items()
        ]

    def latencies(self) -> Iterator[tuple[str, list[int], float]]:
        """Name, requests per bucket (the last one is all longer ones), and the sum of seconds."""
        return ((name, found.buckets, found.sum_s) for name, found in self._collections.items())

    def _forget_deleted(self) -> None:
        existing = self._existing()
        self._collections = {name: found for name, found in self._collections.items() if name in existing}


class _Tenant:
    __slots__ = ("n_recent", "n_refused", "n_requests", "seconds")

    def __init__(self) -> None:
        self.n_requests = self.n_refused = self.n_recent = 0
        self.seconds = 0.0

    def count(self, duration_s: float, is_refused: bool) -> None:
        self.n_recent += 1
        self.n_requests += 1
        self.n_refused += is_refused
        self.seconds += duration_s


class TenantFigures:
    """Requests, refusals and seconds of the `n_lines` tenants that ask most lately, by id, and of all others as one."""

    def __init__(self, n_lines: int, review_requests: int = REVIEW_REQUESTS) -> None:
        self._n_lines = max(0, n_lines)
        self._review_requests = review_requests
        self._lines: dict[int, _Tenant] = {}
        self._other = _Tenant()
        self._candidates: dict[int, int] = {}
        self._n_until_review = review_requests

    def observe(self, tenant_id: int, duration_s: float, is_refused: bool) -> None:
        """Count a request of a tenant that exists."""
        line = self._lines.get(tenant_id)
        if line is None:
            line = self._line_for(tenant_id)
        line.count(duration_s, is_refused)
        self._n_until_review -= 1
        if self._n_until_review <= 0:
            self._review()

    def samples(self, name_of: Callable[[int], str]) -> dict[str, tuple[int, int, float]]:
        """Requests, refusals and seconds by name; a tenant that is gone counts among the others."""
        for tenant_id in [tenant_id for tenant_id in self._lines if not name_of(tenant_id)]:
            self._give_up(tenant_id)
        lines = {name_of(tenant_id): line for tenant_id, line in self._lines.items()} | {OTHER: self._other}
        return {name: (line.n_requests, line.n_refused, line.seconds) for name, line in lines.items()}

    def _line_for(self, tenant_id: int) -> _Tenant:
        if len(self._lines) < self._n_lines:
            line = self._lines[tenant_id] = _Tenant()
            return line
        if tenant_id in self._candidates or len(self._candidates) < _CANDIDATES_PER_LINE * self._n_lines:
            self._candidates[tenant_id] = self._candidates.get(tenant_id, 0) + 1
        return self._other

    def _review(self) -> None:
        """Give the lines to whoever asked most since the last time."""
        self._n_until_review = self._review_requests
        quiet = sorted(self._lines, key=lambda tenant_id: self._lines[tenant_id].n_recent)
        loud = sorted(self._candidates, key=lambda tenant_id: -self._candidates[tenant_id])
        for old, new in zip(quiet, loud, strict=False):
            if self._candidates[new] <= self._lines[old].n_recent:
                break
            self._give_up(old)
            self._lines[new] = _Tenant()
        for line in self._lines.values():
            line.n_recent = 0
        self._candidates = {}

    def _give_up(self, tenant_id: int) -> None:
        line = self._lines.pop(tenant_id)
        self._other.n_requests += line.n_requests
        self._other.n_refused += line.n_refused
        self._other.seconds += line.seconds
