"""What an open cache keeps in memory: which entries there are, where they lie, what was learned. All of it is derived
from the store, and changed after each commit by the one thread that made it.

Readers take what they find without a lock and read the entry itself in their transaction: what is gone there is gone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vdb.cache.counts import Counts
from vdb.cache.partition import Partition
from vdb.storage.cache_codec import CacheEntry, size_of
from vdb.storage.cache_entries import iterate_loaded
from vdb.storage.env import Transaction

Place = tuple[int, int]
"""(tenant, number) of an entry."""

NewPartition = Callable[[], Partition]

RESIDENT_BYTES = 700
"""What an entry takes in memory beside its vector, about."""


@dataclass(slots=True, eq=False)
class Resident:
    """An entry as lookups know it.

    `collections`: ids of those that it was made from. `checked_at`: collection id → a sequence at which its sources and
    its retrieval were found sound. `sources_expire_ms`: the first expiry among its sources then, 0 for none.
    """

    tenant: int
    number: int
    partition: bytes
    exact: bytes
    category: str
    created_at_ms: int
    expires_at_ms: int
    n_bytes: int
    has_vector: bool
    group: int
    rejected: int = 0
    embedding_version: str = ""
    is_category_given: bool = True
    collections: tuple[int, ...] = ()
    checked_at: dict[int, int] = field(default_factory=dict)
    sources_expire_ms: int = 0

    def is_expired(self, now_ms: int) -> bool:
        return 0 < self.expires_at_ms <= now_ms


@dataclass(slots=True)
class NewEntry:
    """An entry that a commit has stored; `vector` float32 (d,) of unit length, None for one found by its text only."""

    entry: CacheEntry
    vector: NDArray[np.float32] | None
    group: int
    rejected: int = 0
    checked_at: dict[int, int] = field(default_factory=dict)
    sources_expire_ms: int = 0


class CacheMemory:
    """One writer at a time, any number of readers."""

    def __init__(self, new_partition: NewPartition) -> None:
        self._new_partition = new_partition
        self.residents: dict[int, Resident] = {}
        self._exact: dict[tuple[int, bytes], int] = {}
        self._partitions: dict[tuple[int, bytes], Partition] = {}
        self._made_from: dict[int, set[int]] = {}
        self.counts: dict[tuple[int, str], Counts] = {}
        self.n_bytes = 0

    def load(self, txn: Transaction) -> None:
        """Everything that is stored; whoever calls it has an empty memory."""
        for entry, vector, group, rejected in iterate_loaded(txn):
            self.add(NewEntry(entry, None if vector is None else np.frombuffer(vector, "<f4"), group, rejected))

    def add(self, new: NewEntry) -> None:
        """An entry was stored."""
        entry = new.entry
        resident = Resident(
            tenant=entry.tenant,
            number=entry.number,
            partition=entry.partition,
            exact=entry.exact,
            category=entry.category,
            created_at_ms=entry.created_at_ms,
            expires_at_ms=entry.expires_at_ms,
            n_bytes=size_of(entry),
            has_vector=new.vector is not None,
            group=new.group,
            rejected=new.rejected,
            embedding_version=entry.embedding_version,
            is_category_given=entry.is_category_given,
            collections=tuple({collection for collection, _, _ in entry.dependencies}),
            checked_at=new.checked_at,
            sources_expire_ms=new.sources_expire_ms,
        )
        self.residents[entry.number] = resident
        self._exact[entry.tenant, entry.exact] = entry.number
        for collection in resident.collections:
            self._made_from.setdefault(collection, set()).add(entry.number)
        self.n_bytes += resident.n_bytes
        if new.vector is not None:
            place = entry.tenant, entry.partition
            partition = self._partitions.get(place)
            if partition is None:
                partition = self._partitions[place] = self._new_partition()
            partition.add(entry.number, new.vector)

    def remove(self, number: int) -> Resident | None:
        """An entry was removed; None where it was not there."""
        resident = self.residents.pop(number, None)
        if resident is None:
            return None
        self.n_bytes -= resident.n_bytes
        if self._exact.get((resident.tenant, resident.exact)) == number:
            del self._exact[resident.tenant, resident.exact]
        for collection in resident.collections:
            numbers = self._made_from[collection]
            numbers.discard(number)
            if not numbers:
                del self._made_from[collection]
        place = resident.tenant, resident.partition
        partition = self._partitions.get(place)
        if partition is not None and resident.has_vector:
            partition.remove(number)
            if not partition.n_rows:
                self._partitions.pop(place).close()
        return resident

    def regroup(self, number: int, group: int, rejected: int) -> None:
        """An entry is in another answer group."""
        resident = self.residents.get(number)
        if resident is not None:
            resident.group, resident.rejected = group, rejected

    def find_exact(self, tenant: int, exact: bytes) -> Resident | None:
        """The tenant's entry with that exact key."""
        number = self._exact.get((tenant, exact))
        return None if number is None else self.residents.get(number)

    def nearest(
        self, tenant: int, partition: bytes, vector: NDArray[np.float32], k: int
    ) -> list[tuple[Resident, float]]:
        """The `k` entries of the partition nearest to `vector` float32 (d,) of unit length, with their similarities."""
        found = self._partitions.get((tenant, partition))
        if found is None:
            return []
        numbers, similarities = found.search(vector, k)
        near = zip(map(self.residents.get, numbers.tolist()), similarities.tolist(), strict=True)
        return [(resident, similarity) for resident, similarity in near if resident is not None]

    def vector_of(self, resident: Resident) -> NDArray[np.float32] | None:
        """The vector of an entry, float32 (d,) of unit length; None where it has none."""
        partition = self._partitions.get((resident.tenant, resident.partition))
        return None if partition is None else partition.vector_of(resident.number)

    def counts_of(self, tenant: int, category: str) -> Counts:
        """The counters of a tenant's category, made where there are none."""
        found = self.counts.get((tenant, category))
        return found if found is not None else self.counts.setdefault((tenant, category), Counts())

    def collections(self) -> list[int]:
        """Ids of the collections that entries were made from."""
        return list(self._made_from)

    def of_collection(self, collection: int) -> list[Resident]:
        """The entries made from a collection, at this moment."""
        numbers = self._made_from.get(collection, set()).copy()
        return [resident for resident in map(self.residents.get, numbers) if resident is not None]

    def forget_tenant(self, tenant: int) -> None:
        """Counters of a tenant that is gone; its entries went one by one."""
        for place in [place for place in list(self.counts) if place[0] == tenant]:
            del self.counts[place]

    def close(self) -> None:
        """End what partitions do beside."""
        for partition in self._partitions.values():
            partition.close()

    @property
    def nbytes(self) -> int:
        """Bytes in memory, about."""
        return RESIDENT_BYTES * len(self.residents) + sum(found.nbytes for found in list(self._partitions.values()))
