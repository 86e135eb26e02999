"""Payload indexes of one collection inside a transaction: which points hold which value in a field, as bitmaps of pids.

An index has a document, under its number, and a bitmap per entry of `field_values` and per 65,536 pids. A bitmap is

    00, then the low 16 bits of up to 32 pids, u16 each, ascending; or
    01, u32 checksum of what follows, a roaring bitmap of them in the portable format

The sets span all owners: they say which points may match, never who may see them.
"""

import logging
import struct
from array import array
from collections.abc import Iterable
from zlib import crc32

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap

from vdb.errors import CorruptData
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_document, encode_document
from vdb.storage.env import Transaction
from vdb.storage.keyspace import index_document_key, index_prefix
from vdb.types import FieldType, IndexState

logger = logging.getLogger(__name__)

LISTED_PIDS = 32
LOW_BITS = 16

_LIST, _ROARING = b"\x00", b"\x01"
_CHECKSUM = struct.Struct("<I")


class IndexDocument(Struct, kw_only=True, frozen=True):
    """A payload index; `position`, owner * 2^32 + pid, is where its building goes on."""

    number: int
    field: str
    type: FieldType
    state: IndexState
    position: int = 0


def read_indexes(txn: Transaction) -> tuple[IndexDocument, ...]:
    """The collection's indexes by number, also those that are built or dropped just now.

    One whose document is damaged is dropped: nobody knows what it is of.
    """
    return tuple(_read_index(key, value) for key, value in iterate_prefix(txn, index_prefix(0)))


def _read_index(key: bytes, value: bytes) -> IndexDocument:
    number = int.from_bytes(key[3:], "big")
    try:
        index = decode_document(value, IndexDocument)
    except CorruptData as exc:
        logger.error("the document of a payload index is damaged", exc_info=exc, extra={"number": number})
    else:
        if index.number == number:
            return index
    return IndexDocument(number=number, field="", type=FieldType.STRING, state=IndexState.DROPPING)


def put_index(txn: Transaction, index: IndexDocument) -> None:
    txn.put(index_document_key(index.number), encode_document(index))


def make_indexes(txn: Transaction, fields: dict[str, FieldType]) -> None:
    """The indexes of a collection without points: nothing is to be built."""
    for number, (field, type) in enumerate(fields.items(), 1):
        put_index(txn, IndexDocument(number=number, field=field, type=type, state=IndexState.READY))


def want_indexes(txn: Transaction, wanted: dict[str, FieldType]) -> tuple[IndexDocument, ...]:
    """Begin to build the indexes that are wanted and not there, and to drop those that are not wanted."""
    indexes = [
        index if index.field in wanted else replace(index, state=IndexState.DROPPING) for index in read_indexes(txn)
    ]  # one that is dropped keeps its number until its entries are gone: it is then made anew under another
    known = {index.field for index in indexes if index.state != IndexState.DROPPING}
    for field, type in wanted.items():
        if field not in known:
            taken = {index.number for index in indexes}
            number = next(number for number in range(1, 1 << LOW_BITS) if number not in taken)
            indexes.append(IndexDocument(number=number, field=field, type=type, state=IndexState.BUILDING))
    for index in indexes:
        put_index(txn, index)
    return tuple(indexes)


def drop_entries(txn: Transaction, index: IndexDocument, n_most: int) -> int:
    """Remove up to `n_most` entries of an index, and then its document; how many there were."""
    keys: list[bytes] = []
    for key, _ in iterate_prefix(txn, index_prefix(index.number)):
        if len(keys) == n_most:
            break
        keys.append(key)
    for key in keys:
        txn.delete(key)
    if len(keys) < n_most:
        txn.delete(index_document_key(index.number))
    return len(keys)


def encode_pids(low_bits: BitMap) -> bytes:
    """The stored bytes of the low 16 bits of pids; may change how the set is held, not what it holds."""
    n = len(low_bits)
    if n <= LISTED_PIDS:
        return _LIST + struct.pack(f"<{n}H", *low_bits)
    low_bits.run_optimize()
    body = low_bits.serialize()
    return _ROARING + _CHECKSUM.pack(crc32(body)) + body


def decode_pids(value: bytes) -> BitMap:
    """The low 16 bits of pids; raises CorruptData."""
    if value[:1] == _LIST and len(value) & 1:
        return BitMap(_listed(value))
    body = value[5:]
    if value[:1] != _ROARING or len(value) < 5 or _CHECKSUM.unpack_from(value, 1)[0] != crc32(body):
        raise CorruptData("a bitmap's checksum does not match its bytes")
    try:
        low_bits = BitMap.deserialize(body)
    except (ValueError, IndexError) as exc:
        raise CorruptData("a bitmap is not one") from exc
    if low_bits and low_bits.max() >> LOW_BITS:
        raise CorruptData("a bitmap holds more than low bits of pids")
    return low_bits


def _listed(value: bytes) -> tuple[int, ...]:
    return struct.unpack_from(f"<{len(value) >> 1}H", value, 1)


def read_pids(txn: Transaction, index: IndexDocument, entry: bytes) -> BitMap:
    """All pids of one entry; raises CorruptData."""
    return _union(iterate_prefix(txn, index_prefix(index.number) + entry))


def read_range(txn: Transaction, index: IndexDocument, first: bytes, end: bytes, max_entries: int) -> BitMap | None:
    """All pids of the entries from `first` on and before `end`; None where there are too many; raises CorruptData."""
    prefix = index_prefix(index.number)
    found = []
    stop = prefix + end
    with txn.cursor() as cursor:
        if cursor.set_range(prefix + first):
            for entry in cursor.iternext():
                if entry[0] >= stop:
                    break
                found.append(entry)
                if len(found) > max_entries:
                    return None
    return _union(found)


def _union(found: Iterable[tuple[bytes, bytes]]) -> BitMap:
    lists: list[bytes] = []
    places: list[bytes] = []
    sets: list[BitMap] = []
    for key, value in found:
        if value[:1] == _LIST and len(value) & 1:
            lists.append(value[1:])
            places.append(key[-2:])
        else:
            low_bits, base = decode_pids(value), int.from_bytes(key[-2:], "big") << LOW_BITS
            sets.append(low_bits.shift(base) if base else low_bits)
    if lists:
        sets.append(_unlisted(lists, places))
    if len(sets) == 1:
        return sets[0]
    return BitMap.union(*sets) if sets else BitMap()


def _unlisted(lists: list[bytes], places: list[bytes]) -> BitMap:
    """The pids of lists of low bits, and of the high bits of each: all at once, a range has thousands."""
    high = np.frombuffer(b"".join(places), ">u2").astype(np.uint32) << np.uint32(LOW_BITS)
    n_pids = np.fromiter(map(len, lists), np.int64, len(lists)) >> 1
    pids = np.repeat(high, n_pids) | np.frombuffer(b"".join(lists), "<u2")
    return BitMap(array("I", pids.tobytes()))
