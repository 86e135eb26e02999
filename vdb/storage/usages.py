"""Usages that follow from records: what the USAGE entries must say, counted anew."""

from collections.abc import Iterator

from vdb.errors import CorruptData
from vdb.storage.codec import Usage, decode_record
from vdb.storage.env import Transaction
from vdb.storage.keyspace import LAST_NUMBER, Space, pair_of, record_key

RECORD_KEY_BYTES = 9


def count_usages(txn: Transaction, first_owner: int = 0) -> Iterator[tuple[int, Usage, int]]:
    """(owner, usage, how many of their records are damaged) of each owner from `first_owner` on, in order of id.

    A damaged record is a point of which nothing else is known.
    """
    if first_owner > LAST_NUMBER:
        return
    owner = -1
    points = vectors = id_bytes = payload_bytes = grants = n_damaged = 0
    with txn.cursor() as cursor:
        if not cursor.set_range(record_key(first_owner, 0)):
            return
        for key, value in cursor.iternext():
            if key[0] != Space.RECORD:
                break
            if len(key) != RECORD_KEY_BYTES:
                continue
            if (found := pair_of(key)[0]) != owner:
                if owner >= 0:
                    yield owner, Usage(points, vectors, id_bytes, payload_bytes, grants), n_damaged
                owner = found
                points = vectors = id_bytes = payload_bytes = grants = n_damaged = 0
            points += 1
            try:
                record = decode_record(value)
            except CorruptData:
                n_damaged += 1
                continue
            vectors += record.has_vector
            id_bytes += len(record.id)
            payload_bytes += len(record.payload)
            grants += len(record.shared)
    if owner >= 0:
        yield owner, Usage(points, vectors, id_bytes, payload_bytes, grants), n_damaged
