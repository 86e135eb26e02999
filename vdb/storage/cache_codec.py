"""Every value layout of a cache's environment.

Integers are little-endian; checksums are CRC-32 (zlib's) of all bytes that follow.

entry       u32 checksum, u8 layout 1, then the fields of `CacheEntry` in their order as a MessagePack array
vector      u32 checksum, float32 × dimension
answer      u32 checksum, the answer as it was sent: JSON in UTF-8
group       u32 checksum, u64 answer group, u64 group that was rejected, 0 for none
usage       u32 checksum, u64 entries, u64 bytes
label, policy, statistics   u32 checksum, JSON whose shape `vdb.cache` owns
"""

import struct
from zlib import crc32

import msgspec
from msgspec import Struct

from vdb.errors import CorruptData

ENTRY_LAYOUT = 1
KEY_BYTES = 16
"""Bytes of the hash that names a partition, and of an exact key."""

_CHECKSUM = struct.Struct("<I")
_GROUP = struct.Struct("<IQQ")
_USAGE = struct.Struct("<IQQ")
_LAYOUT = bytes((ENTRY_LAYOUT,))


class Source(Struct, frozen=True, array_like=True, gc=False):
    """A point that an answer was made from, at the version it had then."""

    collection: int
    owner: int
    id: bytes
    version: int


class Retrieval(Struct, frozen=True, array_like=True, gc=False):
    """The search that an answer's sources were found by.

    `vector` is float32 in bytes, `filter` JSON (empty: none), `distance` that of the last of its `limit` hits (+inf
    where there were fewer), `sequence` that of the collection's snapshot, `hits` (owner, id) of the hits that are not
    among the sources. `search` is JSON: the rest of a search by more than its vector, which may be empty then; empty
    for one by its vector alone. Older entries have none.
    """

    collection: int
    vector: bytes
    filter: bytes
    limit: int
    distance: float
    sequence: int
    hits: tuple[tuple[int, bytes], ...] = ()
    search: bytes = b""


class CacheEntry(Struct, frozen=True, array_like=True, gc=False):
    """What is stored of an entry beside its vector, its answer and its group.

    `number` is random, unique in the cache; `partition` and `exact` are hashes of 16 bytes; times are epoch
    milliseconds, `expires_at_ms` 0 never. `sequence` is that of the cache's commit that stored it. `scope`, `model`,
    `fingerprint` and `turns` are what the partition was made of, as the caller gave them. `vector_bytes` is 0 for an
    entry without a vector: it is found by its exact key only. `is_category_given`: by the caller, not by the
    classifier.
    """

    tenant: int
    number: int
    partition: bytes
    exact: bytes
    category: str
    text: str
    created_at_ms: int
    expires_at_ms: int
    sequence: int
    embedding_version: str
    scope: str
    model: str
    fingerprint: str
    turns: str
    vector_bytes: int
    answer_bytes: int
    sources: tuple[Source, ...] = ()
    retrieval: Retrieval | None = None
    is_category_given: bool = True

    def is_expired(self, now_ms: int) -> bool:
        return 0 < self.expires_at_ms <= now_ms

    @property
    def dependencies(self) -> set[tuple[int, int, bytes]]:
        """(collection, owner, id) of what it was made from; a retrieval counts as owner 0, empty id."""
        found = {(source.collection, source.owner, source.id) for source in self.sources}
        return found | ({(self.retrieval.collection, 0, b"")} if self.retrieval is not None else set())


class CacheUsage(Struct, frozen=True, gc=False):
    """Number of entries, and bytes of their heads, vectors and answers; as a change, both may be negative."""

    n_entries: int = 0
    n_bytes: int = 0

    def plus(self, other: "CacheUsage") -> "CacheUsage":
        return CacheUsage(self.n_entries + other.n_entries, self.n_bytes + other.n_bytes)

    def minus(self, other: "CacheUsage") -> "CacheUsage":
        return CacheUsage(self.n_entries - other.n_entries, self.n_bytes - other.n_bytes)


NO_USAGE = CacheUsage()

_ENTRIES = msgspec.msgpack.Decoder(CacheEntry)
_ENCODER = msgspec.msgpack.Encoder()


def encode_entry(entry: CacheEntry) -> bytes:
    """The stored bytes of an entry's head."""
    return seal(_LAYOUT + _ENCODER.encode(entry))


def decode_entry(value: bytes) -> CacheEntry:
    """The entry of stored bytes; raises CorruptData when the checksum, the layout or the shape is wrong."""
    body = unseal(value, "an entry of a cache")
    if body[:1] != _LAYOUT:
        raise CorruptData("an entry of a cache has a layout that is not known")
    try:
        return _ENTRIES.decode(body[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptData("an entry of a cache is not well formed") from exc


def usage_of(entry: CacheEntry, head_bytes: int) -> CacheUsage:
    """What an entry adds to usages; `head_bytes` is the length of its stored head."""
    return CacheUsage(1, head_bytes + entry.vector_bytes + entry.answer_bytes)


def size_of(entry: CacheEntry) -> int:
    """Bytes that an entry counts for before it is stored."""
    return usage_of(entry, len(encode_entry(entry))).n_bytes


def seal(body: bytes) -> bytes:
    """The bytes with their checksum before them."""
    return _CHECKSUM.pack(crc32(body)) + body


def unseal(value: bytes, what: str) -> bytes:
    """The bytes behind a checksum; raises CorruptData, which names `what`."""
    body = value[4:]
    if len(value) < 4 or _CHECKSUM.unpack_from(value)[0] != crc32(body):
        raise CorruptData(f"the checksum of {what} does not match its bytes")
    return body


def encode_group(group: int, rejected: int) -> bytes:
    return seal(group.to_bytes(8, "little") + rejected.to_bytes(8, "little"))


def decode_group(value: bytes) -> tuple[int, int]:
    """(group, rejected group); raises CorruptData."""
    unseal(value, "a group")
    try:
        _, group, rejected = _GROUP.unpack(value)
    except struct.error as exc:
        raise CorruptData("a stored group is not 20 bytes long") from exc
    return group, rejected


def encode_cache_usage(usage: CacheUsage) -> bytes:
    return seal(usage.n_entries.to_bytes(8, "little") + usage.n_bytes.to_bytes(8, "little"))


def decode_cache_usage(value: bytes | None) -> CacheUsage:
    """The usage, zeros where nothing is stored; raises CorruptData."""
    if value is None:
        return NO_USAGE
    unseal(value, "a cache's usage")
    try:
        return CacheUsage(*_USAGE.unpack(value)[1:])
    except struct.error as exc:
        raise CorruptData("a cache's usage is not 20 bytes long") from exc
