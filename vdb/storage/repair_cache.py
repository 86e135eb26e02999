"""Repair of one cache: what follows from the heads of its entries is made to follow again.

Order as for collections: what is damaged is set aside, if that is asked for; index entries that lead nowhere go, those
that heads lack are added; usages and the sequence are mended. An entry whose answer, vector or group is damaged is set
aside whole: it is never served anyway.
"""

from msgspec import json

from vdb.errors import CorruptData
from vdb.storage.cache_codec import NO_USAGE, CacheEntry, CacheUsage, decode_entry, encode_cache_usage, unseal, usage_of
from vdb.storage.cache_entries import index_entries_of, usage_keys_of
from vdb.storage.catalog import CacheDocument
from vdb.storage.check_cache import (
    DOCUMENTS,
    INDEXES,
    META_KEYS,
    PARTS,
    faults_of_parts,
    is_known,
    leads,
    rival_of,
)
from vdb.storage.codec import decode_u64, encode_u64
from vdb.storage.edits import Edits
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_SEQUENCE, Space, entry_key, entry_of_key
from vdb.storage.repair_collection import SEQUENCE_LEAP


class CacheRepair:
    """Repairs one environment, once; what was done is in `edits`."""

    def __init__(self, env: Environment, cache: CacheDocument, edits: Edits) -> None:
        self._env = env
        self._dimension = cache.dimension
        self._edits = edits
        self._last_sequence = 0
        self._usages: dict[bytes, CacheUsage] = {}

    def run(self) -> None:
        """Raises DiskFull, StorageFailure; what was committed until then is right, and another run goes on."""
        if self._edits.drops_damaged:
            self._edits.visit(b"", self._set_aside)
        for space in INDEXES:
            self._edits.visit(bytes((space,)), self._drop_stray)
        self._edits.visit(bytes((Space.ENTRY,)), self._add_entries)
        self._mend_usages()
        self._mend_sequence()

    # What cannot be rebuilt

    def _set_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if not is_known(key) or (key[0] == Space.META and key not in META_KEYS):
            self._edits.set_aside(key, value, "a key of no known space")
        elif key[0] == Space.ENTRY:
            self._set_entry_aside(txn, key, value)
        elif key[0] in PARTS:
            self._set_part_aside(txn, key, value)
        elif key[0] in DOCUMENTS and not _is_sound(value):
            self._edits.set_aside(key, value, f"a damaged value of the space {Space(key[0]).name.lower()}")

    def _set_entry_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        entry = _entry_of(key, value)
        if entry is None:
            why = "a damaged entry"
        elif any(faults_of_parts(txn, entry, self._dimension)):
            why = "an entry without a sound answer, vector or group"
        elif rival_of(txn, entry) is not None:
            why = "an entry that another has replaced"
        else:
            return
        self._edits.set_aside(key, value, why)
        for part in PARTS:
            place = entry_key(part, *entry_of_key(key))
            stored = txn.get(place)
            if stored is not None:
                self._edits.set_aside(place, stored, f"a part of {why}")

    def _set_part_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        """A part of nothing; those of damaged entries went with them."""
        try:
            is_led = leads(txn, key, value)
        except CorruptData:
            return
        if not is_led:
            self._edits.set_aside(key, value, "a part without an entry")

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
        entry = _entry_of(key, value) if is_known(key) else None
        if entry is None:
            return
        self._last_sequence = max(self._last_sequence, entry.sequence)
        for usage_key in usage_keys_of(entry.tenant, entry.category):
            self._usages[usage_key] = self._usages.get(usage_key, NO_USAGE).plus(usage_of(entry, len(value)))
        for own, wanted in index_entries_of(entry):
            if txn.get(own) is None:
                self._edits.put(own, wanted, f"entries of the index {Space(own[0]).name.lower()} added")

    # Usages and the sequence

    def _mend_usages(self) -> None:
        def drop(txn: Transaction, key: bytes, value: bytes) -> None:
            if key not in self._usages:
                self._edits.drop(key, "usages counted anew")

        self._edits.visit(bytes((Space.CACHE_USAGE,)), drop)
        with self._env.read() as txn:
            for key, usage in self._usages.items():
                if txn.get(key) != encode_cache_usage(usage):
                    self._edits.put(key, encode_cache_usage(usage), "usages counted anew")
        self._edits.commit()

    def _mend_sequence(self) -> None:
        with self._env.read() as txn:
            stored = txn.get(META_SEQUENCE)
        try:
            is_right = decode_u64(stored) >= self._last_sequence
        except CorruptData:
            is_right = False
        if not is_right:
            leap = encode_u64(self._last_sequence + SEQUENCE_LEAP)
            self._edits.put(META_SEQUENCE, leap, "sequence moved forward")
        self._edits.commit()


def _entry_of(key: bytes, value: bytes) -> CacheEntry | None:
    """The entry, None where its head is damaged or another's."""
    try:
        entry = decode_entry(value)
    except CorruptData:
        return None
    return entry if (entry.tenant, entry.number) == entry_of_key(key) else None


def _is_sound(value: bytes) -> bool:
    try:
        json.decode(unseal(value, "it"))
    except (CorruptData, ValueError):
        return False
    return True
