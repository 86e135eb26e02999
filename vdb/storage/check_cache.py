"""Invariants of one cache: entries, and what follows from their heads; labels, policies and statistics decode.

One pass in key order. Each head is checked against its vector, its answer, its group and its index entries; a space
with more keys than the heads account for is then walked on its own, to name those that lead nowhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from vdb.errors import CorruptData
from vdb.storage.cache_codec import (
    KEY_BYTES,
    NO_USAGE,
    CacheEntry,
    CacheUsage,
    decode_cache_usage,
    decode_entry,
    decode_group,
    unseal,
    usage_of,
)
from vdb.storage.cache_entries import index_entries_of, usage_keys_of
from vdb.storage.catalog import CacheDocument, iterate_prefix
from vdb.storage.check_catalog import check_meta
from vdb.storage.codec import decode_u64
from vdb.storage.env import Transaction
from vdb.storage.faults import Findings
from vdb.storage.keyspace import (
    ALL_OWNERS,
    META_CACHE,
    META_FORMAT,
    META_RELEASE,
    META_SEQUENCE,
    Space,
    entry_key,
    entry_of_key,
    exact_key,
)
from vdb.storage.meta import read_number, read_sequence
from vdb.types import NAME

META_KEYS = frozenset({META_FORMAT, META_RELEASE, META_SEQUENCE, META_CACHE})
PARTS = (Space.ENTRY_VECTOR, Space.ENTRY_ANSWER, Space.ENTRY_GROUP)
"""What an entry has beside its head, under its own key; not derived."""
INDEXES = (Space.ENTRY_EXACT, Space.ENTRY_EXPIRY, Space.ENTRY_SOURCE)
DOCUMENTS = (Space.LABEL, Space.POLICY, Space.CACHE_STATISTICS)
ENTRY_KEY_BYTES = 13
KEY_LENGTHS = {
    Space.ENTRY: ENTRY_KEY_BYTES,
    **dict.fromkeys(PARTS, ENTRY_KEY_BYTES),
    Space.ENTRY_EXACT: 5 + KEY_BYTES,
    Space.ENTRY_EXPIRY: 21,
}


def is_known(key: bytes) -> bool:
    """Whether a key is of a space that a cache has, and as long as its keys are."""
    space = key[0]
    if space == Space.ENTRY_SOURCE:
        return len(key) >= 23 and len(key) == 23 + int.from_bytes(key[9:11], "big")
    if space == Space.LABEL:
        return len(key) > 6 and len(key) == 14 + key[5]
    if space in (Space.CACHE_USAGE, Space.CACHE_STATISTICS):
        return len(key) >= 5
    return space in (Space.META, Space.POLICY) or KEY_LENGTHS.get(space) == len(key)  # type: ignore[call-overload]


def leads(txn: Transaction, key: bytes, value: bytes) -> bool:
    """Whether an entry of an index, or a part, leads to an entry that has it.

    Raises CorruptData where the head of that entry is damaged: nobody knows what it had.
    """
    space = key[0]
    tenant, number = entry_of_key(key) if space != Space.ENTRY_EXACT else (int.from_bytes(key[1:5], "big"), -1)
    if space == Space.ENTRY_EXACT:
        if len(value) != 8:
            return False
        number = decode_u64(value)
    head = txn.get(entry_key(Space.ENTRY, tenant, number))
    if head is None:
        return False
    entry = decode_entry(head)
    if space == Space.ENTRY_VECTOR:
        return entry.vector_bytes > 0
    return space in PARTS or any(own == key for own, _ in index_entries_of(entry))


def faults_of_parts(txn: Transaction, entry: CacheEntry, dimension: int) -> Iterator[str]:
    """What is wrong with an entry's vector, answer and group: it cannot be served then."""
    tenant, number = entry.tenant, entry.number
    vector = txn.get(entry_key(Space.ENTRY_VECTOR, tenant, number))
    if vector is not None or entry.vector_bytes:
        fault = _fault_of(vector, entry.vector_bytes, "vector")
        if not fault and vector is not None:
            values = np.frombuffer(vector, "<f4", offset=4) if len(vector) == 4 + 4 * dimension else None
            if values is None:
                fault = f"its vector has {len(vector) - 4} bytes"
            elif not np.isfinite(values).all():
                fault = "its vector is not finite"
        yield from [fault] if fault else []
    fault = _fault_of(txn.get(entry_key(Space.ENTRY_ANSWER, tenant, number)), entry.answer_bytes, "answer")
    yield from [fault] if fault else []
    group = txn.get(entry_key(Space.ENTRY_GROUP, tenant, number))
    try:
        if group is not None and decode_group(group) == (number, 0):
            yield "its group is its own, and stored all the same"
    except CorruptData as exc:
        yield exc.detail


