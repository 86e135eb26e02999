"""A shard: one collection's environment, its write queue, and its readings in RAM.

Everything above asks for a `Snapshot` (one read transaction, one moment) or submits a write; nothing else may assume
that a shard's data is in this process.
"""

import logging
import time
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np

from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.engine.indexing import Indexing
from vdb.engine.memory import MemoryCap
from vdb.engine.readings import Change, Reading, Readings
from vdb.engine.shard_index import INDEX_PLACE, ShardIndex
from vdb.engine.touched import Touched
from vdb.engine.trust import trusted_expiry
from vdb.errors import CorruptData, InternalError
from vdb.index.flat import FlatSegment
from vdb.rag.analysis import analyser_of
from vdb.storage.catalog import CollectionDocument
from vdb.storage.changes import LoggedChange, read_changes_from, stop_changes, write_change, write_changes_from
from vdb.storage.codec import NOTHING, Usage
from vdb.storage.env import Environment, ReadTransaction, Transaction
from vdb.storage.index_changes import IndexChanges
from vdb.storage.keyspace import ALL_OWNERS, EVERYONE_ID, record_key
from vdb.storage.meta import read_counters, read_sequence, write_counters
from vdb.storage.payload_index import read_indexes
from vdb.storage.points import (
    iterate_grants,
    iterate_vectored,
    read_totals,
    read_usage,
    read_vector,
    write_usage,
)
from vdb.storage.text_changes import TextChanges
from vdb.storage.text_index import read_text_index
from vdb.tenancy.quota import Ledger

logger = logging.getLogger(__name__)

PUBLISH_WAIT_S = 30.0


def epoch_ms() -> int:
    """Now, in epoch milliseconds: the clock of expiries."""
    return time.time_ns() // 1_000_000


class Snapshot(NamedTuple):
    """One moment of a collection: its transaction, its sequence, and the time by which expiry is judged."""

    txn: Transaction
    sequence: int
    now_ms: int


class Moment(ReadTransaction):
    """A read transaction with its `Snapshot`, for the length of a `with`."""

    __slots__ = ("_shard",)

    def __init__(self, shard: "Shard") -> None:
        super().__init__(shard.env)
        self._shard = shard

    def __enter__(self) -> Snapshot:
        txn = super().__enter__()
        try:
            sequence = read_sequence(txn)
            if self._shard.readings.published_sequence < sequence:
                self._shard.await_publication(sequence)
        except BaseException as exc:
            self.__exit__(type(exc), exc, None)
            raise
        return Snapshot(txn, sequence, epoch_ms())


class ShardGroup(Group):
    """Writes of one commit to a collection: numbers them, counts usage, collects what RAM must learn."""

    def __init__(self, txn: Transaction, shard: "Shard") -> None:
        super().__init__(txn)
        self._shard = shard
        self.sequence, self.next_pid, self.n_points = read_counters(txn)
        self.keeps_changes = read_changes_from(txn) is not None
        self._part = 0
        self.index_changes = IndexChanges(read_indexes(txn), TextChanges(read_text_index(txn), analyser_of))
        self._usage: dict[int, Usage] = {}
        self._changes: list[Change] = []

    def next_sequence(self) -> int:
        """The sequence of the request that is about to write."""
        self.sequence += 1
        return self.sequence

    def take_pids(self, n: int) -> int:
        """The first of `n` new pids."""
        first = self.next_pid
        if first + n > 0xFFFF_FFFF:
            raise InternalError("the collection has used up its 2^32 point numbers")
        self.next_pid += n
        return first

    def count(self, owner: int, change: Usage) -> None:
        """Add to what `owner` and the collection have; raises QuotaExceeded when it grows past a cap of theirs.

        Raises CorruptData where less would be left than nothing: the stored numbers are wrong.
        """
        if change == NOTHING:
            return
        before = self._usage.get(owner) or read_usage(self.txn, owner)
        after = before.plus(change)
        totals = (self._usage.get(ALL_OWNERS) or read_totals(self.txn)).plus(change)
        if not (after.is_possible and totals.is_possible):
            raise CorruptData("the stored usage is less than what is there: run vdb check --repair")
        ledger, collection = self._shard.ledger, self._shard.collection
        if ledger.is_tracked(owner):
            figures = ((usage.points, usage.n_bytes(collection.dimension)) for usage in (before, after))
            earlier = ledger.propose(owner, collection.id, *figures)
            self.on_undo(lambda: ledger.restore(owner, collection.id, earlier))
        self._usage[owner] = after
        self._usage[ALL_OWNERS] = totals
        self.n_points += change.points

    def tell(self, change: Change) -> None:
        """Publish `change` after the commit, and log it in the commit where the collection keeps the log."""
        if not (change.puts or change.kills):
            return
        is_more = bool(self._changes) and self._changes[-1].sequence == change.sequence
        self._part = self._part + 1 if is_more else 0
        self._changes.append(change)
        if self.keeps_changes:
            write_change(self.txn, change.sequence, logged(change), self._part)

    def keep_changes(self) -> None:
        """Keep the log of changes from the next sequence on; where it is kept already, nothing changes.

        Called by a queued write: those before it in the same commit are in the snapshot that what is derived is made
        from, those after it are in the log.
        """
        if not self.keeps_changes:
            write_changes_from(self.txn, self.sequence + 1)
            self.keeps_changes = True

    def stop_changes(self) -> None:
        """Keep no log from this write on."""
        stop_changes(self.txn)
        self.keeps_changes = False

    def mark(self) -> Any:
        counters = self.sequence, self.next_pid, self.n_points
        marks = len(self._changes), self.index_changes.mark()
        return super().mark(), counters, dict(self._usage), marks, self.keeps_changes

    def restore(self, mark: Any) -> None:
        inner, counters, self._usage, (n_changes, n_noted), self.keeps_changes = mark
        self.sequence, self.next_pid, self.n_points = counters
        del self._changes[n_changes:]
        self.index_changes.restore(n_noted)
        super().restore(inner)

    def close(self) -> None:
        write_counters(self.txn, self.sequence, self.next_pid, self.n_points)
        for owner, usage in self._usage.items():
            write_usage(self.txn, owner, usage)
        self.index_changes.flush(self.txn)

    def publish(self) -> None:
        collection = self._shard.collection
        for owner, usage in self._usage.items():
            used = usage.points, usage.n_bytes(collection.dimension)
            self._shard.ledger.settle(owner, collection.id, self.sequence, *used)
        self._shard.touched.publish(self.sequence, self.index_changes.touches)
        self._shard.publish(self._changes, self.sequence)
        super().publish()


