"""What tenants ask of a server, from a request's head to its answer: refused in time, charged, counted.

Only a server meters: `vdb.open` runs its engine's operations without. Requests that name no tenant, or one that does
not exist, are neither limited nor counted; they are answered as if there were no limits. Belongs to one thread.
"""

import time
from collections.abc import Callable

from msgspec import UNSET

from vdb.engine.services import Services
from vdb.engine.tenants import default_rates
from vdb.protocol.columns import SearchHead
from vdb.protocol.document_requests import PutDocument, PutDocuments
from vdb.protocol.operations import Operation
from vdb.protocol.requests import Request, Search
from vdb.tenancy.rate import BYTES, READS, WRITES, RateLimiter
from vdb.types import Caller

_WRITES = ("write", "remove")
_MANAGEMENT = "admin"
"""Access of the operations that are not metered: what an admin does is not the tenant's doing."""


class Meter:
    """Rate limits and usage of one server's requests: `admit`, then `settle` once it is decoded, then `finish`."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = services.catalog
        self._usage = services.usage
        self._default = default_rates(services.settings)
        self._limiter = RateLimiter(services.settings.tenant_burst_s, clock)

    @property
    def n_refused(self) -> dict[str, int]:
        """Requests refused so far, by the kind of rate that was used up."""
        return self._limiter.n_refused

    def admit(self, caller: Caller, operation: Operation, n_bytes: int) -> None:
        """Refuse a request before its body of `n_bytes` is read; raises RateLimited, and then nothing was taken."""
        tenant_id = caller.tenant_id
        if tenant_id is None or operation.access == _MANAGEMENT:
            return
        document = self._catalog.tenant_by_id(tenant_id)
        rates = self._default if document is None or document.rate is None else document.rate
        if rates is None:
            self._limiter.forget(tenant_id)
        else:
            self._limiter.admit(tenant_id, rates, _kind_of(operation), n_bytes)

    def settle(self, caller: Caller, operation: Operation, request: Request) -> int:
        """Charge what the request holds beyond the one unit it was admitted for; how many queries or points it is."""
        n = _n_points(request) if operation.access in _WRITES else _n_queries(request)
        if n > 1 and caller.tenant_id is not None:
            self._limiter.charge(caller.tenant_id, _kind_of(operation), n - 1)
        return n

    def finish(
        self, caller: Caller, operation: Operation, n_units: int, n_bytes_in: int, n_bytes_out: int, n_uncharged: int
    ) -> None:
        """Count an answered request; `n_uncharged` of its bytes were not charged when it was admitted."""
        tenant_id = caller.tenant_id
        if tenant_id is None or operation.access == _MANAGEMENT:
            return
        self._limiter.charge(tenant_id, BYTES, n_uncharged)
        is_write = operation.access in _WRITES
        self._usage.add(tenant_id, 0 if is_write else n_units, n_units if is_write else 0, n_bytes_in, n_bytes_out, 0)

    def refuse(self, caller: Caller, operation: Operation) -> None:
        """Count a request that was refused because there were too many."""
        if caller.tenant_id is not None and operation.access != _MANAGEMENT:
            self._usage.add(caller.tenant_id, 0, 0, 0, 0, 1)


def _kind_of(operation: Operation) -> str:
    return WRITES if operation.access in _WRITES else READS


def _n_chunks(document: PutDocument) -> int:
    """About how many chunks a document comes to, before it is read: those given, or one per KiB."""
    if isinstance(document.chunks, list):
        return max(1, len(document.chunks))
    return 1 + sum(len(source) >> 10 for source in (document.text, document.data) if isinstance(source, str))


def _n_queries(request: Request) -> int:
    if isinstance(request, Search | SearchHead) and isinstance(request.texts, list):
        return max(1, len(request.texts))
    if isinstance(request, Search):
        return len(request.vectors) if isinstance(request.vectors, list) else 1
    if isinstance(request, SearchHead) and request.n_queries is not UNSET:
        return max(1, int(request.n_queries))
    return 1


def _n_points(request: Request) -> int:
    """Points that a write names; a delete by filter counts as one, it is a job. A document counts by its size."""
    if isinstance(request, PutDocuments):
        return sum(map(_n_chunks, request.documents))
    for column in ("points", "ids"):
        named = getattr(request, column, None)
        if isinstance(named, list):
            return len(named)
    return 1
