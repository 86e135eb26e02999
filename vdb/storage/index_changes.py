"""Changes of payload and text indexes, collected over the writes of one commit and stored at its end; and whom it
touches.

So a bitmap is read and written once per commit, whatever the number of points; and a refused request's changes are
forgotten by cutting the list off where it began.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from pyroaring import BitMap

from vdb.errors import CorruptData
from vdb.protocol.paths import Absent, find
from vdb.storage.catalog import iterate_prefix
from vdb.storage.codec import decode_record
from vdb.storage.entries import is_known
from vdb.storage.env import Transaction
from vdb.storage.field_values import entries_of_value
from vdb.storage.keyspace import Space, index_prefix, pair_of, record_key
from vdb.storage.payload_index import (
    LOW_BITS,
    IndexDocument,
    decode_pids,
    drop_entries,
    encode_pids,
    put_index,
    read_indexes,
    want_indexes,
)
from vdb.storage.text_changes import Side, TextChanges
from vdb.types import FieldType, IndexState

logger = logging.getLogger(__name__)

_LOW = (1 << LOW_BITS) - 1
_NOTHING: frozenset[bytes] = frozenset()
_SCALARS = frozenset((str, int, float, bool, NoneType, Absent))
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Moves = dict[bytes, dict[int, bool]]
"""Key of a bitmap → low bits of a pid → whether it is in the set from now on."""


class Touch(NamedTuple):
    """Points that a write inserted, changed or removed: pids `first_pid` to `first_pid` + `n` - 1 of one owner.

    `id` is that of a single point, None for a run of new ones. `grantees` are those who may see it now, or might
    before.
    """

    owner: int
    first_pid: int
    n: int
    id: bytes | None
    grantees: tuple[int, ...]


def entries_of_payload(payload: bytes, indexes: Iterable[IndexDocument]) -> list[frozenset[bytes]]:
    """What stands for a payload (its JSON bytes, b"" for {}) in each of `indexes`; raises CorruptData."""
    document = _document(payload)
    return [entries_of_value(find(document, index.field), index.type is FieldType.DATETIME) for index in indexes]


def _document(payload: bytes) -> dict[str, Any]:
    try:
        return _decode(payload) if payload else {}
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CorruptData("a stored payload is not a JSON object") from exc


class IndexChanges:
    """What one commit changes in the payload indexes, and in `text`. Used by one thread; `flush` is its last act."""

    def __init__(self, indexes: tuple[IndexDocument, ...], text: TextChanges | None = None) -> None:
        """`text` None: the collection has no text index."""
        self.text = text if text is not None else TextChanges(None, None)
        self.indexes = tuple(index for index in indexes if index.state != IndexState.DROPPING)
        self._noted: list[tuple[tuple[IndexDocument, ...], int, bytes | None, bytes | None]] = []
        self.touches: list[Touch] = []

    def note(self, owner: int, pid: int, old: Side | None, new: Side | None) -> None:
        """A point's payload and grants went from `old` to `new`; None: it was, or is, not there."""
        if self.text.is_kept:
            self.text.note(owner, pid, old, new)
        if self.indexes:
            before, after = old[0] if old else None, new[0] if new else None
            if before != after:
                self._noted.append((self.indexes, pid, before, after))

    def note_new(self, owner: int, first_pid: int, payloads: Sequence[bytes]) -> None:
        """New points of an owner with these payloads, without grants, have the pids from `first_pid` on."""
        self.text.note_new(owner, first_pid, payloads)
        if self.indexes:
            self._noted.extend((self.indexes, pid, None, payload) for pid, payload in enumerate(payloads, first_pid))

    def fill(self, indexes: tuple[IndexDocument, ...], pid: int, record: bytes) -> None:
        """Indexes that are being built have come to a point. What a damaged record held nobody knows."""
        try:
            payload = decode_record(record).payload
        except CorruptData:
            payload = None
        self._noted.append((indexes, pid, None, payload))

    def touch(self, touch: Touch) -> None:
        """The commit changes these points: what was made from them may be stale."""
        self.touches.append(touch)

    def mark(self) -> tuple[int, int, Any]:
        """What `restore` needs to forget what is noted after this moment."""
        return len(self._noted), len(self.touches), self.text.mark()

    def restore(self, mark: tuple[int, int, Any]) -> None:
        n_noted, n_touches, of_text = mark
        self.text.restore(of_text)
        del self._noted[n_noted:]
        del self.touches[n_touches:]

    def flush(self, txn: Transaction) -> None:
        """Store what was noted. An index that turns out to be damaged is dropped, to be built anew."""
        moves = self._moves()
        damaged: set[int] = set()
        for key in sorted(moves):
            number = int.from_bytes(key[1:3], "big")
            try:
                _store(txn, key, moves[key])
            except CorruptData as exc:
                logger.error("a payload index is damaged", exc_info=exc, extra={"number": number})
                txn.delete(key)
                _store(txn, key, moves[key])
                damaged.add(number)
        for index in self.indexes:
            if index.number in damaged:
                put_index(txn, replace(index, state=IndexState.DROPPING))
        self.text.flush(txn)

    def _moves(self) -> Moves:
        moves: Moves = defaultdict(dict)
        keys = _Keys()
        for indexes, pid, old, new in self._noted:
            upper, low = pid >> LOW_BITS, pid & _LOW
            before, after = keys.of_payload(old, indexes, upper), keys.of_payload(new, indexes, upper)
            for gone, there in zip(before, after, strict=True):
                for key in gone - there:
                    moves[key][low] = False
                for key in there - gone if gone else there:
                    moves[key][low] = True
        return moves


