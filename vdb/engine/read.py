"""Get, scroll and count: reads of stored points in one snapshot, in insertion order.

Scope `own` is what the tenant owns; `visible` adds what was granted to it and what everyone may see.
"""

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Raw

from vdb.config import Limits
from vdb.engine.answer_size import AnswerSize
from vdb.engine.batch import check_ids
from vdb.engine.cursor import decode_cursor, encode_cursor
from vdb.engine.filters import RowSet
from vdb.engine.matching import Matches, filter_of, matches_of
from vdb.engine.owners import is_visible, live_tenant_name, named_owner
from vdb.engine.row_sets import row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.engine.tenants import moment_of
from vdb.engine.vectors import encode_vector
from vdb.errors import CorruptData, EmptyBatch, InvalidArgument, TooLarge
from vdb.protocol.answers import Counted, Point, Points, ScrollPage
from vdb.protocol.requests import Count, GetPoints, Scroll
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import Record, decode_record
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.points import (
    count_grants,
    find_granted,
    find_pids,
    iterate_expiries,
    iterate_grants,
    iterate_records,
    read_record,
    read_records,
    read_usage,
    read_vector,
)
from vdb.tenancy.access import check_tenant_exists
from vdb.types import Caller

EMPTY_PAYLOAD = Raw(b"{}")
LOOK_UPS = 256
"""Points of a row set that are looked up at a time."""
LOOK_UPS_PER_RECORD = 2
"""So many look-ups cost what it costs to read a record and test it."""

Visible = Iterator[tuple[int, int, Record]]
"""(pid, owner, record) in insertion order."""


def get_points(services: Services, caller: Caller, path: tuple[str, ...], request: GetPoints) -> Points:
    """Points by id; those that do not exist, or that the tenant may not see, are left out alike."""
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    if not request.ids:
        raise EmptyBatch.at("/ids", "no ids were given")
    if len(request.ids) > services.settings.limits.max_ids_per_request:
        raise TooLarge.at("/ids", f"a request takes up to {services.settings.limits.max_ids_per_request} ids")
    ids = check_ids(request.ids, lambda i: f"/ids/{i}")
    owner = named_owner(services, caller, request.owner)
    with services.shard_for_read(collection, request) as shard, shard.snapshot() as snapshot:
        pids = find_pids(snapshot.txn, owner, ids) if owner is not None else {}
        points = []
        size = AnswerSize(request, collection.dimension, services.settings.limits)
        for point_id in ids:
            record = read_record(snapshot.txn, owner or 0, pids[point_id]) if point_id in pids else None
            if record is not None and is_visible(record, owner or 0, tenant_id, snapshot.now_ms):
                size.add(1, len(record.payload))
                points.append(answer_of(services, tenant_id, pids[point_id], owner or 0, record, request, snapshot))
        return Points(points=points, sequence=snapshot.sequence)


def scroll(services: Services, caller: Caller, path: tuple[str, ...], request: Scroll) -> ScrollPage:
    """One page; the cursor holds for this query of this tenant only."""
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    _check_limit(request.limit, services.settings.limits)
    parsed = filter_of(request.filter, collection)
    key = _query_key(collection, tenant_id, request.scope, parsed.key if parsed else b"")
    first_pid = decode_cursor(request.cursor, key, services.secret)[0] if request.cursor is not None else 0
    matches = matches_of(parsed)
    points: list[Point] = []
    size = AnswerSize(request, collection.dimension, services.settings.limits)
    with services.shard_for_read(collection, request) as shard, shard.snapshot() as snapshot:
        rows = row_set_of(services, collection, snapshot, parsed)
        for pid, owner, record in visible(snapshot, tenant_id, request.scope, first_pid, rows):
            if matches is not None and not matches(record.payload):
                continue
            is_full = not size.takes(record)
            if len(points) == request.limit or (is_full and points):
                cursor = encode_cursor(key, (pid,), services.secret)
                return ScrollPage(points=points, next_cursor=cursor, sequence=snapshot.sequence)
            points.append(answer_of(services, tenant_id, pid, owner, record, request, snapshot))
        return ScrollPage(points=points, next_cursor=None, sequence=snapshot.sequence)


def count(services: Services, caller: Caller, path: tuple[str, ...], request: Count) -> Counted:
    """How many points match."""
    collection = services.usable(caller, path[0])
    tenant_id = check_tenant_exists(caller)
    parsed = filter_of(request.filter, collection)
    matches = matches_of(parsed)
    with services.shard_for_read(collection, request) as shard, shard.snapshot() as snapshot:
        rows = row_set_of(services, collection, snapshot, parsed)
        n_points = _count(snapshot, tenant_id, request.scope, matches, rows)
        return Counted(count=n_points, sequence=snapshot.sequence)


def _count(snapshot: Snapshot, tenant_id: int, scope: str, matches: Matches | None, rows: RowSet | None) -> int:
    if matches is None and scope == "own":
        n_expired = sum(owner == tenant_id for _, owner in iterate_expiries(snapshot.txn, snapshot.now_ms))
        return read_usage(snapshot.txn, tenant_id).points - n_expired
    points = visible(snapshot, tenant_id, scope, 0, rows)
    return sum(matches is None or matches(record.payload) for _, _, record in points)


