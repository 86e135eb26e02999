"""Entries of one cache inside a transaction: heads, vectors, answers, groups, and the indexes and usages that follow.

Every function takes the transaction; a read sees one snapshot, a write is part of its caller's commit. `put_entry` and
`remove_entry` keep the exact keys, expiries, sources and usages in step with the head. Layouts: `keyspace`,
`cache_codec`.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice

from vdb.errors import CorruptData
from vdb.storage.cache_codec import (
    NO_USAGE,
    CacheEntry,
    CacheUsage,
    decode_cache_usage,
    decode_entry,
    decode_group,
    encode_cache_usage,
    encode_entry,
    encode_group,
    seal,
    unseal,
    usage_of,
)
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_u64, encode_u64
from vdb.storage.env import Transaction
from vdb.storage.keyspace import (
    ALL_OWNERS,
    Space,
    category_key,
    entry_expiry_key,
    entry_key,
    entry_of_key,
    exact_key,
    owner_prefix,
    source_key,
    source_prefix,
)

logger = logging.getLogger(__name__)

Place = tuple[int, int]
"""(tenant, number) of an entry."""

LAST_ENTRY = 0xFFFF_FFFF_FFFF_FFFF


def put_entry(
    txn: Transaction,
    entry: CacheEntry,
    vector: bytes | None,
    answer: bytes,
    group: int | None = None,
    rejected: int = 0,
) -> tuple[CacheEntry, ...]:
    """Store an entry; the one that had its exact key (or, unlikely, its number) goes and is returned.

    `vector` is float32 little-endian, None for an entry that is found by its exact key only; `group` None is one of its
    own, `rejected` 0 no group. What the entry says of their lengths has to be right.
    """
    tenant, number = entry.tenant, entry.number
    assert (entry.vector_bytes, entry.answer_bytes) == (len(vector or b""), len(answer)), "lengths"
    gone = _make_room(txn, entry)
    head = encode_entry(entry)
    txn.put(entry_key(Space.ENTRY, tenant, number), head)
    if vector is not None:
        txn.put(entry_key(Space.ENTRY_VECTOR, tenant, number), seal(vector))
    txn.put(entry_key(Space.ENTRY_ANSWER, tenant, number), seal(answer))
    put_group(txn, tenant, number, number if group is None else group, rejected)
    for key, value in index_entries_of(entry):
        txn.put(key, value)
    _add_usage(txn, entry, usage_of(entry, len(head)))
    return gone


def _make_room(txn: Transaction, entry: CacheEntry) -> tuple[CacheEntry, ...]:
    """Remove what stands where the entry is to stand. Damaged entries stay: nothing leads to them any more."""
    former = find_exact(txn, entry.tenant, entry.exact)
    gone = []
    for number in {entry.number, entry.number if former is None else former}:
        try:
            removed = remove_entry(txn, entry.tenant, number)
        except CorruptData as exc:
            logger.error("entry %016x of tenant %s cannot be read", number, entry.tenant, exc_info=exc)
            continue
        gone += [removed] if removed is not None else []
    return tuple(gone)


def remove_entry(txn: Transaction, tenant: int, number: int) -> CacheEntry | None:
    """Remove an entry from every index; None where there is none. Raises CorruptData for a damaged one."""
    value = txn.get(entry_key(Space.ENTRY, tenant, number))
    if value is None:
        return None
    entry = decode_entry(value)
    for space in (Space.ENTRY, Space.ENTRY_VECTOR, Space.ENTRY_ANSWER, Space.ENTRY_GROUP):
        txn.delete(entry_key(space, tenant, number))
    for key, _ in index_entries_of(entry):
        txn.delete(key)
    _add_usage(txn, entry, NO_USAGE.minus(usage_of(entry, len(value))))
    return entry


def index_entries_of(entry: CacheEntry) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of all that an entry has in the indexes."""
    tenant, number = entry.tenant, entry.number
    yield exact_key(tenant, entry.exact), encode_u64(number)
    if entry.expires_at_ms > 0:
        yield entry_expiry_key(entry.expires_at_ms, tenant, number), b""
    for collection, owner, point_id in entry.dependencies:
        yield source_key(collection, owner, point_id, tenant, number), b""


def read_entry(txn: Transaction, tenant: int, number: int) -> CacheEntry | None:
    """Raises CorruptData."""
    value = txn.get(entry_key(Space.ENTRY, tenant, number))
    return None if value is None else decode_entry(value)


def read_answer(txn: Transaction, tenant: int, number: int) -> bytes | None:
    """The answer as it was sent; raises CorruptData: half an answer is never served."""
    value = txn.get(entry_key(Space.ENTRY_ANSWER, tenant, number))
    return None if value is None else unseal(value, "an answer")


def read_entry_vector(txn: Transaction, tenant: int, number: int) -> bytes | None:
    """float32 little-endian; raises CorruptData."""
    value = txn.get(entry_key(Space.ENTRY_VECTOR, tenant, number))
    return None if value is None else unseal(value, "an entry's vector")


def find_exact(txn: Transaction, tenant: int, exact: bytes) -> int | None:
    """Number of the tenant's entry with that exact key."""
    value = txn.get(exact_key(tenant, exact))
    return None if value is None else decode_u64(value)


def put_group(txn: Transaction, tenant: int, number: int, group: int, rejected: int = 0) -> None:
    """Move an entry into an answer group; one of its own number, that rejects none (0), leaves no key."""
    key = entry_key(Space.ENTRY_GROUP, tenant, number)
    if group == number and not rejected:
        txn.delete(key)
    else:
        txn.put(key, encode_group(group, rejected))


