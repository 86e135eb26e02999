"""Repair of one collection: what follows from its records is made to follow again.

Order: what is damaged is set aside, if that is asked for; entries that lead to no point that has them go; entries that
records lack are added; usages, totals and counters are counted anew. An entry that leads to a damaged record stays, and
so do two points that lay claim to one entry: nobody knows which is right.

The log of changes is dropped as a whole where an entry of it is damaged, and wherever anything else is changed: what
was brought up to date by it (an index on disk) may be wrong, and is made anew.
"""

from itertools import islice
from zlib import crc32

from msgspec.structs import replace

from vdb.errors import CorruptData
from vdb.storage.catalog import CollectionDocument, iterate_prefix
from vdb.storage.changes import fault_of_change
from vdb.storage.check_collection import META_KEYS
from vdb.storage.codec import (
    NOTHING,
    Record,
    Usage,
    decode_record,
    decode_u64,
    decode_usage,
    encode_record,
    encode_u64,
    encode_usage,
)
from vdb.storage.edits import Edits
from vdb.storage.entries import INDEXES, entries_of, is_known, leads
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import (
    ALL_OWNERS,
    META_CHANGES_FROM,
    META_N_POINTS,
    META_NEXT_PID,
    META_SEQUENCE,
    Space,
    pair_of,
    usage_key,
    vector_key,
)
from vdb.storage.points import LAST_PID, has_any
from vdb.storage.usages import count_usages

LOG_DROPPED = "the log of changes dropped"

SEQUENCE_LEAP = 1 << 32
"""More writes than a collection takes between two looks: a sequence that was lost goes on beyond those it gave out."""

OWNERS_AT_ONCE = 4_096


