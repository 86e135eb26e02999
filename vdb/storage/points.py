"""Points of one collection inside a transaction: records, vectors, ids, grants, expiries, usage.

Every function takes the transaction; a read sees one snapshot, a write is part of its caller's commit. `put_point` and
`remove_point` keep the four indexes (id, grant, expiry, vector) in step with the record, and note in the commit's
`IndexChanges` what becomes of its payload and whom that touches. Layouts: `keyspace`, `codec`.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

from vdb.storage.codec import (
    NOTHING,
    Record,
    Usage,
    decode_record,
    decode_u32,
    decode_usage,
    encode_record,
    encode_u32,
    encode_usage,
)
from vdb.storage.env import Transaction
from vdb.storage.index_changes import IndexChanges, Touch
from vdb.storage.keyspace import (
    ALL_OWNERS,
    LAST_NUMBER,
    Space,
    expiry_key,
    expiry_of,
    grant_key,
    owner_prefix,
    pair_of,
    point_id_prefix,
    record_key,
    record_keys,
    usage_key,
    vector_key,
)

LAST_PID = 0xFFFF_FFFF
_LAST_MS = 0xFFFF_FFFF_FFFF_FFFF


def find_pids(txn: Transaction, owner: int, ids: Sequence[bytes]) -> dict[bytes, int]:
    """id → pid of those of `ids` that the owner has."""
    prefix = point_id_prefix(owner)
    start = len(prefix)
    with txn.cursor() as cursor:
        found = cursor.getmulti([prefix + point_id for point_id in ids])
    return {key[start:]: decode_u32(value) for key, value in found}


def read_record(txn: Transaction, owner: int, pid: int) -> Record | None:
    value = txn.get(record_key(owner, pid))
    return None if value is None else decode_record(value)


def read_values(txn: Transaction, points: Sequence[tuple[int, int]]) -> list[bytes] | None:
    """The encoded records of many (owner, pid), in their order; None where one is missing."""
    with txn.cursor() as cursor:
        found = cursor.getmulti(record_keys(points))
    return [value for _, value in found] if len(found) == len(points) else None


def read_records(txn: Transaction, points: Sequence[tuple[int, int]]) -> list[Record | None]:
    """The records of many (owner, pid), None where there is none; one call of LMDB's cursor for all."""
    keys = record_keys(points)
    with txn.cursor() as cursor:
        found = cursor.getmulti(keys)
    if len(found) == len(keys):  # in their order
        return [decode_record(value) for _, value in found]
    known = dict(found)
    return [decode_record(known[key]) if key in known else None for key in keys]


def read_vectored(txn: Transaction, points: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, bytes, bytes]]:
    """(pid, owner, encoded record, vector bytes) of those of `points`, (pid, owner), that have both, in their order."""
    with txn.cursor() as cursor:
        records = dict(cursor.getmulti([record_key(owner, pid) for pid, owner in points]))
        vectors = dict(cursor.getmulti([vector_key(owner, pid) for pid, owner in points]))
    for pid, owner in points:
        record, vector = records.get(record_key(owner, pid)), vectors.get(vector_key(owner, pid))
        if record is not None and vector is not None:
            yield pid, owner, record, vector


def read_vector(txn: Transaction, owner: int, pid: int) -> bytes | None:
    value: bytes | None = txn.get(vector_key(owner, pid))
    return value


def read_vectors(txn: Transaction, points: Sequence[tuple[int, int]]) -> list[bytes | None]:
    """The vector bytes of many (owner, pid), None where there is none; one call of LMDB's cursor for all."""
    keys = [vector_key(owner, pid) for owner, pid in points]
    with txn.cursor() as cursor:
        found = dict(cursor.getmulti(keys))
    return [found.get(key) for key in keys]


def iterate_records(txn: Transaction, owner: int, first_pid: int = 0) -> Iterator[tuple[int, bytes]]:
    """(pid, encoded record) of an owner in insertion order."""
    return _iterate_pairs(txn, record_key(owner, first_pid), record_key(owner, LAST_PID))


