"""Invariants of one collection: records, and the indexes, counts and counters that follow from them.

One pass in key order. Each record is checked against its index entries; an index with more entries than the records
account for is then walked on its own, to name those that lead nowhere. Memory: one bit per pid ever given out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from vdb.config import Limits
from vdb.errors import CorruptData, VdbError
from vdb.protocol.strict_json import decode_payload
from vdb.storage.catalog import CollectionDocument, iterate_prefix
from vdb.storage.changes import fault_of_change, read_changes_from
from vdb.storage.check_catalog import check_meta
from vdb.storage.check_indexes import IndexCheck
from vdb.storage.check_text import TextCheck
from vdb.storage.codec import NOTHING, Record, Usage, decode_record
from vdb.storage.entries import INDEXES, entries_of, is_known, leads
from vdb.storage.env import Transaction
from vdb.storage.faults import Findings
from vdb.storage.from_format_1 import read_old_usage
from vdb.storage.keyspace import (
    ALL_OWNERS,
    EVERYONE_ID,
    META_CHANGES_FROM,
    META_COLLECTION,
    META_FORMAT,
    META_INDEX_BUILD,
    META_INDEX_EPOCH,
    META_INDEX_EPOCH_BEFORE,
    META_N_POINTS,
    META_NEXT_PID,
    META_RELEASE,
    META_SEQUENCE,
    Space,
    pair_of,
    vector_key,
)
from vdb.storage.meta import read_counters, read_number
from vdb.storage.points import LAST_PID, has_any, read_totals, read_usage
from vdb.storage.text_index import Analysers

META_KEYS = frozenset(
    {
        META_FORMAT,
        META_RELEASE,
        META_SEQUENCE,
        META_NEXT_PID,
        META_COLLECTION,
        META_N_POINTS,
        META_CHANGES_FROM,
        META_INDEX_EPOCH,
        META_INDEX_EPOCH_BEFORE,
        META_INDEX_BUILD,
    }
)
COUNTED = (Space.VECTOR, *INDEXES)
"""Spaces of which the records say how many keys there are."""
LIMITS = Limits()


def check_collection(
    txn: Transaction,
    collection: CollectionDocument,
    tenant_exists: Callable[[int], bool],
    findings: Findings,
    analysers: Analysers | None = None,
) -> None:
    """Check everything in a collection's environment; raises CorruptData when its counters cannot be read.

    Without `analysers` the text index is looked at for its form only.
    """
    where = f"collection {collection.name}"
    version = check_meta(txn, META_KEYS, where, findings)
    owner = read_number(txn, META_COLLECTION)
    findings.expect(owner == collection.id, where, f"its environment says that it is collection {owner}")
    sequence, next_pid, n_points = read_counters(txn)
    if next_pid > LAST_PID:
        raise CorruptData(f"its counter of pids is {next_pid}")
    texts = TextCheck(txn, analysers)
    _Check(txn, collection, tenant_exists, findings, where, version, sequence, next_pid, n_points, texts).run()


@dataclass(slots=True)
class _Check:
    txn: Transaction
    collection: CollectionDocument
    tenant_exists: Callable[[int], bool]
    findings: Findings
    where: str
    version: int
    sequence: int
    next_pid: int
    n_points: int
    texts: TextCheck
    owner: int = -1
    usage: Usage = NOTHING
    is_owner_readable: bool = True
    totals: Usage = NOTHING
    are_all_readable: bool = True
    n_records: int = 0
    n_entries: dict[Space, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    n_expected: dict[Space, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    known_tenants: dict[int, bool] = field(default_factory=dict)
    seen_pids: bytearray = field(default_factory=bytearray)
    indexes: IndexCheck = field(init=False)

    def run(self) -> None:
        self.indexes = IndexCheck(self.txn)
        self.seen_pids = bytearray((self.next_pid >> 3) + 1)
        self._walk()
        self._end_owner()
        self.findings.n_points += self.n_records
        self._expect(self.n_points == self.n_records, "", f"it counts {self.n_points} points, not {self.n_records}")
        for space in COUNTED:
            if self.n_entries[space] != self.n_expected[space]:
                self._name_strays(space)
        self._check_usages()
        changes_from = read_changes_from(self.txn) or 0
        self._expect(
            changes_from <= self.sequence + 1, "", f"its log begins at sequence {changes_from}, never given out"
        )
        for fault in self.indexes.faults():
            self._expect(False, "", fault)
        for fault in self.texts.faults():
            self._expect(False, "", fault)

    def _expect(self, is_right: bool, place: str, what: str) -> None:
        if not is_right:
            self.findings.add(f"{self.where}{place}", what)

    def _walk(self) -> None:
        """Every key: records are checked, index entries counted, the rest is of no known space."""
        with self.txn.cursor() as cursor:
            for key, value in cursor.iternext():
                space = key[0]
                if not is_known(key):
                    self._expect(False, "", f"key {key.hex()} is of no known space")
                elif space == Space.RECORD:
                    self._check_record(*pair_of(key), value)
                elif space == Space.CHANGE:
                    fault = fault_of_change(key, value, self.sequence, self.next_pid)
                    self._expect(not fault, "", fault)
                elif space in self.n_entries:
                    self.n_entries[Space(space)] += 1

    # Records

    def _check_record(self, owner: int, pid: int, value: bytes) -> None:
        self._begin_owner(owner)
        self.n_records += 1
        place = f" point {owner}/{pid}"
        self._check_pid(pid, place)
        try:
            record = decode_record(value)
        except CorruptData as exc:
            self.is_owner_readable = self.are_all_readable = self.indexes.are_all_seen = self.texts.are_all_seen = False
            self._expect(False, place, exc.detail)
            return
        self.usage = self.usage.plus(record.usage)
        self._check_numbers(record, place)
        self._check_payload(record, place)
        self._check_vector(owner, pid, record, place)
        self._check_entries(owner, pid, record, place)
        self._check_indexed(owner, pid, record, place)

    def _check_pid(self, pid: int, place: str) -> None:
        if pid >= self.next_pid:
            self._expect(False, place, f"its pid lies beyond the counter, {self.next_pid}")
            return
        byte, bit = pid >> 3, 1 << (pid & 7)
        self._expect(not self.seen_pids[byte] & bit, place, "another owner has a point of this pid")
        self.seen_pids[byte] |= bit

    def _check_numbers(self, record: Record, place: str) -> None:
        self._expect(0 < record.version <= self.sequence, place, f"its version {record.version} was never written")
        self._expect(record.vector_version <= record.version, place, "its vector is newer than itself")
        self._expect(record.expires_at_ms >= 0, place, "its expiry is negative")
        self._expect(1 <= len(record.id) <= LIMITS.max_id_bytes, place, "its id is not 1 to 256 bytes long")

    def _check_payload(self, record: Record, place: str) -> None:
        self._expect(len(record.payload) <= LIMITS.max_payload_bytes, place, "its payload is too large")
        try:
            record.id.decode()
            if record.payload:
                decode_payload(record.payload, "")
        except (VdbError, UnicodeDecodeError) as exc:
            self._expect(False, place, f"its id or payload is not well formed: {exc}")

    def _check_vector(self, owner: int, pid: int, record: Record, place: str) -> None:
        vector = self.txn.get(vector_key(owner, pid))
        if not record.has_vector:
            self._expect(vector is None, place, "it has a vector, though its record says that it has none")
            return
        self.n_expected[Space.VECTOR] += 1
        if vector is None:
            self._expect(False, place, "its vector is missing")
        elif len(vector) != 4 * self.collection.dimension:
            self._expect(False, place, f"its vector has {len(vector)} bytes")
        elif crc32(vector) != record.vector_checksum:
            self._expect(False, place, "the vector's checksum does not match its bytes")
        else:
            self._expect(bool(np.isfinite(np.frombuffer(vector, "<f4")).all()), place, "its vector is not finite")

    def _check_entries(self, owner: int, pid: int, record: Record, place: str) -> None:
        """The record's entries in the id, expiry and grant indexes."""
        shared = record.shared
        self._expect(shared == tuple(sorted(set(shared) - {owner})), place, "its grants are not in order")
        for key, value in entries_of(owner, pid, record):
            space = Space(key[0])
            self.n_expected[space] += 1
            self._expect(
                self.txn.get(key) == value, place, f"its entry in the index {space.name.lower()} is missing or wrong"
            )
        for grantee in shared:
            self._expect(self._is_tenant(grantee), place, f"tenant {grantee}, to whom it is granted, is gone")

    def _check_indexed(self, owner: int, pid: int, record: Record, place: str) -> None:
        try:
            for fault in self.indexes.see(owner, pid, record.payload):
                self._expect(False, place, fault)
            self.texts.see(owner, pid, record)
        except CorruptData:  # a payload that is not well formed is reported already
            self.indexes.are_all_seen = self.texts.are_all_seen = False

    def _is_tenant(self, tenant: int) -> bool:
        if tenant == EVERYONE_ID:
            return True
        if tenant not in self.known_tenants:
            self.known_tenants[tenant] = self.tenant_exists(tenant)
        return self.known_tenants[tenant]

    # Owners

    def _begin_owner(self, owner: int) -> None:
        if owner == self.owner:
            return
        self._end_owner()
        self.owner, self.usage, self.is_owner_readable = owner, NOTHING, True
        is_tenant = owner != EVERYONE_ID and self._is_tenant(owner)
        self._expect(is_tenant, f" owner {owner}", "the tenant is gone, its points are not")

    def _end_owner(self) -> None:
        """The owner's usage is the sum over its records; unknown while one of them cannot be read."""
        self.totals = self.totals.plus(self.usage)
        if self.owner >= 0 and self.is_owner_readable:
            self._expect_usage(f" owner {self.owner}", self._stored_usage(), self._known(self.usage))

    def _expect_usage(self, place: str, stored: object, found: object) -> None:
        self._expect(stored == found, place, f"its usage is stored as {stored}, but is {found}")

    def _stored_usage(self) -> object:
        return read_old_usage(self.txn, self.owner) if self.version == 1 else read_usage(self.txn, self.owner)

    def _known(self, usage: Usage) -> object:
        """As much of a usage as the environment's format stores."""
        return (usage.points, usage.n_bytes(self.collection.dimension)) if self.version == 1 else usage

    def _check_usages(self) -> None:
        """The totals are the sum of all usages; no usage is stored for who owns nothing."""
        if self.version > 1 and self.are_all_readable:
            self._expect_usage("", read_totals(self.txn), self.totals)
        for key, _ in iterate_prefix(self.txn, bytes((Space.USAGE,))):
            owner = int.from_bytes(key[1:5], "big")
            if owner == ALL_OWNERS and self.version > 1:
                self._expect(self.n_records > 0, "", "it has totals, but no points")
                continue
            self._expect(has_any(self.txn, Space.RECORD, owner), f" owner {owner}", "it has a usage, but no points")

    # Index entries that no record accounts for

    def _name_strays(self, space: Space) -> None:
        for key, value in iterate_prefix(self.txn, bytes((space,))):
            try:
                is_right = leads(self.txn, key, value)
            except CorruptData:
                continue  # the record it leads to is reported already
            self._expect(is_right, "", f"entry {key.hex()} of the index {space.name.lower()} leads to no such point")
