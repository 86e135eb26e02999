"""Changes of stored points: delete, payload, grants. Each request is one write in one commit, all or nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from vdb.config import Limits
from vdb.engine.batch import check_ids, check_payload, check_version
from vdb.engine.filters import check_fields
from vdb.engine.owners import GRANT_BYTES, check_live, check_own, grantee_ids
from vdb.engine.payloads import check_payload_size, merge_patch, payload_bytes
from vdb.engine.readings import Change
from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup, epoch_ms
from vdb.errors import EmptyBatch, InvalidArgument, PointNotFound, Problem, TooLarge, VersionConflict
from vdb.protocol.answers import Deleted, Written
from vdb.protocol.requests import DeletePoints, Share, UpdatePayload
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import NOTHING, Record, Usage
from vdb.storage.env import Transaction
from vdb.storage.points import find_pids, put_point, read_record, read_vector, remove_point
from vdb.tenancy.access import check_sharing, check_tenant_exists
from vdb.types import Caller


@dataclass(slots=True)
class Removal:
    """Points removed by one write; shared by deletes, jobs and the purge of expired points."""

    owner: int
    dimension: int
    kills: dict[int, list[int]] = field(default_factory=dict)
    removed: Usage = NOTHING

    def remove(self, group: ShardGroup, pid: int, record: Record) -> None:
        remove_point(group.txn, group.index_changes, self.owner, pid, record)
        self.removed = self.removed.plus(record.usage)
        if record.has_vector:
            for audience in (self.owner, *(-grantee for grantee in record.shared)):
                self.kills.setdefault(audience, []).append(pid)

    def finish(self, group: ShardGroup, sequence: int) -> None:
        """Count the removal and tell RAM."""
        group.count(self.owner, NOTHING.minus(self.removed))
        group.tell(change_of(sequence, self.owner, self.dimension, kills=self.kills))


def change_of(
    sequence: int,
    owner: int,
    dimension: int,
    rows: list[tuple[int, bytes, int]] | None = None,
    puts: dict[int, list[int] | None] | None = None,
    kills: dict[int, list[int]] | None = None,
) -> Change:
    """A change from (pid, vector bytes, expiry) rows."""
    rows = rows or []
    return Change(
        sequence,
        owner,
        np.array([pid for pid, _, _ in rows], np.uint32),
        np.frombuffer(b"".join(vector for _, vector, _ in rows), "<f4").reshape(len(rows), dimension),
        np.array([expires_at_ms for _, _, expires_at_ms in rows], np.int64),
        puts or {},
        kills or {},
    )


def delete_ids(
    services: Services, caller: Caller, collection: CollectionDocument, request: DeletePoints
) -> "Future[Deleted]":
    """Delete by ids; ids that do not exist are no error, `deleted` counts those that did."""
    ids = _checked_ids(request.ids if isinstance(request.ids, list) else [], services.settings.limits)
    if_version = None if request.if_version is UNSET else check_version(int(request.if_version), "/if_version")
    if if_version is not None and len(ids) != 1:
        raise InvalidArgument.at("/if_version", "if_version goes with exactly one id")
    check_own(services, caller, collection, request.owner, ids)
    owner = check_tenant_exists(caller)

    def apply(group: ShardGroup) -> Deleted:
        sequence = group.next_sequence()
        removal = Removal(owner, collection.dimension)
        now_ms = epoch_ms()
        n_deleted = 0
        for _, pid, record in _stored(group.txn, owner, ids):
            is_there = record is not None and not record.is_expired(now_ms)
            if if_version is not None and (record is None or not is_there or record.version != if_version):
                raise _conflict("/if_version")
            if record is not None:
                removal.remove(group, pid, record)
                n_deleted += is_there
        removal.finish(group, sequence)
        return Deleted(sequence=sequence, deleted=n_deleted)

    future: Future[Deleted] = _submit(services, collection, owner, len(ids), apply, frees_space=True)
    return future


def update_payload(
    services: Services, caller: Caller, path: tuple[str, ...], request: UpdatePayload
) -> "Future[Written]":
    """Merge (RFC 7396) or replace payloads; vectors, expiry and grants stay."""
    collection = services.usable(caller, path[0])
    limits = services.settings.limits
    if not request.points:
        raise EmptyBatch.at("/points", "the batch has no points")
    ids = _checked_ids([point.id for point in request.points], limits, "/points/{}/id")
    payloads = [
        check_payload(point.payload, _undeclared(collection, request.mode), limits, f"/points/{i}/payload")
        for i, point in enumerate(request.points)
    ]
    versions = [
        None if point.if_version is UNSET else check_version(int(point.if_version), f"/points/{i}/if_version")
        for i, point in enumerate(request.points)
    ]
    check_own(services, caller, collection, request.owner, ids)
    owner = check_tenant_exists(caller)

    def apply(group: ShardGroup) -> Written:
        sequence = group.next_sequence()
        n_bytes = 0
        for (i, pid, old), given, version in zip(_stored(group.txn, owner, ids), payloads, versions, strict=True):
            live = _live(old, f"/points/{i}/id")
            if version is not None and live.version != version:
                raise _conflict(f"/points/{i}/if_version")
            payload = given if request.mode == "replace" else _merged(live, given, collection, limits, i)
            put_point(
                group.txn, group.index_changes, owner, pid, live, replace(live, version=sequence, payload=payload), None
            )
            n_bytes += len(payload) - len(live.payload)
        group.count(owner, Usage(payload_bytes=n_bytes))
        return Written(sequence=sequence)

    future: Future[Written] = _submit(services, collection, owner, len(ids), apply, sum(map(len, payloads)))
    return future


def share(services: Services, caller: Caller, path: tuple[str, ...], request: Share) -> "Future[Written]":
    """Grant or revoke; both idempotent. Granting needs the points to exist, revoking does not."""
    collection = services.usable(caller, path[0])
    ids = _checked_ids(request.ids, services.settings.limits)
    if not request.to:
        raise EmptyBatch.at("/to", "no grantees were given")
    if len(request.to) > services.settings.limits.max_grantees_per_point:
        raise TooLarge.at("/to", f"up to {services.settings.limits.max_grantees_per_point} grantees")
    check_own(services, caller, collection, request.owner, ids)
    owner = check_tenant_exists(caller)
    check_sharing(collection, caller, ())
    grantees = grantee_ids(services, collection, owner, request.to, "/to")
    check_sharing(collection, caller, grantees)
    sharing = _Sharing(owner, collection.dimension, request.action == "grant", frozenset(grantees))

    def apply(group: ShardGroup) -> Written:
        if sharing.is_grant:
            check_live(services, owner, grantees)
        return sharing.apply(group, ids, services.settings.limits)

    n_bytes = GRANT_BYTES * len(ids) * len(grantees)
    future: Future[Written] = _submit(
        services, collection, owner, len(ids), apply, n_bytes, not sharing.is_grant, adds_rows=sharing.is_grant
    )
    return future


@dataclass(slots=True)
class _Sharing:
    """Grants or revokes of one request inside a commit."""

    owner: int
    dimension: int
    is_grant: bool
    grantees: frozenset[int]

    def apply(self, group: ShardGroup, ids: list[bytes], limits: Limits) -> Written:
        sequence = group.next_sequence()
        rows: list[tuple[int, bytes, int]] = []
        puts: dict[int, list[int] | None] = {}
        kills: dict[int, list[int]] = {}
        n_grants = 0
        for i, pid, stored in _stored(group.txn, self.owner, ids):
            if stored is None or stored.is_expired(epoch_ms()):
                if self.is_grant:
                    _live(None, f"/ids/{i}")
                continue
            n_grants += self._change(group, pid, stored, limits, i, rows, puts, kills)
        group.count(self.owner, Usage(grants=n_grants))
        group.tell(change_of(sequence, self.owner, self.dimension, rows, puts, kills))
        return Written(sequence=sequence)

    def _change(
        self,
        group: ShardGroup,
        pid: int,
        old: Record,
        limits: Limits,
        i: int,
        rows: list[tuple[int, bytes, int]],
        puts: dict[int, list[int] | None],
        kills: dict[int, list[int]],
    ) -> int:
        """Move one point's grants; how many more it has. Its version stays: the point itself does not change."""
        shared = self.grantees.union(old.shared) if self.is_grant else set(old.shared) - self.grantees
        if len(shared) > limits.max_grantees_per_point:
            raise TooLarge.at(f"/ids/{i}", f"up to {limits.max_grantees_per_point} grantees per point")
        new = replace(old, shared=tuple(sorted(shared)))
        put_point(group.txn, group.index_changes, self.owner, pid, old, new, None)
        n_more = len(shared) - len(old.shared)
        if not old.has_vector:
            return n_more
        for grantee in set(old.shared) - shared:
            kills.setdefault(-grantee, []).append(pid)
        added = shared.difference(old.shared)
        if added:
            rows.append((pid, read_vector(group.txn, self.owner, pid) or b"", old.expires_at_ms))
        for grantee in added:
            places = puts.setdefault(-grantee, [])
            if places is not None:
                places.append(len(rows) - 1)
        return n_more


