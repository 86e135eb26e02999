"""Every key layout of format 3. Integers in keys are big-endian, so that byte order is number order.

A key begins with one byte, its space. Collection environments and the catalog have one unnamed database each.
"""

import struct
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

INDEX_ENTRY_BYTES = 6
"""The shortest key of an entry of a payload index: space, number, a tag, and the upper half of pids."""

_OWNER = struct.Struct(">BI")
_PAIR = struct.Struct(">BII")
_EXPIRY = struct.Struct(">BQI")
_CHANGE = struct.Struct(">BQI")
_INDEX = struct.Struct(">BH")
_INDEX_DOCUMENT = struct.Struct(">BHH")


def point_id_prefix(owner: int) -> bytes:
    """Prefix of the ids of one owner; the id's UTF-8 bytes follow. Value: the pid."""
    return _OWNER.pack(Space.POINT_ID, owner)


def record_key(owner: int, pid: int) -> bytes:
    """(owner, pid) → the record: version, expiry, grants, id, payload."""
    return _PAIR.pack(Space.RECORD, owner, pid)


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


def tenant_key_key(tenant: int, key_id: str) -> bytes:
    """(tenant, key id) → empty: the keys bound to a tenant."""
    return _OWNER.pack(Space.TENANT_KEY, tenant) + key_id.encode()
