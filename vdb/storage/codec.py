"""Value layouts of format 6; those of changes are in `changes.py`, those of caches in `cache_codec.py`.

Integers in values are little-endian; checksums are CRC-32 (zlib's).

Record of a point (38 bytes, then grants, id, payload):

    0   u32  checksum of all bytes that follow
    4   u8   layout, 1
    5   u8   flags: bit 0 has a vector
    6   u16  number of grants
    8   u16  length of the id in bytes
    10  u64  version: the sequence of the last write of this point
    18  u64  vector version: the sequence at which its vector was last written
    26  i64  expiry, epoch milliseconds; 0 never
    34  u32  checksum of the vector's bytes
    38  u32 × grants: tenant ids, ascending; 0xFFFFFFFF is everyone
    …   id, UTF-8
    …   payload, a JSON object in UTF-8; empty means {}
"""

import struct
from typing import TypeVar
from zlib import crc32

import msgspec

from vdb.errors import CorruptData

FORMAT_VERSION = 6
RECORD_LAYOUT = 1
HAS_VECTOR = 1

_HEAD = struct.Struct("<IBBHHQQqI")
_BODY = struct.Struct("<BBHHQQqI")
_CHECKSUM = struct.Struct("<I")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_USAGE = struct.Struct("<QQQQQ")

HEAD_BYTES = _HEAD.size


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What an owner has in a collection, or all of its owners have together; as a change, numbers may be negative.

    `vectors` are the points that have one, `grants` the tenants that the points are shared with, summed over points.
    """

    points: int = 0
    vectors: int = 0
    id_bytes: int = 0
    payload_bytes: int = 0
    grants: int = 0

    def n_bytes(self, dimension: int) -> int:
        """Bytes that count towards the owner's quota."""
        return self.id_bytes + self.payload_bytes + 4 * dimension * self.vectors

    def plus(self, other: "Usage") -> "Usage":
        return Usage(
            self.points + other.points,
            self.vectors + other.vectors,
            self.id_bytes + other.id_bytes,
            self.payload_bytes + other.payload_bytes,
            self.grants + other.grants,
        )

    def minus(self, other: "Usage") -> "Usage":
        return Usage(
            self.points - other.points,
            self.vectors - other.vectors,
            self.id_bytes - other.id_bytes,
            self.payload_bytes - other.payload_bytes,
            self.grants - other.grants,
        )

    @property
    def is_possible(self) -> bool:
        """Whether it can be what somebody has: no number is negative."""
        return min(self.points, self.vectors, self.id_bytes, self.payload_bytes, self.grants) >= 0


NOTHING = Usage()


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is stored of a point beside its vector; `shared` are tenant ids, ascending.

    Not a dataclass: a frozen one takes as long to make as all else that is done to decode a record.
    """

    id: bytes
    version: int
    vector_version: int
    expires_at_ms: int
    shared: tuple[int, ...]
    payload: bytes
    has_vector: bool
    vector_checksum: int

    def is_expired(self, now_ms: int) -> bool:
        return 0 < self.expires_at_ms <= now_ms

    @property
    def usage(self) -> Usage:
        """What the point adds to its owner's usage."""
        return Usage(1, int(self.has_vector), len(self.id), len(self.payload), len(self.shared))


def encode_record(record: Record) -> bytes:
    """The stored bytes of a record."""
    n_shared = len(record.shared)
    body = b"".join(
        (
            _BODY.pack(
                RECORD_LAYOUT,
                HAS_VECTOR if record.has_vector else 0,
                n_shared,
                len(record.id),
                record.version,
                record.vector_version,
                record.expires_at_ms,
                record.vector_checksum,
            ),
            struct.pack(f"<{n_shared}I", *record.shared) if n_shared else b"",
            record.id,
            record.payload,
        )
    )
    return _CHECKSUM.pack(crc32(body)) + body


def decode_record(value: bytes) -> Record:
    """The record of stored bytes; raises CorruptData when the checksum or the layout is wrong."""
    if len(value) < HEAD_BYTES:
        raise CorruptData("a record is shorter than its head")
    checksum, layout, flags, n_shared, id_length, version, vector_version, expires_at_ms, vector_checksum = (
        _HEAD.unpack_from(value)
    )
    if crc32(memoryview(value)[4:]) != checksum or layout != RECORD_LAYOUT:
        raise CorruptData("a record's checksum does not match its bytes")
    id_start = HEAD_BYTES + 4 * n_shared
    payload_start = id_start + id_length
    return Record(
        value[id_start:payload_start],
        version,
        vector_version,
        expires_at_ms,
        struct.unpack_from(f"<{n_shared}I", value, HEAD_BYTES) if n_shared else (),
        value[payload_start:],
        bool(flags & HAS_VECTOR),
        vector_checksum,
    )


def decode_hit(value: bytes) -> tuple[bytes, int, int, bytes]:
    """(id, version, expires_at_ms, payload) of a stored record: what an answer says of it. Raises CorruptData."""
    if len(value) < HEAD_BYTES:
        raise CorruptData("a record is shorter than its head")
    checksum, layout, _, n_shared, id_length, version, _, expires_at_ms, _ = _HEAD.unpack_from(value)
    if crc32(value[4:]) != checksum or layout != RECORD_LAYOUT:
        raise CorruptData("a record's checksum does not match its bytes")
    id_start = HEAD_BYTES + 4 * n_shared
    payload_start = id_start + id_length
    return value[id_start:payload_start], version, expires_at_ms, value[payload_start:]


def encode_u32(number: int) -> bytes:
    return _U32.pack(number)


def decode_u32(value: bytes) -> int:
    """The number; raises CorruptData when the value is not one."""
    try:
        return int(_U32.unpack(value)[0])
    except struct.error as exc:
        raise CorruptData("a stored number is not 4 bytes long") from exc


def encode_u64(number: int) -> bytes:
    return _U64.pack(number)


def decode_u64(value: bytes | None) -> int:
    """The number, 0 where nothing is stored; raises CorruptData when the value is not one."""
    try:
        return int(_U64.unpack(value)[0]) if value is not None else 0
    except struct.error as exc:
        raise CorruptData("a stored number is not 8 bytes long") from exc


def encode_usage(usage: Usage) -> bytes:
    return _USAGE.pack(usage.points, usage.vectors, usage.id_bytes, usage.payload_bytes, usage.grants)


def decode_usage(value: bytes | None) -> Usage:
    """The usage, zeros where nothing is stored; raises CorruptData when the value is none."""
    if value is None:
        return NOTHING
    try:
        return Usage(*_USAGE.unpack(value))
    except struct.error as exc:
        raise CorruptData(f"a stored usage is not {_USAGE.size} bytes long") from exc


Shape = TypeVar("Shape", bound=msgspec.Struct)


def encode_document(document: msgspec.Struct) -> bytes:
    """A catalog value: CRC-32, then JSON."""
    body = msgspec.json.encode(document)
    return _CHECKSUM.pack(crc32(body)) + body


def decode_document(value: bytes, shape: type[Shape]) -> Shape:
    """The document of a catalog value; raises CorruptData."""
    body = value[4:]
    if len(value) < 4 or _CHECKSUM.unpack_from(value)[0] != crc32(body):
        raise CorruptData("a catalog value's checksum does not match its bytes")
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as exc:
        raise CorruptData(f"a catalog value is not a {shape.__name__}") from exc
