"""Index entries of a collection and the records they follow from, both ways."""

from collections.abc import Iterator

from vdb.storage.codec import Record, decode_record, decode_u32, encode_u32
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, expiry_key, expiry_of, grant_key, pair_of, point_id_prefix, record_key

KEY_BYTES = {
    Space.RECORD: 9,
    Space.VECTOR: 9,
    Space.GRANT: 9,
    Space.EXPIRY: 13,
    Space.USAGE: 5,
    Space.CHANGE: 13,
    Space.TEXT_INDEX: 1,
    Space.TEXT_STATISTICS: 5,
    Space.POSTINGS: 17,
}
"""Lengths of the keys that have one; an id follows in those of POINT_ID, a name in those of META.

Those of PAYLOAD_INDEX are looked at by `check_indexes`.
"""

INDEXES = (Space.POINT_ID, Space.GRANT, Space.EXPIRY)


def is_known(key: bytes) -> bool:
    """Whether a key is of a space that a collection has, and as long as its keys are."""
    space = key[0]
    return space in (Space.META, Space.POINT_ID, Space.PAYLOAD_INDEX) or KEY_BYTES.get(space) == len(key)  # type: ignore[call-overload]


def entries_of(owner: int, pid: int, record: Record) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of every entry that a record has in the indexes."""
    yield point_id_prefix(owner) + record.id, encode_u32(pid)
    if record.expires_at_ms > 0:
        yield expiry_key(record.expires_at_ms, pid), encode_u32(owner)
    for grantee in record.shared:
        yield grant_key(grantee, pid), encode_u32(owner)


def leads(txn: Transaction, key: bytes, value: bytes) -> bool:
    """Whether an entry of an index, or a vector, leads to a point that has it.

    Raises CorruptData where the point's record is damaged: nobody knows what it had.
    """
    if not is_known(key):
        return False
    if key[0] == Space.VECTOR:
        record = _record(txn, *pair_of(key))
        return record is not None and record.has_vector
    if len(value) != 4:
        return False
    number = decode_u32(value)
    if key[0] == Space.POINT_ID:
        record = _record(txn, int.from_bytes(key[1:5], "big"), number)
        return record is not None and record.id == key[5:]
    if key[0] == Space.GRANT:
        grantee, pid = pair_of(key)
        record = _record(txn, number, pid)
        return record is not None and grantee in record.shared
    expires_at_ms, pid = expiry_of(key)
    record = _record(txn, number, pid)
    return record is not None and record.expires_at_ms == expires_at_ms


def _record(txn: Transaction, owner: int, pid: int) -> Record | None:
    value = txn.get(record_key(owner, pid))
    return None if value is None else decode_record(value)
