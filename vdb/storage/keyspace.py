"""Every key layout of format 6. Integers in keys are big-endian, so that byte order is number order.

A key begins with one byte, its space. Collection and cache environments and the catalog have one unnamed database each.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum

from vdb.types import EVERYONE_ID as EVERYONE_ID

ALL_OWNERS = 0
"""In place of an owner's id in a usage: the collection's totals."""

LAST_NUMBER = 0xFFFF_FFFF


class Space(IntEnum):
    """First byte of a key. Never reuse a number."""

    META = 0x01
    POINT_ID = 0x10
    RECORD = 0x20
    VECTOR = 0x30
    GRANT = 0x40
    EXPIRY = 0x50
    USAGE = 0x60
    CHANGE = 0x70
    PAYLOAD_INDEX = 0x78
    TEXT_INDEX = 0x79
    TEXT_STATISTICS = 0x7A
    POSTINGS = 0x7B
    COLLECTION = 0x80
    COLLECTION_NAME = 0x81
    TENANT = 0x82
    TENANT_NAME = 0x83
    KEY = 0x84
    KEY_HASH = 0x85
    TENANT_KEY = 0x86
    JOB = 0x87
    ALIAS = 0x88
    TENANT_USAGE = 0x89
    CACHE = 0x8A
    CACHE_NAME = 0x8B
    TEMPLATE = 0x8C
    ENTRY = 0x90
    ENTRY_VECTOR = 0x91
    ENTRY_ANSWER = 0x92
    ENTRY_GROUP = 0x93
    ENTRY_EXACT = 0x94
    ENTRY_EXPIRY = 0x95
    ENTRY_SOURCE = 0x96
    CACHE_USAGE = 0x97
    LABEL = 0x98
    POLICY = 0x99
    CACHE_STATISTICS = 0x9A


META_FORMAT = b"\x01format"
META_RELEASE = b"\x01release"
META_UPGRADING = b"\x01upgrading"
META_SEQUENCE = b"\x01sequence"
META_NEXT_PID = b"\x01next_pid"
META_COLLECTION = b"\x01collection"
META_N_POINTS = b"\x01n_points"
META_CHANGES_FROM = b"\x01changes_from"
META_INDEX_EPOCH = b"\x01index_epoch"
META_INDEX_EPOCH_BEFORE = b"\x01index_epoch_before"
META_INDEX_BUILD = b"\x01index_build"
META_NEXT_COLLECTION = b"\x01next_collection"
META_NEXT_TENANT = b"\x01next_tenant"
META_NEXT_JOB = b"\x01next_job"
META_NEXT_CACHE = b"\x01next_cache"
META_CACHE = b"\x01cache"

TEXT_INDEX_KEY = bytes((Space.TEXT_INDEX,))
"""Of the text index's document: a collection has one such index, or none."""

INDEX_ENTRY_BYTES = 6
"""The shortest key of an entry of a payload index: space, number, a tag, and the upper half of pids."""

_OWNER = struct.Struct(">BI")
_PAIR = struct.Struct(">BII")
_EXPIRY = struct.Struct(">BQI")
_CHANGE = struct.Struct(">BQI")
_INDEX = struct.Struct(">BH")
_INDEX_DOCUMENT = struct.Struct(">BHH")
_ENTRY = struct.Struct(">BIQ")
_ENTRY_EXPIRY = struct.Struct(">BQIQ")
_SOURCE = struct.Struct(">BIIH")
_ENTRY_PLACE = struct.Struct(">IQ")
_LABELS = struct.Struct(">BIB")
_U64 = struct.Struct(">Q")


def point_id_prefix(owner: int) -> bytes:
    """Prefix of the ids of one owner; the id's UTF-8 bytes follow. Value: the pid."""
    return _OWNER.pack(Space.POINT_ID, owner)


def record_key(owner: int, pid: int) -> bytes:
    """(owner, pid) → the record: version, expiry, grants, id, payload."""
    return _PAIR.pack(Space.RECORD, owner, pid)


def record_keys(places: Iterable[tuple[int, int]]) -> list[bytes]:
    """The keys of many records, (owner, pid): a search packs them for every hit."""
    pack, space = _PAIR.pack, int(Space.RECORD)
    return [pack(space, owner, pid) for owner, pid in places]


def vector_key(owner: int, pid: int) -> bytes:
    """(owner, pid) → float32 little-endian vector."""
    return _PAIR.pack(Space.VECTOR, owner, pid)


def grant_key(grantee: int, pid: int) -> bytes:
    """(grantee, pid) → owner; grantee `EVERYONE_ID` lists the points shared with everyone."""
    return _PAIR.pack(Space.GRANT, grantee, pid)


def expiry_key(expires_at_ms: int, pid: int) -> bytes:
    """(expiry in epoch milliseconds, pid) → owner."""
    return _EXPIRY.pack(Space.EXPIRY, expires_at_ms, pid)


def usage_key(owner: int) -> bytes:
    """owner (or `ALL_OWNERS`) → points, vectors, bytes of ids and payloads, and grants given, in this collection."""
    return _OWNER.pack(Space.USAGE, owner)


def index_document_key(number: int) -> bytes:
    """0, number of a payload index (1 and up) → its document."""
    return _INDEX_DOCUMENT.pack(Space.PAYLOAD_INDEX, 0, number)


def index_prefix(number: int) -> bytes:
    """Prefix of a payload index's entries; the entry and the upper 16 bits of pids follow. Value: their lower 16."""
    return _INDEX.pack(Space.PAYLOAD_INDEX, number)