class CollectionRepair:
    """Repairs one environment, once; what was done is in `edits`."""

    def __init__(self, env: Environment, collection: CollectionDocument, edits: Edits) -> None:
        self._env = env
        self._vector_bytes = 4 * collection.dimension
        self._edits = edits
        self._n_records = 0
        self._last_pid = -1
        self._last_version = 0
        self._totals = NOTHING

    def run(self) -> None:
        """Raises DiskFull, StorageFailure; what was committed until then is right, and another run goes on."""
        self._edits.outdates(META_CHANGES_FROM)
        if self._edits.drops_damaged:
            self._edits.visit(b"", self._set_aside)
        for space in INDEXES:
            self._edits.visit(bytes((space,)), self._drop_stray)
        self._edits.visit(bytes((Space.RECORD,)), self._add_entries)
        self._edits.visit(bytes((Space.USAGE,)), self._drop_usage)
        self._count_usages()
        self._mend_counters()
        self._mend_log()

    # What cannot be rebuilt

    def _set_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if key[0] == Space.CHANGE:
            return
        if not is_known(key) or (key[0] == Space.META and key not in META_KEYS):
            self._edits.set_aside(key, value, "a key of no known space")
        elif key[0] == Space.RECORD:
            self._set_record_aside(txn, key, value)
        elif key[0] == Space.VECTOR:
            self._set_vector_aside(txn, key, value)

    def _set_record_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        place = vector_key(*pair_of(key))
        vector = txn.get(place)
        try:
            record = decode_record(value)
        except CorruptData:
            self._edits.set_aside(key, value, "a damaged record")
            if vector is not None:
                self._edits.set_aside(place, vector, "the vector of a damaged record")
            return
        if record.has_vector and not self._is_vector_of(record, vector):
            if vector is not None:
                self._edits.set_aside(place, vector, "a damaged vector")
            bare = replace(record, has_vector=False, vector_checksum=0)
            self._edits.replace(key, value, encode_record(bare), "the record of a point that has lost its vector")

    def _is_vector_of(self, record: Record, vector: bytes | None) -> bool:
        return vector is not None and len(vector) == self._vector_bytes and crc32(vector) == record.vector_checksum

    def _set_vector_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        """A vector of nothing; those of damaged records went with them."""
        try:
            is_led = leads(txn, key, value)
        except CorruptData:
            return
        if not is_led:
            self._edits.set_aside(key, value, "a vector without a point")

    # Indexes

    def _drop_stray(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if not is_known(key):
            return
        try:
            is_led = leads(txn, key, value)
        except CorruptData:
            return
        if not is_led:
            self._edits.drop(key, f"entries of the index {Space(key[0]).name.lower()} that led nowhere removed")

    def _add_entries(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if not is_known(key):
            return
        owner, pid = pair_of(key)
        self._n_records += 1
        self._last_pid = max(self._last_pid, pid)
        try:
            record = decode_record(value)
        except CorruptData:
            return
        self._last_version = max(self._last_version, record.version)
        for entry, number in entries_of(owner, pid, record):
            if txn.get(entry) is None:
                self._edits.put(entry, number, f"entries of the index {Space(entry[0]).name.lower()} added")

    # Usages

    def _drop_usage(self, txn: Transaction, key: bytes, value: bytes) -> None:
        owner = int.from_bytes(key[1:5], "big")
        if is_known(key) and owner != ALL_OWNERS and not has_any(txn, Space.RECORD, owner):
            self._edits.drop(key, "usages of owners of nothing removed")

    def _count_usages(self) -> None:
        first = 0
        while True:
            with self._env.read() as txn:
                owners = list(islice(count_usages(txn, first), OWNERS_AT_ONCE))
                for owner, usage, n_damaged in owners:
                    self._totals = self._totals.plus(self._mend_usage(txn, owner, usage, n_damaged))
                if not owners:
                    self._mend_totals(txn)
            self._edits.commit()
            if not owners:
                return
            first = owners[-1][0] + 1

    def _mend_usage(self, txn: Transaction, owner: int, counted: Usage, n_damaged: int) -> Usage:
        """What the owner's usage is now: while a record of theirs is damaged, what is stored may be right."""
        stored = txn.get(usage_key(owner))
        if stored == encode_usage(counted):
            return counted
        known = _usage_of(stored)
        if n_damaged and known is not None and known.points == counted.points:
            return known
        self._edits.put(usage_key(owner), encode_usage(counted), "usages counted anew")
        return counted

    def _mend_totals(self, txn: Transaction) -> None:
        key, stored = usage_key(ALL_OWNERS), txn.get(usage_key(ALL_OWNERS))
        if self._totals == NOTHING:
            if stored is not None:
                self._edits.drop(key, "totals counted anew")
        elif stored != encode_usage(self._totals):
            self._edits.put(key, encode_usage(self._totals), "totals counted anew")

    # Counters

    def _mend_counters(self) -> None:
        with self._env.read() as txn:
            next_pid, sequence = _number_of(txn, META_NEXT_PID), _number_of(txn, META_SEQUENCE)
            n_points = _number_of(txn, META_N_POINTS)
            if n_points != self._n_records:
                self._edits.put(META_N_POINTS, encode_u64(self._n_records), "number of points counted anew")
            if next_pid is None or not self._last_pid < next_pid <= LAST_PID:
                self._edits.put(META_NEXT_PID, encode_u64(self._last_pid + 1), "counter of points mended")
            if sequence is None or sequence < self._last_version:
                leap = encode_u64(self._last_version + SEQUENCE_LEAP)
                self._edits.put(META_SEQUENCE, leap, "sequence moved forward")
        self._edits.commit()

    # The log of changes

    def _mend_log(self) -> None:
        """Drop the log if it is damaged, or no longer tells all that has changed."""
        with self._env.read() as txn:
            is_kept = txn.get(META_CHANGES_FROM) is not None
            is_damaged = _is_log_damaged(txn)
        if is_damaged and is_kept:
            self._edits.drop(META_CHANGES_FROM, LOG_DROPPED)
            self._edits.commit()
        if is_damaged or self._edits.done:
            self._edits.visit(bytes((Space.CHANGE,)), lambda _, key, __: self._edits.drop(key, LOG_DROPPED))


def _is_log_damaged(txn: Transaction) -> bool:
    sequence, next_pid = _number_of(txn, META_SEQUENCE) or 0, _number_of(txn, META_NEXT_PID) or 0
    changes_from = _number_of(txn, META_CHANGES_FROM)
    if changes_from is None or changes_from > sequence + 1:
        return True
    entries = iterate_prefix(txn, bytes((Space.CHANGE,)))
    return any(fault_of_change(key, value, sequence, next_pid) for key, value in entries)


def _usage_of(stored: bytes | None) -> Usage | None:
    try:
        return decode_usage(stored)
    except CorruptData:
        return None


def _number_of(txn: Transaction, key: bytes) -> int | None:
    """A number, 0 where it was never written, None where it is damaged."""
    try:
        return decode_u64(txn.get(key))
    except CorruptData:
        return None