def _fault_of(value: bytes | None, n_bytes: int, what: str) -> str:
    if value is None:
        return f"its {what} is missing"
    try:
        body = unseal(value, f"its {what}")
    except CorruptData as exc:
        return exc.detail
    return "" if len(body) == n_bytes else f"its {what} has {len(body)} bytes, not {n_bytes}"


def check_cache(
    txn: Transaction, cache: CacheDocument, tenant_exists: Callable[[int], bool], findings: Findings
) -> None:
    """Check everything in a cache's environment; raises CorruptData when its numbers cannot be read."""
    where = f"cache {cache.name}"
    check_meta(txn, META_KEYS, where, findings)
    owner = read_number(txn, META_CACHE)
    findings.expect(owner == cache.id, where, f"its environment says that it is cache {owner}")
    _Check(txn, cache, tenant_exists, findings, where, read_sequence(txn)).run()


@dataclass(slots=True)
class _Check:
    txn: Transaction
    cache: CacheDocument
    tenant_exists: Callable[[int], bool]
    findings: Findings
    where: str
    sequence: int
    usages: dict[bytes, CacheUsage] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    n_found: dict[int, int] = field(default_factory=lambda: dict.fromkeys((*PARTS, *INDEXES), 0))
    n_expected: dict[int, int] = field(default_factory=lambda: dict.fromkeys((*PARTS, *INDEXES), 0))
    known_tenants: dict[int, bool] = field(default_factory=dict)

    def run(self) -> None:
        with self.txn.cursor() as cursor:
            for key, value in cursor.iternext():
                self._see(key, value)
        for space in (*PARTS, *INDEXES):
            if self.n_found[space] != self.n_expected[space]:
                self._name_strays(space)
        self._check_usages()

    def _expect(self, is_right: bool, place: str, what: str) -> None:
        if not is_right:
            self.findings.add(f"{self.where}{place}", what)

    def _see(self, key: bytes, value: bytes) -> None:
        space = key[0]
        if not is_known(key):
            self._expect(False, "", f"key {key.hex()} is of no known space")
        elif space == Space.ENTRY:
            self._check_entry(key, value)
        elif space in DOCUMENTS:
            self._check_document(key, value)
        elif space in self.n_found:
            self.n_found[space] += 1

    def _check_entry(self, key: bytes, value: bytes) -> None:
        tenant, number = entry_of_key(key)
        place = f" entry {tenant}/{number:016x}"
        self.findings.n_entries += 1
        self._check_tenant(tenant, place)
        try:
            entry = decode_entry(value)
        except CorruptData as exc:
            self.unreadable.add(tenant)
            self._expect(False, place, exc.detail)
            return
        if (entry.tenant, entry.number) != (tenant, number):
            self.unreadable |= {tenant, entry.tenant}
            self._expect(False, place, f"its head says that it is {entry.tenant}/{entry.number:016x}")
            return
        self._check_numbers(entry, place)
        for fault in faults_of_parts(self.txn, entry, self.cache.dimension):
            self._expect(False, place, fault)
        self.n_expected[Space.ENTRY_VECTOR] += entry.vector_bytes > 0
        self.n_expected[Space.ENTRY_ANSWER] += 1
        has_group = self.txn.get(entry_key(Space.ENTRY_GROUP, tenant, number)) is not None
        self.n_expected[Space.ENTRY_GROUP] += has_group
        for own, wanted in index_entries_of(entry):
            space = Space(own[0])
            self.n_expected[space] += 1
            self._expect(
                self.txn.get(own) == wanted, place, f"its entry in the index {space.name.lower()} is missing or wrong"
            )
        for usage_key in usage_keys_of(tenant, entry.category):
            self.usages[usage_key] = self.usages.get(usage_key, NO_USAGE).plus(usage_of(entry, len(value)))

    def _check_numbers(self, entry: CacheEntry, place: str) -> None:
        sizes = {len(entry.partition), len(entry.exact)}
        self._expect(sizes == {KEY_BYTES}, place, f"its partition or exact key is not {KEY_BYTES} bytes long")
        self._expect(bool(NAME.match(entry.category)), place, "its category has not the form of names")
        self._expect(entry.sequence <= self.sequence, place, f"its sequence {entry.sequence} was never written")
        self._expect(min(entry.created_at_ms, entry.expires_at_ms) >= 0, place, "a time is negative")

    def _check_document(self, key: bytes, value: bytes) -> None:
        place = f" {Space(key[0]).name.lower()} {key[1:].hex()}"
        if key[0] != Space.POLICY:
            self._check_tenant(int.from_bytes(key[1:5], "big"), place)
        try:
            msgspec.json.decode(unseal(value, "it"))
        except CorruptData as exc:
            self._expect(False, place, exc.detail)
        except msgspec.DecodeError:
            self._expect(False, place, "it is not well formed")

    def _check_tenant(self, tenant: int, place: str) -> None:
        if tenant not in self.known_tenants:
            self.known_tenants[tenant] = self.tenant_exists(tenant)
        self._expect(self.known_tenants[tenant], place, "its tenant is gone")

    def _check_usages(self) -> None:
        """Each usage is the sum over its entries; unknown while one of the tenant's heads cannot be read."""
        stored = dict(iterate_prefix(self.txn, bytes((Space.CACHE_USAGE,))))
        for key in sorted(stored.keys() | self.usages.keys()):
            tenant = int.from_bytes(key[1:5], "big")
            if tenant in self.unreadable or (tenant == ALL_OWNERS and self.unreadable):
                continue
            place = f" usage {tenant}/{key[5:].decode(errors='replace')}"
            try:
                usage = decode_cache_usage(stored.get(key))
            except CorruptData as exc:
                self._expect(False, place, exc.detail)
                continue
            found = self.usages.get(key, NO_USAGE)
            self._expect(usage == found, place, f"it is stored as {usage}, but is {found}")

    def _name_strays(self, space: int) -> None:
        for key, value in iterate_prefix(self.txn, bytes((space,))):
            if not is_known(key):
                continue  # reported already
            try:
                is_led = leads(self.txn, key, value)
            except CorruptData:
                continue  # the head it leads to is reported already
            self._expect(is_led, "", f"entry {key.hex()} of {Space(space).name.lower()} leads to no such entry")


def rival_of(txn: Transaction, entry: CacheEntry) -> int | None:
    """Number of another readable entry that the entry's exact key leads to, and that has it too."""
    value = txn.get(exact_key(entry.tenant, entry.exact))
    if value is None or len(value) != 8 or decode_u64(value) == entry.number:
        return None
    head = txn.get(entry_key(Space.ENTRY, entry.tenant, decode_u64(value)))
    try:
        other = decode_entry(head) if head is not None else None
    except CorruptData:
        return None
    return other.number if other is not None and other.exact == entry.exact else None
