"""From format 1 to 2: an owner's usage in a collection, of old (points, bytes), says what the bytes are.

Format 1: USAGE is points u64, bytes u64. Format 2: points, vectors, bytes of ids, bytes of payloads, grants, u64 each,
and owner 0 has the collection's totals. Nothing else changed; in the catalog nothing at all.

The new numbers are counted from the records. A record that cannot be read counts as a point and nothing more: the
migration must not end at damage that was there before, and `vdb check` goes on reporting it.
"""

import struct
from itertools import islice

from vdb.errors import CorruptData
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import NOTHING, Usage
from vdb.storage.env import Transaction
from vdb.storage.keyspace import Space, usage_key
from vdb.storage.usages import count_usages

OWNERS_AT_ONCE = 10_000
"""A collection may have a million owners: their numbers are not all held in memory."""

TOTALS = 0

_OLD_USAGE = struct.Struct("<QQ")
_NEW_USAGE = struct.Struct("<QQQQQ")


def read_old_usage(txn: Transaction, owner: int) -> tuple[int, int]:
    """(points, bytes) that format 1 has stored for an owner; raises CorruptData."""
    value = txn.get(usage_key(owner))
    try:
        n_points, n_bytes = _OLD_USAGE.unpack(value) if value is not None else (0, 0)
    except struct.error as exc:
        raise CorruptData(f"a stored usage is not {_OLD_USAGE.size} bytes long") from exc
    return n_points, n_bytes


def break_usages_down(txn: Transaction) -> None:
    """The step of a collection."""
    _remove_all(txn)
    totals, first = NOTHING, 0
    while owners := _counted(txn, first):
        for owner, usage in owners:
            _put(txn, owner, usage)
            totals = totals.plus(usage)
        first = owners[-1][0] + 1
    if totals != NOTHING:
        _put(txn, TOTALS, totals)


def _remove_all(txn: Transaction) -> None:
    while True:
        keys = [key for key, _ in islice(iterate_prefix(txn, bytes((Space.USAGE,))), OWNERS_AT_ONCE)]
        if not keys:
            return
        for key in keys:
            txn.delete(key)


def _counted(txn: Transaction, first_owner: int) -> list[tuple[int, Usage]]:
    return [(owner, usage) for owner, usage, _ in islice(count_usages(txn, first_owner), OWNERS_AT_ONCE)]


def _put(txn: Transaction, owner: int, usage: Usage) -> None:
    value = _NEW_USAGE.pack(usage.points, usage.vectors, usage.id_bytes, usage.payload_bytes, usage.grants)
    txn.put(usage_key(owner), value)
