"""Insert or replace points: checked first, then queued; all points of a request are written in one commit, or none."""

import logging
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vdb.engine.batch import Batch, Condition, batch_of_columns, batch_of_points
from vdb.engine.owners import GRANT_BYTES, check_live, check_own, grantee_ids
from vdb.engine.readings import Change
from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup, epoch_ms
from vdb.engine.tenants import ensure_tenant
from vdb.errors import InternalError, InvalidArgument, Problem, VdbError, VersionConflict
from vdb.protocol.answers import Queued, Written
from vdb.protocol.columns import UpsertHead
from vdb.protocol.requests import Upsert
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import NOTHING, Record, Usage, encode_record
from vdb.storage.points import find_pids, insert_plain, put_point, read_record, remove_point
from vdb.tenancy.access import check_sharing
from vdb.types import Caller

logger = logging.getLogger(__name__)


def upsert(
    services: Services,
    caller: Caller,
    path: tuple[str, ...],
    request: Upsert | UpsertHead,
    vectors: NDArray[np.float32] | None,
) -> "Future[Written] | Queued":
    """Queue an upsert; resolves with the write's sequence once it is durable and visible.

    With `ack` queued the answer is there at once; whether the write was made nobody is told, but the metrics and log.
    """
    collection = services.usable(caller, path[0])
    limits = services.settings.limits
    if isinstance(request, Upsert):
        batch = batch_of_points(request, collection, limits)
    else:
        block = vectors if vectors is not None else np.empty(0, np.float32)
        batch = batch_of_columns(request, block, collection, limits)
    is_awaited = request.ack != "queued"
    if not is_awaited and batch.conditions is not None:
        raise InvalidArgument.at("/ack", "a write with if_version or if_absent must be awaited")
    check_own(services, caller, collection, request.owner, batch.ids)
    grants = _grants(services, caller, collection, batch)
    owner = ensure_tenant(services, caller)  # last: a refused write makes no tenant
    shard = services.shards.acquire(collection)
    write = _Write(services, owner, batch, grants)
    n_granted = sum(map(len, filter(None, grants or ())))
    n_bytes = batch.n_bytes + GRANT_BYTES * n_granted
    future: Future[Written] = services.shards.submit(
        shard, write.apply, n_bytes, adds_rows=len(batch.vectors) > 0, tenant=owner, n_points=len(batch.ids)
    )
    if is_awaited:
        return future
    future.add_done_callback(lambda settled: _note_refusal(services, collection, settled))
    return Queued()


def _note_refusal(services: Services, collection: CollectionDocument, settled: "Future[Written]") -> None:
    """A queued write that was not made: nobody waits for its error."""
    error = settled.exception()
    if error is None:
        return
    services.n_queued_refused += 1
    code = error.code if isinstance(error, VdbError) else InternalError.code
    fields = {"collection": collection.name, "code": code}
    logger.warning("a queued write was refused at its commit", extra={"fields": fields})


def _grants(
    services: Services, caller: Caller, collection: CollectionDocument, batch: Batch
) -> list[tuple[int, ...] | None] | None:
    """Grantee ids per point, None where the request leaves the grants as they are."""
    if batch.shared_with is None:
        return None
    grants: list[tuple[int, ...] | None] = []
    for i, names in enumerate(batch.shared_with):
        if names is None:
            grants.append(None)
            continue
        check_sharing(collection, caller, ())  # first: who may not grant learns nothing about the names
        ids = grantee_ids(services, collection, caller.tenant_id, names, batch.pointer(i, "shared_with"))
        check_sharing(collection, caller, ids)
        grants.append(ids)
    return grants


@dataclass(slots=True)
class _Write:
    """One upsert inside a commit."""

    services: Services
    owner: int
    batch: Batch
    grants: list[tuple[int, ...] | None] | None
    now_ms: int = 0

    def apply(self, group: ShardGroup) -> Written:
        """Write every point; raises VersionConflict or QuotaExceeded, which undoes this request alone."""
        check_live(self.services, self.owner, {grantee for grantees in self.grants or () for grantee in grantees or ()})
        self.now_ms = epoch_ms()  # not earlier: what expired in the queue is gone, with its grants
        sequence = group.next_sequence()
        found = find_pids(group.txn, self.owner, self.batch.ids)
        if not found and self.batch.is_plain:
            self._insert_plain(group, sequence)
        else:
            _Replacement(self, group, sequence).run(found)
        return Written(sequence=sequence)

    def _insert_plain(self, group: ShardGroup, sequence: int) -> None:
        """The common case: new points without expiry, grants or conditions."""
        batch = self.batch
        ids = batch.ids
        first = group.take_pids(len(ids))
        vectors = vector_bytes(batch)
        records = [
            encode_record(Record(ids[i], sequence, sequence, 0, (), batch.payloads[i], v is not None, crc32(v or b"")))
            for i, v in enumerate(vectors)
        ]
        insert_plain(group.txn, group.index_changes, self.owner, first, records, vectors, ids, batch.payloads)
        n_id_bytes, n_payload_bytes = sum(map(len, ids)), sum(map(len, batch.payloads))
        group.count(self.owner, Usage(len(ids), len(batch.vectors), n_id_bytes, n_payload_bytes))
        pids = np.arange(first, first + len(ids), dtype=np.uint32)
        if batch.rows is not None:
            pids = pids[[i for i, row in enumerate(batch.rows) if row >= 0]]
        if len(pids):
            expiries = np.zeros(len(pids), np.int64)
            puts: dict[int, list[int] | None] = {self.owner: None}
            group.tell(Change(sequence, self.owner, pids, batch.vectors, expiries, puts, inserts_only=True))