def text_statistics_key(audience: int) -> bytes:
    """audience → number of points in its part of the text index, and the sum of their lengths."""
    return _OWNER.pack(Space.TEXT_STATISTICS, audience)


def postings_prefix(audience: int, term: bytes = b"") -> bytes:
    """Prefix of an audience's postings, or of those of a term (its hash, 8 bytes); a pid that none of a block exceeds
    follows. Value: a block of postings."""
    return _OWNER.pack(Space.POSTINGS, audience) + term


def owner_prefix(space: Space, owner: int) -> bytes:
    """Prefix of one owner's (or grantee's) keys in `space`."""
    return _OWNER.pack(space, owner)


def pair_of(key: bytes) -> tuple[int, int]:
    """(owner, pid) of a record or vector key; (grantee, pid) of a grant key."""
    _, first, pid = _PAIR.unpack(key)
    return first, pid


def expiry_of(key: bytes) -> tuple[int, int]:
    """(expires_at_ms, pid) of an expiry key."""
    _, expires_at_ms, pid = _EXPIRY.unpack(key)
    return expires_at_ms, pid


def change_key(sequence: int, part: int = 0) -> bytes:
    """(sequence of a write, 0 for the first change of that write, 1 for its second, …) → the change."""
    return _CHANGE.pack(Space.CHANGE, sequence, part)


def change_of(key: bytes) -> tuple[int, int]:
    """(sequence, part) of a change's key."""
    _, sequence, part = _CHANGE.unpack(key)
    return sequence, part


def number_key(space: Space, number: int) -> bytes:
    """Catalog key of a numbered thing: collection, tenant or job."""
    return _OWNER.pack(space, number)


def name_key(space: Space, name: str) -> bytes:
    """Catalog key of a named thing."""
    return bytes((space,)) + name.encode()


def tenant_usage_key(tenant: int, month: int) -> bytes:
    """(tenant, month as yyyymm) → document: what the tenant asked for in that month."""
    return _PAIR.pack(Space.TENANT_USAGE, tenant, month)


def templates_prefix(collection: int, name: str = "") -> bytes:
    """Prefix of a collection's templates, or of the versions of one: its name, a zero byte; the version follows."""
    prefix = _OWNER.pack(Space.TEMPLATE, collection)
    return prefix + name.encode() + b"\0" if name else prefix


def template_key(collection: int, name: str, version: int) -> bytes:
    """(collection, name, version) → document: that version of a template."""
    return templates_prefix(collection, name) + version.to_bytes(4, "big")


def tenant_key_key(tenant: int, key_id: str) -> bytes:
    """(tenant, key id) → empty: the keys bound to a tenant."""
    return _OWNER.pack(Space.TENANT_KEY, tenant) + key_id.encode()


def entry_key(space: Space, tenant: int, number: int) -> bytes:
    """(tenant, number of an entry of a cache) in one of the spaces `ENTRY` to `ENTRY_GROUP`."""
    return _ENTRY.pack(space, tenant, number)


def entry_of_key(key: bytes) -> tuple[int, int]:
    """(tenant, number) of a key of an entry, or of one of an index of entries that ends with both."""
    tenant, number = _ENTRY_PLACE.unpack_from(key, len(key) - _ENTRY_PLACE.size)
    return tenant, number


def exact_key(tenant: int, exact: bytes) -> bytes:
    """(tenant, hash of partition and text, 16 bytes) → number of the entry."""
    return _OWNER.pack(Space.ENTRY_EXACT, tenant) + exact


def entry_expiry_key(expires_at_ms: int, tenant: int, number: int) -> bytes:
    """(expiry in epoch milliseconds, tenant, number) → empty."""
    return _ENTRY_EXPIRY.pack(Space.ENTRY_EXPIRY, expires_at_ms, tenant, number)


def source_prefix(collection: int, owner: int | None = None, point_id: bytes | None = None) -> bytes:
    """Prefix of the entries that depend on a collection, on a point of an owner there, or (owner None) on any.

    A retrieval stands under owner 0, who is nobody, and the empty id.
    """
    if owner is None:
        return _OWNER.pack(Space.ENTRY_SOURCE, collection)
    if point_id is None:
        return _PAIR.pack(Space.ENTRY_SOURCE, collection, owner)
    return _SOURCE.pack(Space.ENTRY_SOURCE, collection, owner, len(point_id)) + point_id


def source_key(collection: int, owner: int, point_id: bytes, tenant: int, number: int) -> bytes:
    """(collection, owner, id of a point with its length before it, tenant, number of the entry) → empty."""
    return source_prefix(collection, owner, point_id) + _ENTRY_PLACE.pack(tenant, number)


def category_key(space: Space, tenant: int, category: str = "") -> bytes:
    """(tenant, category) → usage or statistics; usage of category "" is a tenant's sum, of tenant 0 everyone's."""
    return _OWNER.pack(space, tenant) + category.encode()


def label_prefix(tenant: int, category: str) -> bytes:
    """Prefix of the labels of a tenant in a category, whose length stands before it; a number u64 follows."""
    return _LABELS.pack(Space.LABEL, tenant, len(category)) + category.encode()


def label_key(tenant: int, category: str, number: int) -> bytes:
    """(tenant, category, number in the order of arrival) → label."""
    return label_prefix(tenant, category) + _U64.pack(number)
