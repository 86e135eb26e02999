"""Payload indexes against the records they follow from, both ways, while the records are walked once.

Each entry that a record has must be in its bitmap; then the bitmaps together hold no more pids than were found in them.
An index that is being built may lack what lies beyond its position, one that is being dropped may lack anything.
"""

from collections import Counter
from collections.abc import Iterator

from pyroaring import BitMap

from vdb.errors import CorruptData
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_document
from vdb.storage.env import Transaction
from vdb.storage.index_changes import entries_of_payload
from vdb.storage.keyspace import INDEX_ENTRY_BYTES, Space, index_prefix
from vdb.storage.payload_index import LOW_BITS, IndexDocument, decode_pids, read_indexes
from vdb.types import IndexState

KEPT_BITMAPS = 4_096
_LOW = (1 << LOW_BITS) - 1


class IndexCheck:
    """The payload indexes of one snapshot: `see` every point, then ask for the `faults`.

    Whoever meets a point that cannot be read takes `are_all_seen` back: what it has in the indexes nobody knows.
    """

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn
        self._indexes = tuple(index for index in read_indexes(txn) if index.state is not IndexState.DROPPING)
        self._bitmaps: dict[bytes, BitMap] = {}
        self._n_found: Counter[int] = Counter()
        self.are_all_seen = True

    def see(self, owner: int, pid: int, payload: bytes) -> Iterator[str]:
        """Faults of one point's entries; raises CorruptData for a payload that is not well formed."""
        upper, low = (pid >> LOW_BITS).to_bytes(2, "big"), pid & _LOW
        for index, entries in zip(self._indexes, entries_of_payload(payload, self._indexes), strict=True):
            n_there = sum(low in self._bitmap(index_prefix(index.number) + entry + upper) for entry in entries)
            self._n_found[index.number] += n_there
            is_due = index.state is IndexState.READY or (owner << 32 | pid) <= index.position
            if is_due and n_there < len(entries):
                yield f"its entry in the payload index of {index.field} is missing"

    def faults(self) -> Iterator[str]:
        """What is wrong with the indexes themselves."""
        for number, index in self._documents():
            if index is None:
                yield f"the document of payload index {number} is damaged"
        known = {number for number, _ in self._documents()}
        n_stored: Counter[int] = Counter()
        for key, value in iterate_prefix(self._txn, bytes((Space.PAYLOAD_INDEX,))):
            number = int.from_bytes(key[1:3], "big")
            if number == 0:
                continue
            if number not in known or len(key) < INDEX_ENTRY_BYTES:
                yield f"entry {key.hex()} is of no payload index"
                continue
            try:
                n_pids = len(decode_pids(value))
            except CorruptData as exc:
                yield f"entry {key.hex()} of payload index {number}: {exc.detail}"
                continue
            n_stored[number] += n_pids
            if not n_pids:
                yield f"entry {key.hex()} of payload index {number} is empty"
        for index in self._indexes:
            n_more = n_stored[index.number] - self._n_found[index.number]
            if self.are_all_seen and n_more > 0:
                yield f"the payload index of {index.field} has {n_more} entries that no point accounts for"

    def _documents(self) -> Iterator[tuple[int, IndexDocument | None]]:
        """(number, document) of all indexes, None where it is damaged."""
        for key, value in iterate_prefix(self._txn, index_prefix(0)):
            number = int.from_bytes(key[3:], "big")
            try:
                index = decode_document(value, IndexDocument)
            except CorruptData:
                yield number, None
            else:
                yield number, index if index.number == number else None

    def _bitmap(self, key: bytes) -> BitMap:
        """The low bits of a bitmap's pids: of the last few thousand keys asked for they are remembered."""
        found = self._bitmaps.get(key)
        if found is None:
            value = self._txn.get(key)
            try:
                found = BitMap() if value is None else decode_pids(value)
            except CorruptData:
                found = BitMap()  # it is named when the entries are walked
            if len(self._bitmaps) >= KEPT_BITMAPS:
                self._bitmaps.clear()
            self._bitmaps[key] = found
        return found