def visible(snapshot: Snapshot, tenant_id: int, scope: str, first_pid: int, rows: RowSet | None = None) -> Visible:
    """The tenant's points that have not expired, from `first_pid` on, each once.

    `rows`: only points in it are wanted; where it is small, only they are looked up.
    """
    if rows is not None and _is_small(snapshot.txn, tenant_id, scope, len(rows.pids)):
        among = _visible_among(snapshot.txn, tenant_id, scope, rows.pids.iter_equal_or_larger(first_pid))
        return (entry for entry in among if not entry[2].is_expired(snapshot.now_ms))
    own: Visible = ((pid, tenant_id, record) for pid, record in own_records(snapshot.txn, tenant_id, first_pid))
    found = own if scope == "own" else _merged(snapshot, tenant_id, own, first_pid)
    return (entry for entry in found if not entry[2].is_expired(snapshot.now_ms))


def own_records(
    txn: Transaction, owner: int, first_pid: int, rows: RowSet | None = None
) -> Iterator[tuple[int, Record]]:
    """(pid, record) of an owner's points from `first_pid` on; of `rows`, where it is small, only those in it."""
    if rows is not None and _is_small(txn, owner, "own", len(rows.pids)):
        among = _visible_among(txn, owner, "own", rows.pids.iter_equal_or_larger(first_pid))
        return ((pid, record) for pid, _, record in among)
    return ((pid, decode_record(value)) for pid, value in iterate_records(txn, owner, first_pid))


def _is_small(txn: Transaction, tenant_id: int, scope: str, n_pids: int) -> bool:
    """Whether to look up so many pids, of all tenants, costs less than to go through what this one may see."""
    enough = n_pids // LOOK_UPS_PER_RECORD
    n_own = read_usage(txn, tenant_id).points
    if n_own >= enough or scope == "own":
        return n_own >= enough
    grantees = (tenant_id, EVERYONE_ID)
    return n_own + sum(count_grants(txn, grantee, enough) for grantee in grantees) >= enough


def _visible_among(txn: Transaction, tenant_id: int, scope: str, pids: Iterator[int]) -> Visible:
    """Those of `pids`, ascending, that the tenant may see, expired ones too."""
    while chunk := list(islice(pids, LOOK_UPS)):
        owners: dict[int, int] = {}
        for grantee in (EVERYONE_ID, tenant_id) if scope != "own" else ():
            owners |= find_granted(txn, grantee, chunk)
        places = [(owners.get(pid, tenant_id), pid) for pid in chunk]
        for (owner, pid), record in zip(places, read_records(txn, places), strict=True):
            if record is not None:
                yield pid, owner, record


def _merged(snapshot: Snapshot, tenant_id: int, own: Visible, first_pid: int) -> Visible:
    streams = [own, _granted(snapshot, tenant_id, first_pid), _granted(snapshot, EVERYONE_ID, first_pid)]
    last = -1
    for pid, owner, record in heapq.merge(*streams, key=lambda entry: entry[0]):
        if pid != last:
            yield pid, owner, record
        last = pid


def _granted(snapshot: Snapshot, grantee: int, first_pid: int) -> Visible:
    for pid, owner in iterate_grants(snapshot.txn, grantee, first_pid):
        record = read_record(snapshot.txn, owner, pid)
        if record is not None:
            yield pid, owner, record


def answer_of(
    services: Services,
    tenant_id: int,
    pid: int,
    owner: int,
    record: Record,
    request: GetPoints | Scroll,
    snapshot: Snapshot,
) -> Point:
    """A point as this tenant sees it; only its owner sees whom it is shared with."""
    point = Point(id=record.id.decode(), owner=services.tenant_name(owner), version=record.version)
    if record.expires_at_ms:
        point.expires_at = moment_of(record.expires_at_ms)
    if owner == tenant_id:
        names = (live_tenant_name(services, grantee) for grantee in record.shared)
        point.shared_with = sorted(name for name in names if name is not None)
    if request.with_payload:
        point.payload = payload_of(record)
    if request.with_vector:
        point.vector = vector_of(snapshot, owner, pid, record, request.vector_encoding)
    return point


def payload_of(record: Record) -> Any:
    """The stored JSON, ready for an answer."""
    return Raw(record.payload) if record.payload else EMPTY_PAYLOAD


def vector_of(snapshot: Snapshot, owner: int, pid: int, record: Record, encoding: str) -> Any:
    """The exact float32 values that were sent; None where there is no vector. Raises CorruptData."""
    if not record.has_vector:
        return None
    stored = read_vector(snapshot.txn, owner, pid)
    if stored is None or crc32(stored) != record.vector_checksum:
        raise CorruptData("a vector's checksum does not match its bytes")
    return encode_vector(np.frombuffer(stored, "<f4"), encoding)


def _query_key(collection: CollectionDocument, tenant_id: int, scope: str, filter_key: bytes) -> bytes:
    return msgspec.json.encode([collection.id, tenant_id, scope]) + filter_key


def _check_limit(limit: int, limits: Limits) -> None:
    if not 1 <= limit <= limits.max_scroll_limit:
        raise InvalidArgument.at("/limit", f"limit is 1 to {limits.max_scroll_limit}")
