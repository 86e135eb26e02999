"""The ledger: what tenants with a quota own over all collections, checked inside the write that would exceed it.

Collections commit apart from each other, so a total cannot live in one transaction. The ledger holds, per tracked
tenant and collection, the committed usage (with its sequence) and the usage a running write proposes. It is derived:
the counts themselves are stored in each collection, in the transaction of the write.
"""

import threading
from dataclasses import dataclass, field

from vdb.errors import QuotaExceeded


@dataclass(slots=True)
class _Account:
    max_points: int | None
    max_bytes: int | None
    committed: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    proposed: dict[int, tuple[int, int]] = field(default_factory=dict)

    def totals(self, apart_from: int) -> tuple[int, int]:
        points = n_bytes = 0
        for collection in self.committed.keys() | self.proposed.keys():
            if collection != apart_from:
                used = self.proposed.get(collection) or self.committed[collection][1:]
                points += used[0]
                n_bytes += used[1]
        return points, n_bytes


class Ledger:
    """Totals of the tenants that have a quota. Thread-safe; holds nothing for tenants without one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[int, _Account] = {}

    def is_tracked(self, tenant_id: int) -> bool:
        return tenant_id in self._accounts

    def track(self, tenant_id: int, max_points: int | None, max_bytes: int | None) -> None:
        """Begin to follow a tenant (or change its caps); call `observe` for each collection afterwards."""
        with self._lock:
            account = self._accounts.setdefault(tenant_id, _Account(None, None))
            account.max_points, account.max_bytes = max_points, max_bytes

    def forget(self, tenant_id: int) -> None:
        """The tenant has no quota any more, or is gone."""
        with self._lock:
            self._accounts.pop(tenant_id, None)

    def forget_collection(self, collection: int) -> None:
        """A collection is gone, and with it what was owned there."""
        with self._lock:
            for account in self._accounts.values():
                account.committed.pop(collection, None)
                account.proposed.pop(collection, None)

    def observe(self, tenant_id: int, collection: int, sequence: int, points: int, n_bytes: int) -> None:
        """Committed usage at a sequence, read from the store; an older sequence changes nothing."""
        account = self._accounts.get(tenant_id)
        if account is None:
            return
        with self._lock:
            if account.committed.get(collection, (-1,))[0] <= sequence:
                account.committed[collection] = (sequence, points, n_bytes)

    def settle(self, tenant_id: int, collection: int, sequence: int, points: int, n_bytes: int) -> None:
        """The write that proposed is committed, with this usage at this sequence."""
        self.observe(tenant_id, collection, sequence, points, n_bytes)
        self.restore(tenant_id, collection, None)

    def propose(
        self, tenant_id: int, collection: int, before: tuple[int, int], after: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Raise QuotaExceeded when usage `after` (points, bytes) grows past a cap; else count it until it settles.

        Returns what an earlier request of the same commit proposed, for `restore`.
        """
        account = self._accounts.get(tenant_id)
        if account is None:
            return None
        with self._lock:
            points, n_bytes = account.totals(apart_from=collection)
            if account.max_points is not None and after[0] > before[0] and points + after[0] > account.max_points:
                raise QuotaExceeded(f"the tenant may own {account.max_points} points")
            if account.max_bytes is not None and after[1] > before[1] and n_bytes + after[1] > account.max_bytes:
                raise QuotaExceeded(f"the tenant may own {account.max_bytes} bytes")
            earlier = account.proposed.get(collection)
            account.proposed[collection] = after
            return earlier

    def restore(self, tenant_id: int, collection: int, proposal: tuple[int, int] | None) -> None:
        """The proposal is again what it was: a request was refused, or its commit settled or failed (None)."""
        account = self._accounts.get(tenant_id)
        if account is None:
            return
        with self._lock:
            if proposal is None:
                account.proposed.pop(collection, None)
            else:
                account.proposed[collection] = proposal
