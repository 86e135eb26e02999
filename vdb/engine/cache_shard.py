"""An open cache: its environment, its write queue, and what of it is in memory."""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from vdb.cache.candidates import Indexes
from vdb.cache.counts import Kept
from vdb.cache.eviction import Admission, Bounds, Eviction, Incoming, Quota
from vdb.cache.groups import Membership
from vdb.cache.labels import WINDOW, Label
from vdb.cache.learned import Learned
from vdb.cache.leases import Leases
from vdb.cache.lookups import Lookups
from vdb.cache.memory import CacheMemory, NewEntry
from vdb.cache.partition import Partition
from vdb.cache.policy import UNKNOWN, Policies, Policy
from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.errors import CorruptData, InvalidArgument
from vdb.storage.cache_codec import CacheEntry, size_of
from vdb.storage.cache_entries import find_exact, put_entry, put_group, remove_damaged, remove_entry
from vdb.storage.cache_labels import iterate_statistics, put_label, read_policies, trim_labels
from vdb.storage.catalog import CacheDocument
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_SEQUENCE
from vdb.storage.meta import read_sequence, write_number

logger = logging.getLogger(__name__)

Place = tuple[int, int]
CategoryPlace = tuple[int, str]
"""(tenant, category)"""


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A label that a commit has stored."""

    tenant: int
    category: str
    label: Label


def _kept(txn: Transaction) -> dict[tuple[int, str], Kept]:
    """(tenant, category) → what was stored of it last; what cannot be read begins anew."""
    found = {}
    for tenant, category, stored in iterate_statistics(txn):
        try:
            found[tenant, category] = msgspec.json.decode(stored, type=Kept)
        except msgspec.MsgspecError as exc:
            logger.warning("figures of a category begin anew", exc_info=exc, extra={"tenant": tenant})
    return found


def quota_of(policy: Policy | None) -> Quota:
    """What of a policy eviction needs; nothing for a category that is gone."""
    if policy is None:
        return Quota()
    return Quota(policy.reserve_entries, policy.reserve_bytes, policy.max_entries, policy.max_bytes)


@dataclass(frozen=True, slots=True)
class Regrouped:
    """An entry whose answer was compared after it was stored."""

    number: int
    membership: Membership


Changed = NewEntry | NewLabel | Regrouped | Place


class CacheGroup(Group):
    """Writes of one commit to a cache: numbers them and collects what memory must learn, in order."""

    def __init__(self, txn: Transaction, shard: "CacheShard") -> None:
        super().__init__(txn)
        self._shard = shard
        self.sequence = read_sequence(txn)
        self.changes: list[Changed] = []
        self.policies = shard.policies
        self._tenants: dict[int, int] = {}
        """Of entries that this commit stores."""

    def next_sequence(self) -> int:
        """The sequence of the request that is about to write."""
        self.sequence += 1
        return self.sequence

    def add(self, new: NewEntry, vector: bytes | None, answer: bytes, is_likely: bool = False) -> None:
        """Store an entry, in the place of one with its exact key; others go where there is no room for it.

        `is_likely`: it will probably be asked for again. Raises TooLarge, LimitReached (all else is reserved).
        """
        entry, eviction = new.entry, self._shard.eviction
        former = find_exact(self.txn, entry.tenant, entry.exact)
        incoming = Incoming(entry.tenant, entry.category, entry.number, size_of(entry), entry.exact, is_likely)
        admission = eviction.admit(incoming, former)
        self.on_undo(lambda: eviction.undo(admission))
        self._tenants[entry.number] = entry.tenant
        self._evict(admission)
        for gone in put_entry(self.txn, entry, vector, answer, new.group, new.rejected):
            self.changes.append((gone.tenant, gone.number))
        self.changes.append(new)

    def trim(self, n_max: int) -> int:
        """Evict up to `n_max` entries that are beyond a cap or a bound; how many there were."""
        admission = self._shard.eviction.trim(n_max)
        self.on_undo(lambda: self._shard.eviction.undo(admission))
        n_victims = len(admission.victims)
        self._evict(admission)
        return n_victims

    def remove(self, place: Place) -> CacheEntry | None:
        """Remove an entry; None where there is none. A damaged one goes as well as it can."""
        admission = self._shard.eviction.remove(place[1])
        self.on_undo(lambda: self._shard.eviction.undo(admission))
        return self._remove(place)

    def _evict(self, admission: Admission) -> None:
        for number in admission.victims:
            resident = self._shard.memory.residents.get(number)
            tenant = self._tenants[number] if resident is None else resident.tenant
            gone = self._remove((tenant, number))
            if gone is not None:
                self.after_commit(partial(self._shard.count_eviction, tenant, gone.category))

    def _remove(self, place: Place) -> CacheEntry | None:
        try:
            gone = remove_entry(self.txn, *place)
        except CorruptData:
            remove_damaged(self.txn, *place)
            gone = None
        self.changes.append(place)
        return gone

    def put_policies(self, policies: Policies, category: str) -> None:
        """One category's policy is another; raises InvalidArgument where so much cannot be reserved."""
        shard, before, self.policies = self._shard, self.policies, policies
        for name in {category, UNKNOWN}:
            known, wanted = quota_of(before.of(name)), quota_of(policies.of(name))
            self.on_undo(partial(shard.eviction.restore_quota, name, known))
            if wanted.reserves_more_than(known):
                shard.eviction.set_quota(name, wanted)
            else:  # whatever the other categories reserve: less has to be possible always
                shard.eviction.restore_quota(name, wanted)
        self.after_commit(lambda: shard.set_policies(policies))

    def note_label(self, tenant: int, category: str, label: Label) -> None:
        """Store a label; the oldest beyond those kept go."""
        number = put_label(self.txn, tenant, category, msgspec.json.encode(label))
        if number % 64 == 0:
            trim_labels(self.txn, tenant, category, WINDOW)
        self.changes.append(NewLabel(tenant, category, label))

    def regroup(self, place: Place, membership: Membership) -> None:
        """Put an entry that is there into another answer group."""
        put_group(self.txn, *place, membership.group, membership.rejected)
        self.changes.append(Regrouped(place[1], membership))

    def mark(self) -> Any:
        return super().mark(), self.sequence, len(self.changes), self.policies

    def restore(self, mark: Any) -> None:
        inner, self.sequence, n_changes, self.policies = mark
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
        self, document: CacheDocument, env: Environment, writers: Executor, caps: QueueCaps, indexes: Indexes
    ) -> None:
        self.document = document
        self.env = env
        self.leases = Leases()
        self.lookups = Lookups()
        self._indexes = indexes
        self._reject_margin = document.reject_margin
        self._max_entries, self._max_bytes = document.max_entries, document.max_bytes
        self._load()
        self.queue: CommitQueue[CacheGroup] = CommitQueue(env, self._open_group, writers, caps, self._reload)

    @property
    def id(self) -> int:
        return self.document.id

    def _new_partition(self) -> Partition:
        return Partition(self.document.dimension, self._indexes)

    def _open_group(self, txn: Transaction) -> CacheGroup:
        return CacheGroup(txn, self)

    def _reload(self) -> None:
        """All of memory anew, after a commit that failed, which may have reached the store."""
        former = self.memory
        self._load()
        former.close()

    def _load(self) -> None:
        """All of memory from the store."""
        memory = CacheMemory(self._new_partition)
        with self.env.read() as txn:
            policies = Policies(
                {name: msgspec.json.decode(value, type=Policy) for name, value in read_policies(txn).items()}
            )
            memory.load(txn)
            kept = _kept(txn)
            memory.counts = {place: found.counts for place, found in kept.items()}
            saved = {place: found.counts.n_events for place, found in kept.items()}
            learned = Learned(policies, self.document.dimension, self._reject_margin)
            states = {place: found.calibration for place, found in kept.items() if found.calibration is not None}
            learned.load(txn, states)
        eviction = Eviction(Bounds(self._max_entries, self._max_bytes))
        for category in (*policies.by_category, UNKNOWN):
            eviction.restore_quota(category, quota_of(policies.of(category)))
        eviction.load(
            Incoming(one.tenant, one.category, one.number, one.n_bytes, one.exact)
            for one in sorted(memory.residents.values(), key=lambda one: one.created_at_ms)
        )
        for resident in memory.residents.values():
            vector = memory.vector_of(resident)
            if resident.is_category_given and vector is not None:
                learned.entry_added(resident.tenant, resident.category, vector)
        self.wants_trim = True
        self.policies, self.memory, self.learned, self.eviction = policies, memory, learned, eviction
        self._saved = saved

    def unsaved(self) -> list[tuple[CategoryPlace, int]]:
        """(tenant, category) of the figures that have changed since they were stored, with how far they had come."""
        now = [(place, counts.n_events) for place, counts in list(self.memory.counts.items())]
        return [(place, n_events) for place, n_events in now if self._saved.get(place) != n_events]

    def figures_of(self, place: CategoryPlace) -> bytes:
        """What is stored of a tenant's category now and then."""
        calibration = self.learned.known(*place)
        state = None if calibration is None else calibration.state()
        return msgspec.json.encode(Kept(counts=self.memory.counts_of(*place), calibration=state))

    def note_saved(self, saved: list[tuple[CategoryPlace, int]]) -> None:
        """These of `unsaved` are stored."""
        self._saved.update(saved)

    def set_policies(self, policies: Policies) -> None:
        """Policies have changed: what was learned goes on under the new budgets."""
        self.policies = policies
        self.wants_trim = True
        self.learned.set_policies(policies)

    def publish(self, changes: list[Changed]) -> None:
        """Bring memory up to a commit. Where it cannot take a change it is loaded anew: the write itself is done."""
        try:
            self._publish(changes)
        except Exception as exc:  # whatever it was, what is in memory can no longer be trusted
            logger.error("a cache's memory is loaded anew", exc_info=exc, extra={"cache": self.id})
            self._reload()

    def _publish(self, changes: list[Changed]) -> None:
        for change in changes:
            if isinstance(change, NewEntry):
                self._add(change)
            elif isinstance(change, NewLabel):
                self._learn(change)
            elif isinstance(change, Regrouped):
                self.memory.regroup(change.number, change.membership.group, change.membership.rejected)
            else:
                self._remove(change[1])

    def _learn(self, new: NewLabel) -> None:
        counts = self.memory.counts_of(new.tenant, new.category)
        if new.label.is_right:
            counts.labels_right += 1
        else:
            counts.labels_wrong += 1
        self.learned.calibration(new.tenant, new.category).learn(new.label)

    def report_wrong(self, tenant: int, category: str) -> None:
        """A served answer was wrong, somebody says, and is gone."""
        self.memory.counts_of(tenant, category).feedback_wrong += 1
        self.learned.calibration(tenant, category).report_wrong()

    def count_eviction(self, tenant: int, category: str) -> None:
        self.memory.counts_of(tenant, category).evictions += 1

    def forget_tenant(self, tenant: int) -> None:
        """A tenant that is gone: its entries went one by one."""
        self.lookups.forget_tenant(tenant)
        self.learned.forget_tenant(tenant)
        self.memory.forget_tenant(tenant)
        self._saved = {place: n_events for place, n_events in self._saved.items() if place[0] != tenant}

    def _add(self, new: NewEntry) -> None:
        self.memory.add(new)
        if new.entry.is_category_given and new.vector is not None:
            self.learned.entry_added(new.entry.tenant, new.entry.category, new.vector)

    def _remove(self, number: int) -> None:
        resident = self.memory.residents.get(number)
        if resident is None:
            return
        vector = self.memory.vector_of(resident) if resident.is_category_given else None
        self.memory.remove(number)
        if vector is not None:
            self.learned.entry_removed(resident.tenant, resident.category, vector)

    def resize(self, document: CacheDocument) -> None:
        """Bounds or the margin of the classifier have changed."""
        self._reject_margin = document.reject_margin
        self._max_entries, self._max_bytes = document.max_entries, document.max_bytes
        self.eviction.bounds = Bounds(self._max_entries, self._max_bytes)
        self.wants_trim = True
        if document.reject_margin is not None:
            self.learned.reject_margin = document.reject_margin

    def check_reserves(self, policies: Policies, document: CacheDocument) -> None:
        """Raise InvalidArgument where a tenant's reserves come to more than a cache like `document` holds."""
        for what, most in (("entries", document.max_entries), ("bytes", document.max_bytes)):
            reserved = sum(getattr(policy, f"reserve_{what}") for policy in policies.by_category.values())
            if most is not None and reserved > most:
                raise InvalidArgument.at(f"/reserve_{what}", f"the reserves come to {reserved}, the cache holds {most}")

    def close(self) -> None:
        """Commit what is queued, then close the environment."""
        self.queue.close()
        self.memory.close()
        self.env.fill_out()
        self.env.close()