def vector_bytes(batch: Batch) -> list[bytes | None]:
    """Each point's stored vector, None where it has none."""
    raw = batch.vectors.astype("<f4", copy=False).tobytes()
    width = batch.vectors.shape[1] * 4
    rows = range(len(batch.ids)) if batch.rows is None else batch.rows
    return [raw[row * width : (row + 1) * width] if row >= 0 else None for row in rows]


class _Replacement:
    """The general case: point by point, with what is already stored."""

    def __init__(self, write: _Write, group: ShardGroup, sequence: int) -> None:
        self.write = write
        self.group = group
        self.sequence = sequence
        self.positions: list[int] = []
        self.pids: list[int] = []
        self.puts: dict[int, list[int] | None] = {}
        self.kills: dict[int, list[int]] = {}
        self.added = NOTHING

    def run(self, found: dict[bytes, int]) -> None:
        batch = self.write.batch
        vectors = vector_bytes(batch)
        for i, point_id in enumerate(batch.ids):
            self._write_point(i, point_id, found.get(point_id), vectors[i])
        self.group.count(self.write.owner, self.added)
        self._tell()

    def _write_point(self, i: int, point_id: bytes, pid: int | None, vector: bytes | None) -> None:
        old = self._stored(pid)
        self._check(i, old)
        if pid is None or old is None:
            pid = self.group.take_pids(1)
        new = self._record(i, point_id, old, vector)
        put_point(self.group.txn, self.group.index_changes, self.write.owner, pid, old, new, vector)
        self.added = self.added.plus(new.usage)
        if old is not None:
            self.added = self.added.minus(old.usage)
        self._note(i, pid, old, new)

    def _stored(self, pid: int | None) -> Record | None:
        """What is stored of a point; an expired one is removed first, with its grants: it does not exist any more."""
        if pid is None:
            return None
        owner = self.write.owner
        old = read_record(self.group.txn, owner, pid)
        if old is None or not old.is_expired(self.write.now_ms):
            return old
        remove_point(self.group.txn, self.group.index_changes, owner, pid, old)
        self.added = self.added.minus(old.usage)
        self._kill(pid, old.shared)
        return None

    def _check(self, i: int, old: Record | None) -> None:
        conditions = self.write.batch.conditions
        if conditions is None or conditions[i] == Condition():
            return
        condition = conditions[i]
        wanted, stored = condition.if_version, old.version if old else None
        if (condition.if_absent and old is not None) or (wanted is not None and wanted != stored):
            field = "if_absent" if condition.if_absent else "if_version"
            detail = "the point exists" if condition.if_absent else "the point has another version, or does not exist"
            raise VersionConflict(detail, problems=(Problem(self.write.batch.pointer(i, field), detail),))

    def _record(self, i: int, point_id: bytes, old: Record | None, vector: bytes | None) -> Record:
        write, batch = self.write, self.write.batch
        given = write.grants[i] if write.grants is not None else None
        shared = given if given is not None else (old.shared if old else ())
        expires_at_ms = batch.expires_at_ms[i] if batch.expires_at_ms is not None else 0
        has_vector = vector is not None
        return Record(
            point_id, self.sequence, self.sequence, expires_at_ms, shared, batch.payloads[i], has_vector,
            crc32(vector or b""),
        )  # fmt: skip

    def _note(self, i: int, pid: int, old: Record | None, new: Record) -> None:
        """Collect what RAM must learn of this point."""
        if old is not None and old.has_vector:
            gone = set(old.shared) - set(new.shared) if new.has_vector else set(old.shared)
            for grantee in gone:
                self.kills.setdefault(-grantee, []).append(pid)
            if not new.has_vector:
                self.kills.setdefault(self.write.owner, []).append(pid)
        if new.has_vector:
            position = len(self.positions)
            self.positions.append(i)
            self.pids.append(pid)
            for audience in (self.write.owner, *(-grantee for grantee in new.shared)):
                places = self.puts.setdefault(audience, [])
                if places is not None:
                    places.append(position)

    def _kill(self, pid: int, shared: tuple[int, ...]) -> None:
        for audience in (self.write.owner, *(-grantee for grantee in shared)):
            self.kills.setdefault(audience, []).append(pid)

    def _tell(self) -> None:
        batch = self.write.batch
        rows = self.positions if batch.rows is None else [batch.rows[i] for i in self.positions]
        expiries = [0] * len(rows) if batch.expires_at_ms is None else [batch.expires_at_ms[i] for i in self.positions]
        change: Any = Change(
            self.sequence,
            self.write.owner,
            np.array(self.pids, np.uint32),
            batch.vectors[rows],
            np.array(expiries, np.int64),
            self.puts,
            self.kills,
        )
        self.group.tell(change)