class _Keys:
    """Keys of the bitmaps that payloads belong into; those of a value are made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], frozenset[bytes]] = {}

    def of_payload(
        self, payload: bytes | None, indexes: tuple[IndexDocument, ...], upper: int
    ) -> Iterable[frozenset[bytes]]:
        """The keys per index; none of a payload that is not there."""
        if payload is not None:
            try:
                document = _document(payload)
            except CorruptData as exc:
                logger.error("a payload is in no index", exc_info=exc)
            else:
                return [self._of_value(index, find(document, index.field), upper) for index in indexes]
        return [_NOTHING] * len(indexes)

    def _of_value(self, index: IndexDocument, value: object, upper: int) -> frozenset[bytes]:
        kind = type(value)
        place = (index.number, upper, kind, value) if kind in _SCALARS else None
        found = None if place is None else self._known.get(place)
        if found is None:
            prefix, suffix = index_prefix(index.number), upper.to_bytes(2, "big")
            entries = entries_of_value(value, index.type is FieldType.DATETIME)
            found = frozenset(prefix + entry + suffix for entry in entries)
            if place is not None:
                self._known[place] = found
        return found


def _store(txn: Transaction, key: bytes, moved: dict[int, bool]) -> None:
    stored = txn.get(key)
    low_bits = BitMap([low for low, is_in in moved.items() if is_in])
    if stored is not None:
        low_bits |= decode_pids(stored)
        for low, is_in in moved.items():
            if not is_in:
                low_bits.discard(low)
    if low_bits:
        txn.put(key, encode_pids(low_bits))
    elif stored is not None:
        txn.delete(key)


def index_step(txn: Transaction, changes: IndexChanges, wanted: dict[str, FieldType], n_most: int) -> tuple[int, bool]:
    """Bring the indexes a step nearer to what is wanted: (points or entries done, whether nothing is left to do).

    Each step is a commit of its own. Points written meanwhile are entered by their own writes, whether the building has
    come to them or not; so it does not matter how often it begins anew.
    """
    indexes = read_indexes(txn)
    kept = {index.field for index in indexes if index.state != IndexState.DROPPING}
    dropping = [index for index in indexes if index.state == IndexState.DROPPING]
    if kept != wanted.keys():
        want_indexes(txn, wanted)
        return 0, False
    if dropping:
        return drop_entries(txn, dropping[0], n_most), False
    building = [index for index in indexes if index.state == IndexState.BUILDING]
    return (_fill(txn, changes, building, n_most), False) if building else (0, True)


def _fill(txn: Transaction, changes: IndexChanges, building: list[IndexDocument], n_most: int) -> int:
    """Enter the next points into the indexes that are least far."""
    position = min(index.position for index in building)
    going = tuple(index for index in building if index.position == position)
    after = record_key(position >> 32, position & 0xFFFF_FFFF)[1:]
    n_seen = 0
    for key, value in iterate_prefix(txn, bytes((Space.RECORD,)), after):
        if n_seen == n_most:
            break
        n_seen += 1
        if not is_known(key):
            continue
        owner, pid = pair_of(key)
        position = owner << 32 | pid
        changes.fill(going, pid, value)
    for index in going:
        if n_seen == n_most:
            put_index(txn, replace(index, position=position))
        else:
            put_index(txn, replace(index, state=IndexState.READY, position=0))
    return n_seen