def read_group(txn: Transaction, tenant: int, number: int) -> tuple[int, int]:
    """(group, rejected group or 0); raises CorruptData."""
    value = txn.get(entry_key(Space.ENTRY_GROUP, tenant, number))
    return (number, 0) if value is None else decode_group(value)


def iterate_entries(txn: Transaction, tenant: int | None = None, after: Place | None = None) -> Iterator[CacheEntry]:
    """Entries of one tenant or of all, by tenant and number, those past `after` where given.

    A damaged one is logged and left out: nothing of it is served.
    """
    prefix = bytes((Space.ENTRY,)) if tenant is None else owner_prefix(Space.ENTRY, tenant)
    start = b"" if after is None else entry_key(Space.ENTRY, *after)[len(prefix) :]
    for key, value in iterate_prefix(txn, prefix, start):
        try:
            yield decode_entry(value)
        except CorruptData as exc:
            logger.error("entry %s cannot be read", key[1:].hex(), exc_info=exc)


def iterate_loaded(
    txn: Transaction, tenant: int | None = None, after: Place | None = None
) -> Iterator[tuple[CacheEntry, bytes | None, int, int]]:
    """(entry, vector or None, group, rejected group or 0) as `iterate_entries`.

    An entry whose vector or group is damaged is left out too.
    """
    for entry in iterate_entries(txn, tenant, after):
        try:
            vector = read_entry_vector(txn, entry.tenant, entry.number)
            if len(vector or b"") != entry.vector_bytes:
                raise CorruptData("its vector is missing or cut short")
            yield entry, vector, *read_group(txn, entry.tenant, entry.number)
        except CorruptData as exc:
            logger.error("entry %016x of tenant %s cannot be read", entry.number, entry.tenant, exc_info=exc)


def iterate_expired(txn: Transaction, now_ms: int, n_max: int) -> list[Place]:
    """Up to `n_max` entries expired by `now_ms`, earliest first; what a damaged entry has left in the index is none."""
    end = entry_expiry_key(now_ms + 1, 0, 0)
    found: list[Place] = []
    for key, _ in iterate_prefix(txn, bytes((Space.ENTRY_EXPIRY,))):
        if key >= end or len(found) >= n_max:
            break
        if txn.get(entry_key(Space.ENTRY, *entry_of_key(key))) is not None:
            found.append(entry_of_key(key))
    return found


def entries_of_source(txn: Transaction, collection: int, owner: int, point_id: bytes) -> list[Place]:
    """The entries that a point was a source of."""
    return [entry_of_key(key) for key, _ in iterate_prefix(txn, source_prefix(collection, owner, point_id))]


def entries_of_collection(
    txn: Transaction, collection: int, owner: int | None = None, n_max: int = 1_000
) -> list[Place]:
    """Up to `n_max` entries that depend on a collection (on an owner's points there), each perhaps more than once.

    Those who remove what they are given get others next time.
    """
    found = iterate_prefix(txn, source_prefix(collection, owner))
    return [entry_of_key(key) for key, _ in islice(found, n_max)]


def entries_of_tenant(txn: Transaction, tenant: int, n_max: int) -> list[Place]:
    """Up to `n_max` entries of a tenant, damaged ones too."""
    found = iterate_prefix(txn, owner_prefix(Space.ENTRY, tenant))
    return [entry_of_key(key) for key, _ in islice(found, n_max)]


def count_of_source(txn: Transaction, collection: int, owner: int | None = None, point_id: bytes | None = None) -> int:
    """How many entries depend on it, for a dry run; an entry with several sources there counts once."""
    return len({entry_of_key(key) for key, _ in iterate_prefix(txn, source_prefix(collection, owner, point_id))})


def remove_damaged(txn: Transaction, tenant: int, number: int) -> None:
    """Remove an entry whose head cannot be read; a check finds what still leads to it, and its bytes in usages."""
    for space in (Space.ENTRY, Space.ENTRY_VECTOR, Space.ENTRY_ANSWER, Space.ENTRY_GROUP):
        txn.delete(entry_key(space, tenant, number))


# Usages


def read_cache_usage(txn: Transaction, tenant: int = ALL_OWNERS, category: str = "") -> CacheUsage:
    """What a tenant has in a category, in all of them (""), or what everyone has together (no tenant)."""
    return decode_cache_usage(txn.get(category_key(Space.CACHE_USAGE, tenant, category)))


def iterate_cache_usages(txn: Transaction, tenant: int | None = None) -> Iterator[tuple[int, str, CacheUsage]]:
    """(tenant, category, usage) of every category in which a tenant has entries; sums are left out."""
    prefix = bytes((Space.CACHE_USAGE,)) if tenant is None else owner_prefix(Space.CACHE_USAGE, tenant)
    for key, value in iterate_prefix(txn, prefix):
        if len(key) > 5:
            yield int.from_bytes(key[1:5], "big"), key[5:].decode(), decode_cache_usage(value)


def usage_keys_of(tenant: int, category: str) -> Sequence[bytes]:
    """Keys of the usages that an entry counts in."""
    return (
        category_key(Space.CACHE_USAGE, tenant, category),
        category_key(Space.CACHE_USAGE, tenant),
        category_key(Space.CACHE_USAGE, ALL_OWNERS),
    )


def _add_usage(txn: Transaction, entry: CacheEntry, change: CacheUsage) -> None:
    for key in usage_keys_of(entry.tenant, entry.category):
        usage = decode_cache_usage(txn.get(key)).plus(change)
        if usage == NO_USAGE:
            txn.delete(key)
        else:
            txn.put(key, encode_cache_usage(usage))