def _submit(
    services: Services,
    collection: CollectionDocument,
    tenant: int,
    n_points: int,
    apply: Callable[[ShardGroup], Any],
    n_bytes: int = 0,
    frees_space: bool = False,
    adds_rows: bool = False,
) -> Any:
    shard = services.shards.acquire(collection)
    options: dict[str, Any] = {
        "frees_space": frees_space,
        "adds_rows": adds_rows,
        "tenant": tenant,
        "n_points": n_points,
    }
    return services.shards.submit(shard, apply, n_bytes, **options)


def _checked_ids(ids: list[str], limits: Limits, pointer: str = "/ids/{}") -> list[bytes]:
    place = pointer.partition("/{}")[0]
    if not ids:
        raise EmptyBatch.at(place, "no ids were given")
    if len(ids) > limits.max_ids_per_request:
        raise TooLarge.at(place, f"a request takes up to {limits.max_ids_per_request} ids")
    return check_ids(ids, lambda i: pointer.format(i))


def _stored(txn: Transaction, owner: int, ids: list[bytes]) -> Iterator[tuple[int, int, Record | None]]:
    """(position, pid, record) of each id; pid 0 and None where the owner has no such point."""
    pids = find_pids(txn, owner, ids)
    for i, point_id in enumerate(ids):
        pid = pids.get(point_id)
        yield i, pid or 0, read_record(txn, owner, pid) if pid is not None else None


