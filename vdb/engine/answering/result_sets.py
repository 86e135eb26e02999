"""What searches of answers found, kept for as long as a search made now would find the same.

A result set is of one tenant and one search. It holds while nothing that the tenant may see was written since
(`vdb.engine.touched`), no point of the collection has expired since, and that is as it was (its text index, its
fusion, its tenants: any change of its document ends it). Of what an index finds approximately, it is what was found
then.

All of them share a cap of bytes. Beyond it whoever holds most gives way first, the least recently used first, so that
no tenant keeps another from an equal share.
"""

import heapq
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from vdb.engine.shard import epoch_ms
from vdb.engine.touched import Touched
from vdb.protocol.answers import Hit, SearchAnswer
from vdb.protocol.requests import Search
from vdb.storage.catalog import CollectionDocument

__all__ = ["ENTRY_BYTES", "HIT_BYTES", "LEAST_FREED", "Key", "ResultSets"]

ENTRY_BYTES = 1_000
"""What a result set takes beside its hits."""
HIT_BYTES = 1_200
"""What a hit takes beside its payload."""
LEAST_FREED = 16
"""A share, one in so many, of the cap is freed at once, so that looking for who holds most is rare."""

Key = tuple[int, bytes]
"""(collection, digest of the search)."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """`expires_ms` is when a point expires that may have a part in it, 0 for never."""

    answer: SearchAnswer
    document: CollectionDocument
    expires_ms: int
    n_bytes: int


class ResultSets:
    """Any thread may use it; nothing to close. With `max_bytes` 0 nothing is kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._of_tenant: dict[int, OrderedDict[Key, _Kept]] = {}
        self._bytes_of: dict[int, int] = {}
        self.n_bytes = self.n_kept = self.n_hits = self.n_misses = self.n_evicted = 0

    def key_of(self, collection: CollectionDocument, request: Search) -> Key | None:
        """What a search is kept under; None for one that is not to be kept."""
        if not self._max_bytes or request.explain or request.vectors is not UNSET:
            return None
        plain = replace(request, vector=UNSET, min_sequence=0, timeout_s=0.0)
        digest = blake2b(msgspec.json.encode(plain), digest_size=16)
        if not isinstance(request.vector, UnsetType):
            is_text = isinstance(request.vector, str)
            vector = request.vector.encode() if is_text else np.asarray(request.vector, "<f4").tobytes()  # type: ignore[union-attr]
            digest.update(b"text" if is_text else b"numbers")
            digest.update(vector)
        return collection.id, digest.digest()

    def find(
        self, tenant_id: int, key: Key, document: CollectionDocument, touched: Touched, min_sequence: int
    ) -> SearchAnswer | None:
        """What is kept, if it still holds; what does not is forgotten. Do not change it."""
        with self._lock:
            kept = self._of_tenant.get(tenant_id, _NOTHING).get(key)
            if kept is None:
                self.n_misses += 1
                return None
        sequence = kept.answer.sequence
        holds = (
            (kept.document is document or kept.document == document)
            and touched.is_untouched(tenant_id, sequence)
            and not 0 < kept.expires_ms <= epoch_ms()
        )
        with self._lock:
            of_tenant = self._of_tenant.get(tenant_id, _NOTHING)
            if not holds:
                if of_tenant.get(key) is kept:
                    self._drop(tenant_id, key)
            elif sequence >= min_sequence:
                if of_tenant.get(key) is kept:
                    of_tenant.move_to_end(key)
                self.n_hits += 1
                return kept.answer
            self.n_misses += 1
            return None

    def keep(
        self, tenant_id: int, key: Key, document: CollectionDocument, answer: SearchAnswer, expires_ms: int
    ) -> None:
        """Keep what a search found in `document`, of whose points one expires at `expires_ms`, 0 for never."""
        hits = answer.hits if isinstance(answer.hits, list) else []
        n_bytes = ENTRY_BYTES + sum(HIT_BYTES + _payload_bytes(hit) for hit in hits)
        if n_bytes > self._max_bytes // LEAST_FREED:
            return
        kept = _Kept(answer, document, expires_ms, n_bytes)
        with self._lock:
            if key in self._of_tenant.get(tenant_id, _NOTHING):
                self._drop(tenant_id, key)
            self._of_tenant.setdefault(tenant_id, OrderedDict())[key] = kept
            self._bytes_of[tenant_id] = self._bytes_of.get(tenant_id, 0) + n_bytes
            self.n_bytes += n_bytes
            self.n_kept += 1
            if self.n_bytes > self._max_bytes:
                self._make_room()

    def _make_room(self) -> None:
        """Whoever holds most gives way, until there is room for a while."""
        wanted = self._max_bytes - self._max_bytes // LEAST_FREED
        largest = [(-n_bytes, tenant_id) for tenant_id, n_bytes in self._bytes_of.items()]
        heapq.heapify(largest)
        while self.n_bytes > wanted:
            _, tenant_id = heapq.heappop(largest)
            self._drop(tenant_id, next(iter(self._of_tenant[tenant_id])))
            self.n_evicted += 1
            if tenant_id in self._bytes_of:
                heapq.heappush(largest, (-self._bytes_of[tenant_id], tenant_id))

    def _drop(self, tenant_id: int, key: Key) -> None:
        of_tenant = self._of_tenant[tenant_id]
        n_bytes = of_tenant.pop(key).n_bytes
        self.n_bytes -= n_bytes
        self.n_kept -= 1
        self._bytes_of[tenant_id] -= n_bytes
        if not of_tenant:
            del self._of_tenant[tenant_id], self._bytes_of[tenant_id]


_NOTHING: OrderedDict[Key, _Kept] = OrderedDict()


def _payload_bytes(hit: Hit) -> int:
    return len(bytes(hit.payload)) if isinstance(hit.payload, Raw) else 0