def logged(change: Change) -> LoggedChange:
    """A change as the log has it: its vectors are in the store."""
    return LoggedChange(change.owner, change.pids, change.expires_at_ms, change.puts, change.kills, change.inserts_only)


class Shard:
    """An open collection. Thread-safe; `vdb.engine.shards` opens and closes it.

    `collection` is the document of the moment it was opened: of it only what never changes may be used (id, dimension,
    metric); name, members and the rest are the catalog's to tell.
    """

    def __init__(
        self,
        collection: CollectionDocument,
        env: Environment,
        writers: Executor,
        caps: QueueCaps,
        memory: MemoryCap,
        ledger: Ledger,
        indexing: Indexing,
    ) -> None:
        self.collection = collection
        self.env = env
        self.ledger = ledger
        self._memory = memory
        with env.read() as txn:
            sequence = read_sequence(txn)
        self.touched = Touched(sequence)
        self.readings = Readings(collection.dimension, collection.metric, sequence)
        self.queue: CommitQueue[ShardGroup] = CommitQueue(env, self._open_group, writers, caps, self._resync)
        self.index = ShardIndex(self, env.path / "index", indexing)

    @property
    def id(self) -> int:
        """The collection's."""
        return self.collection.id

    def _open_group(self, txn: Transaction) -> ShardGroup:
        return ShardGroup(txn, self)

    def snapshot(self) -> "Moment":
        """A moment of which everything up to its sequence is published in RAM too. For a `with`."""
        return Moment(self)

    def await_publication(self, sequence: int) -> None:
        """Wait for it: a commit becomes readable some microseconds before it is published."""
        give_up = time.monotonic() + PUBLISH_WAIT_S
        while self.readings.published_sequence < sequence:
            if time.monotonic() > give_up:
                raise InternalError("a commit was not published in time")
            time.sleep(20e-6)

    def publish(self, changes: list[Change], sequence: int) -> None:
        """Bring RAM up to a commit. Where it cannot take a change it is loaded anew: the write itself is done."""
        self.index.publish(changes, sequence)
        try:
            grown = self.readings.publish(changes, sequence)
        except Exception as exc:  # whatever it was, what RAM holds can no longer be trusted
            logger.error("readings are loaded anew", exc_info=exc, extra={"environment": self.env.path.name})
            self._start_over(sequence)
            return
        for tenant_id in grown:
            reading = self.readings.get(tenant_id)
            if reading is not None:
                self._memory.resize((self.collection.id, tenant_id), reading.n_bytes)

    def reading(self, tenant_id: int) -> Reading:
        """A tenant's reading, loaded on first use."""
        reading = self.readings.get(tenant_id)
        if reading is not None:
            self._memory.touch((self.collection.id, tenant_id))
            return reading
        reading = self.readings.load(tenant_id, self._load)
        self._memory.keep((self.collection.id, tenant_id), reading.n_bytes)
        return reading

    def evict(self, tenant_id: int) -> None:
        """Drop a reading, or the index, from RAM."""
        if tenant_id == INDEX_PLACE:
            self.index.drop()
        else:
            self.readings.evict(tenant_id)

    def touch_index(self) -> None:
        """The index was searched."""
        self._memory.touch((self.collection.id, INDEX_PLACE))

    @property
    def index_bytes(self) -> int:
        """Bytes of the index, most of them mapped from its file, of the vectors where the tier keeps them in RAM, and
        of the queries recorded to tune it by."""
        index = self.index.current
        of_index = index.nbytes + self.index.vector_bytes if index is not None else 0
        return self.index.tuner.recorded.nbytes + of_index

    def count_index(self) -> None:
        """Count the index's bytes in RAM; readings are not needed beside it."""
        index = self.index.current
        if index is None:
            self._memory.forget((self.collection.id, INDEX_PLACE))
            return
        self.drop_readings()
        self._memory.keep((self.collection.id, INDEX_PLACE), self.index_bytes)

    def drop_readings(self) -> None:
        """Drop all readings from RAM: searches have no use for them any more."""
        for tenant_id, _ in self.readings.residents():
            self.readings.evict(tenant_id)
            self._memory.forget((self.collection.id, tenant_id))

    def is_resident(self, tenant_id: int) -> bool:
        return self.readings.get(tenant_id) is not None

    def _load(self, tenant_id: int) -> tuple[Reading, int]:
        with self.env.read() as txn:
            sequence = read_sequence(txn)
            if tenant_id == EVERYONE_ID:
                public = self._load_granted(txn, EVERYONE_ID, sequence)
                return Reading(public or self._empty(), None), sequence
            own = self._load_own(txn, tenant_id, sequence)
            return Reading(own, self._load_granted(txn, tenant_id, sequence)), sequence

    def _empty(self) -> FlatSegment:
        return FlatSegment(self.collection.dimension, self.collection.metric)

    def _load_own(self, txn: Transaction, owner: int, sequence: int) -> FlatSegment:
        """The owner's vectors and expiries, in pid order."""
        pids, expiries, vectors = [], [], []
        for pid, value, vector in iterate_vectored(txn, owner):
            expires_at_ms = trusted_expiry(value, vector, pid)
            if expires_at_ms is not None:
                pids.append(pid)
                expiries.append(expires_at_ms)
                vectors.append(vector)
        return self._segment(pids, [owner] * len(pids), expiries, vectors, sequence)

    def _load_granted(self, txn: Transaction, grantee: int, sequence: int) -> FlatSegment | None:
        rows = []
        for pid, owner in iterate_grants(txn, grantee):
            value = txn.get(record_key(owner, pid))
            vector = read_vector(txn, owner, pid)
            expires_at_ms = None if value is None or vector is None else trusted_expiry(value, vector, pid)
            if expires_at_ms is not None:
                rows.append((pid, owner, expires_at_ms, vector))
        if not rows:
            return None
        pids, owners, expiries, vectors = map(list, zip(*rows, strict=True))
        return self._segment(pids, owners, expiries, vectors, sequence)

    def _segment(
        self, pids: list[int], owners: list[int], expiries: list[int], vectors: list[bytes], sequence: int
    ) -> FlatSegment:
        dimension = self.collection.dimension
        return FlatSegment.bulk(
            dimension,
            self.collection.metric,
            np.array(pids, np.uint32),
            np.array(owners, np.uint32),
            np.full(len(pids), sequence, np.int64),
            np.array(expiries, np.int64),
            np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), dimension),
            sequence,
        )

    def _resync(self) -> None:
        """After a commit that failed: whether it reached the disk is seen in the store only."""
        with self.env.read() as txn:
            sequence = read_sequence(txn)
        self._start_over(sequence)

    def _start_over(self, sequence: int) -> None:
        self.touched.start_over(sequence)
        self.index.drop()
        self._memory.forget((self.collection.id, INDEX_PLACE))
        for tenant_id in self.readings.start_over(sequence):
            self._memory.forget((self.collection.id, tenant_id))

    def close(self) -> None:
        """Commit what is queued, drop what is in RAM, close the environment."""
        self.queue.close()
        self._start_over(self.readings.published_sequence)
        self.index.close()
        self.env.fill_out()
        self.env.close()