def _live(record: Record | None, pointer: str) -> Record:
    if record is None or record.is_expired(epoch_ms()):
        raise PointNotFound.at(pointer, "no such point")
    return record


def _conflict(pointer: str) -> VersionConflict:
    detail = "the point has another version, or does not exist"
    return VersionConflict(detail, problems=(Problem(pointer, detail),))


def _undeclared(collection: CollectionDocument, mode: str) -> CollectionDocument:
    """For a merge the patch is not a payload: its fields are checked once merged."""
    return replace(collection, fields={}) if mode == "merge" else collection


def _merged(old: Record, patch: bytes, collection: CollectionDocument, limits: Limits, i: int) -> bytes:
    pointer = f"/points/{i}/payload"
    stored: dict[str, Any] = msgspec.json.decode(old.payload) if old.payload else {}
    merged = merge_patch(stored, msgspec.json.decode(patch))
    if collection.fields:
        check_fields(merged, collection.fields, pointer)
    data = payload_bytes(merged, pointer)
    check_payload_size(data, limits.max_payload_bytes, pointer)
    return data


def asks_for_ids(request: DeletePoints) -> bool:
    """Whether a delete names ids; raises InvalidArgument unless it names either ids or a filter."""
    if isinstance(request.ids, UnsetType) == (request.filter is UNSET or request.filter is None):
        raise InvalidArgument.at("/ids", "give either ids or filter")
    return not isinstance(request.ids, UnsetType)
