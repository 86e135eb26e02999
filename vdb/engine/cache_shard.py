"""An open cache: its environment, its write queue, and what of it is in memory."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import msgspec

from vdb.cache.eviction import Eviction, Incoming
from vdb.cache.labels import Label
from vdb.cache.learned import Learned
from vdb.cache.leases import Leases
from vdb.cache.lookups import Lookups
from vdb.cache.memory import CacheMemory, NewEntry, NewPartition
from vdb.cache.policy import Policies, Policy
from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.errors import CorruptData
from vdb.storage.cache_codec import CacheEntry
from vdb.storage.cache_entries import put_entry, remove_damaged, remove_entry
from vdb.storage.cache_labels import put_label, read_policies, trim_labels
from vdb.storage.catalog import CacheDocument
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_SEQUENCE
from vdb.storage.meta import read_sequence, write_number

KEPT_LABELS = 4_096
"""Labels kept of a tenant's category: the last ones."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A label that a commit has stored."""

    tenant: int
    category: str
    label: Label


class CacheGroup(Group):
    """Writes of one commit to a cache: numbers them and collects what memory must learn, in order."""

    def __init__(self, txn: Transaction, shard: "CacheShard") -> None:
        super().__init__(txn)
        self._shard = shard
        self.sequence = read_sequence(txn)
        self.changes: list[NewEntry | NewLabel | Place] = []

    def next_sequence(self) -> int:
        """The sequence of the request that is about to write."""
        self.sequence += 1
        return self.sequence

    def add(self, new: NewEntry, vector: bytes | None, answer: bytes) -> None:
        """Store an entry, in the place of one with its exact key."""
        entry = new.entry
        for gone in put_entry(self.txn, entry, vector, answer, new.group):
            self.changes.append((gone.tenant, gone.number))
        self.changes.append(new)

    def remove(self, place: Place) -> CacheEntry | None:
        """Remove an entry; None where there is none. A damaged one goes as well as it can."""
        try:
            gone = remove_entry(self.txn, *place)
        except CorruptData:
            remove_damaged(self.txn, *place)
            gone = None
        self.changes.append(place)
        return gone

    def note_label(self, tenant: int, category: str, label: Label) -> None:
        """Store a label; the oldest beyond those kept go."""
        number = put_label(self.txn, tenant, category, msgspec.json.encode(label))
        if number % 64 == 0:
            trim_labels(self.txn, tenant, category, KEPT_LABELS)
        self.changes.append(NewLabel(tenant, category, label))

    def mark(self) -> Any:
        return super().mark(), self.sequence, len(self.changes)

    def restore(self, mark: Any) -> None:
        inner, self.sequence, n_changes = mark
        del self.changes[n_changes:]
        super().restore(inner)

    def close(self) -> None:
        write_number(self.txn, META_SEQUENCE, self.sequence)

    def publish(self) -> None:
        self._shard.publish(self.changes)
        super().publish()


class CacheShard:
    """Thread-safe; `vdb.engine.caches` opens and closes it. Of `document` only what never changes may be used."""

    def __init__(
        self, document: CacheDocument, env: Environment, writers: Executor, caps: QueueCaps, new_partition: NewPartition
    ) -> None:
        self.document = document
        self.env = env
        self.leases = Leases()
        self.lookups = Lookups()
        self._new_partition = new_partition
        self._load()
        self.queue: CommitQueue[CacheGroup] = CommitQueue(env, self._open_group, writers, caps, self._load)

    @property
    def id(self) -> int:
        return self.document.id

    def _open_group(self, txn: Transaction) -> CacheGroup:
        return CacheGroup(txn, self)

    def _load(self) -> None:
        """All of memory from the store: at the start, and after a commit that failed, which may have reached it."""
        memory = CacheMemory(self._new_partition)
        with self.env.read() as txn:
            policies = Policies({name: msgspec.json.decode(value, type=Policy) for name, value in read_policies(txn).items()})
            memory.load(txn)
            learned = Learned(policies)
            learned.load(txn)
        self.policies, self.memory, self.learned = policies, memory, learned

    def set_policies(self, policies: Policies) -> None:
        """Policies have changed: what was learned goes on under the new budgets."""
        self.policies = policies
        self.learned.set_policies(policies)

    def publish(self, changes: list[NewEntry | NewLabel | Place]) -> None:
        """Bring memory up to a commit."""
        for change in changes:
            if isinstance(change, NewEntry):
                self.memory.add(change)
                self.learned.entry_added(change.entry, change.vector)
            elif isinstance(change, NewLabel):
                self.learned.learn(change.tenant, change.category, change.label)
            else:
                gone = self.memory.remove(change[1])
                if gone is not None:
                    self.learned.entry_removed(gone)

    def close(self) -> None:
        """Commit what is queued, then close the environment."""
        self.queue.close()
        self.env.fill_out()
        self.env.close()