def iterate_vectored(txn: Transaction, owner: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(pid, encoded record, vector bytes) of an owner's points that have a vector, in insertion order."""
    vectors = _iterate_pairs(txn, vector_key(owner, 0), vector_key(owner, LAST_PID))
    pid_of_vector, vector = -1, b""
    for pid, value in iterate_records(txn, owner):
        while pid_of_vector < pid:
            pid_of_vector, vector = next(vectors, (LAST_PID + 1, b""))
        if pid_of_vector == pid:
            yield pid, value, vector


def iterate_all_vectored(txn: Transaction) -> Iterator[tuple[int, int, bytes, bytes]]:
    """(owner, pid, encoded record, vector bytes) of all points that have a vector, by owner and insertion."""
    first, last = (owner_prefix(Space.RECORD, 0), owner_prefix(Space.RECORD, LAST_NUMBER) + b"\xff" * 5)
    vectors = _iterate(txn, owner_prefix(Space.VECTOR, 0), owner_prefix(Space.VECTOR, LAST_NUMBER) + b"\xff" * 5)
    place, vector = (-1, -1), b""
    for key, value in _iterate(txn, first, last):
        wanted = pair_of(key)
        while place < wanted:
            found = next(vectors, None)
            place, vector = (pair_of(found[0]), found[1]) if found is not None else ((LAST_NUMBER + 1, 0), b"")
        if place == wanted:
            yield *wanted, value, vector


def iterate_grants(txn: Transaction, grantee: int, first_pid: int = 0) -> Iterator[tuple[int, int]]:
    """(pid, owner) of the points granted to one grantee, in insertion order of the points."""
    for pid, value in _iterate_pairs(txn, grant_key(grantee, first_pid), grant_key(grantee, LAST_PID)):
        yield pid, decode_u32(value)


def find_granted(txn: Transaction, grantee: int, pids: Sequence[int]) -> dict[int, int]:
    """pid → owner of those of `pids` that are granted to the grantee."""
    with txn.cursor() as cursor:
        found = cursor.getmulti([grant_key(grantee, pid) for pid in pids])
    return {pair_of(key)[1]: decode_u32(value) for key, value in found}


def count_grants(txn: Transaction, grantee: int, at_most: int) -> int:
    """How many points are granted to the grantee, counted up to `at_most`; some 100 ns each."""
    first, last = grant_key(grantee, 0), grant_key(grantee, LAST_PID)
    with txn.cursor() as cursor:
        if not cursor.set_range(first):
            return 0
        granted = takewhile(lambda key: key <= last, cursor.iternext(values=False))
        return sum(1 for _ in islice(granted, at_most))


def iterate_expiries(txn: Transaction, until_ms: int) -> Iterator[tuple[int, int]]:
    """(pid, owner) of the points expired by `until_ms`, earliest first."""
    for key, value in _iterate(txn, expiry_key(0, 0), expiry_key(until_ms, LAST_PID)):
        yield expiry_of(key)[1], decode_u32(value)


def first_expiry(txn: Transaction, after_ms: int) -> int:
    """When the first of the points expires that expire after `after_ms`, in epoch ms; 0 where none does."""
    found = next(_iterate(txn, expiry_key(after_ms + 1, 0), expiry_key(_LAST_MS, LAST_PID)), None)
    return 0 if found is None else expiry_of(found[0])[0]


def iterate_owners(txn: Transaction, first: int = 1) -> Iterator[tuple[int, Usage]]:
    """(owner, usage) of every owner that has points here, ascending, from owner `first` on."""
    for key, value in _iterate(txn, usage_key(max(first, ALL_OWNERS + 1)), usage_key(LAST_PID)):
        yield int.from_bytes(key[1:5], "big"), decode_usage(value)


def count_owners(txn: Transaction) -> int:
    """How many owners have points here; some 100 ns each."""
    first, end = usage_key(ALL_OWNERS + 1), usage_key(LAST_PID)
    with txn.cursor() as cursor:
        if not cursor.set_range(first):
            return 0
        return sum(1 for _ in takewhile(lambda key: key <= end, cursor.iternext(values=False)))


def _iterate_pairs(txn: Transaction, first: bytes, last: bytes) -> Iterator[tuple[int, bytes]]:
    return ((pair_of(key)[1], value) for key, value in _iterate(txn, first, last))


def _iterate(txn: Transaction, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the keys from `first` to `last`, both included."""
    with txn.cursor() as cursor:
        if not cursor.set_range(first):
            return
        for key, value in cursor.iternext():
            if key > last:
                return
            yield key, value


def insert_plain(
    txn: Transaction,
    changes: IndexChanges,
    owner: int,
    first_pid: int,
    records: list[bytes],
    vectors: list[bytes | None],
    ids: Sequence[bytes],
    payloads: Sequence[bytes],
) -> None:
    """Insert new points without grants or expiry, pids `first_pid` and up: three sorted runs of puts."""
    pids = range(first_pid, first_pid + len(ids))
    changes.note_new(owner, first_pid, payloads)
    changes.touch(Touch(owner, first_pid, len(ids), None, ()))
    prefix = point_id_prefix(owner)
    with txn.cursor() as cursor:
        cursor.putmulti(sorted((prefix + point_id, encode_u32(pid)) for pid, point_id in zip(pids, ids, strict=True)))
        cursor.putmulti([(record_key(owner, pid), record) for pid, record in zip(pids, records, strict=True)])
        cursor.putmulti(
            [(vector_key(owner, pid), vector) for pid, vector in zip(pids, vectors, strict=True) if vector is not None]
        )


def put_point(
    txn: Transaction,
    changes: IndexChanges,
    owner: int,
    pid: int,
    old: Record | None,
    new: Record,
    vector: bytes | None,
) -> None:
    """Insert or replace one point; `vector` None leaves the stored vector as it is when `new.has_vector`."""
    changes.note(owner, pid, (old.payload, old.shared) if old else None, (new.payload, new.shared))
    changes.touch(Touch(owner, pid, 1, new.id, _either(old.shared, new.shared) if old else new.shared))
    txn.put(record_key(owner, pid), encode_record(new))
    if vector is not None:
        txn.put(vector_key(owner, pid), vector)
    elif old is not None and old.has_vector and not new.has_vector:
        txn.delete(vector_key(owner, pid))
    if old is None:
        txn.put(point_id_prefix(owner) + new.id, encode_u32(pid))
    _move_expiry(txn, owner, pid, old.expires_at_ms if old else 0, new.expires_at_ms)
    _move_grants(txn, owner, pid, old.shared if old else (), new.shared)


def remove_point(txn: Transaction, changes: IndexChanges, owner: int, pid: int, old: Record) -> None:
    """Remove one point from every index."""
    changes.note(owner, pid, (old.payload, old.shared), None)
    changes.touch(Touch(owner, pid, 1, old.id, old.shared))
    txn.delete(record_key(owner, pid))
    txn.delete(point_id_prefix(owner) + old.id)
    if old.has_vector:
        txn.delete(vector_key(owner, pid))
    _move_expiry(txn, owner, pid, old.expires_at_ms, 0)
    _move_grants(txn, owner, pid, old.shared, ())


def _either(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return first if first == second else tuple({*first, *second})


def _move_expiry(txn: Transaction, owner: int, pid: int, old_ms: int, new_ms: int) -> None:
    if old_ms == new_ms:
        return
    if old_ms:
        txn.delete(expiry_key(old_ms, pid))
    if new_ms:
        txn.put(expiry_key(new_ms, pid), encode_u32(owner))


def _move_grants(txn: Transaction, owner: int, pid: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    if old == new:
        return
    for grantee in set(old).difference(new):
        txn.delete(grant_key(grantee, pid))
    for grantee in set(new).difference(old):
        txn.put(grant_key(grantee, pid), encode_u32(owner))


def read_usage(txn: Transaction, owner: int) -> Usage:
    """What the owner has in this collection. `ALL_OWNERS` is nobody and has nothing: see `read_totals`."""
    return decode_usage(txn.get(usage_key(owner))) if owner != ALL_OWNERS else NOTHING


def read_totals(txn: Transaction) -> Usage:
    """What all owners have together in this collection."""
    return decode_usage(txn.get(usage_key(ALL_OWNERS)))


def write_usage(txn: Transaction, owner: int, usage: Usage) -> None:
    """Store what an owner (or `ALL_OWNERS`) has; nothing leaves no key."""
    if usage != NOTHING:
        txn.put(usage_key(owner), encode_usage(usage))
    else:
        txn.delete(usage_key(owner))


def has_any(txn: Transaction, space: Space, owner: int) -> bool:
    """Whether `owner` (or grantee) has a key in `space`."""
    prefix = owner_prefix(space, owner)
    with txn.cursor() as cursor:
        return bool(cursor.set_range(prefix)) and cursor.key().startswith(prefix)
