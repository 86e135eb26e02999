"""Invariants of the catalog: documents decode and stand under their own id; names, key hashes and tenants' keys agree
with them both ways; usage is of tenants that are there; counters lie beyond every id."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from vdb.errors import CorruptData
from vdb.storage import catalog as store
from vdb.storage.catalog import (
    ACTIVE,
    CREATING,
    DELETING,
    CacheDocument,
    CollectionDocument,
    JobDocument,
    KeyDocument,
    RateDocument,
    TenantDocument,
    UsageDocument,
)
from vdb.storage.codec import FORMAT_VERSION, decode_document, decode_u32
from vdb.storage.env import Transaction
from vdb.storage.faults import Findings
from vdb.storage.keyspace import (
    META_FORMAT,
    META_NEXT_CACHE,
    META_NEXT_COLLECTION,
    META_NEXT_JOB,
    META_NEXT_TENANT,
    META_RELEASE,
    META_UPGRADING,
    Space,
    name_key,
    number_key,
    tenant_key_key,
    tenant_usage_key,
)
from vdb.storage.meta import read_format, read_number
from vdb.storage.templates import TemplateDocument, key_of_template
from vdb.types import NAME, Role

META_KEYS = frozenset(
    {
        META_FORMAT,
        META_RELEASE,
        META_UPGRADING,
        META_NEXT_COLLECTION,
        META_NEXT_TENANT,
        META_NEXT_JOB,
        META_NEXT_CACHE,
    }
)
SPACES = frozenset(
    {
        Space.META, Space.COLLECTION, Space.COLLECTION_NAME, Space.TENANT, Space.TENANT_NAME,
        Space.KEY, Space.KEY_HASH, Space.TENANT_KEY, Space.JOB, Space.ALIAS, Space.TENANT_USAGE,
        Space.CACHE, Space.CACHE_NAME, Space.TEMPLATE,
    }
)  # fmt: skip
NUMBERED = frozenset({Space.COLLECTION, Space.TENANT, Space.JOB, Space.CACHE})
JOB_KINDS = frozenset({"delete_by_filter", "delete_tenant", "index_fields"})
JOB_STATES = frozenset({"queued", "running", "done", "failed"})

Document = TypeVar("Document", bound=msgspec.Struct)


def check_catalog(txn: Transaction, findings: Findings) -> tuple[list[CollectionDocument], list[CacheDocument]]:
    """Check everything in the catalog; the collections and caches that could be read. Raises FormatTooNew."""
    check_meta(txn, META_KEYS, "catalog", findings)
    for key in _keys_of_unknown_space(txn):
        findings.add("catalog", f"key {key.hex()} is of no known space")
    collections = list(_documents(txn, Space.COLLECTION, CollectionDocument, findings))
    for collection in collections:
        _check_collection(txn, collection, findings)
    caches = list(_documents(txn, Space.CACHE, CacheDocument, findings))
    for cache in caches:
        _check_cache(txn, cache, findings)
    going = set()
    for tenant in _documents(txn, Space.TENANT, TenantDocument, findings):
        _check_tenant(txn, tenant, findings)
        going |= {tenant.id} if tenant.state == DELETING else set()
    for key_document in _documents(txn, Space.KEY, KeyDocument, findings):
        _check_key(txn, key_document, findings)
    for job in _documents(txn, Space.JOB, JobDocument, findings):
        _check_job(txn, job, findings)
        going -= {job.tenant_id} if job.removes_tenant else set()
    for tenant_id in sorted(going):
        findings.add(f"tenant {tenant_id}", "it is being deleted, but no job does it")
    _check_names(txn, findings)
    _check_aliases(txn, findings)
    _check_hashes(txn, findings)
    _check_tenant_keys(txn, findings)
    _check_tenant_usage(txn, findings)
    _check_templates(txn, findings)
    return collections, caches


def check_meta(txn: Transaction, known: frozenset[bytes], where: str, findings: Findings) -> int:
    """The numbers an environment keeps about itself: known names, 8 bytes each, a format we know. Returns the format.

    Raises FormatTooNew, CorruptData.
    """
    for key, value in store.iterate_prefix(txn, bytes((Space.META,))):
        findings.expect(key in known, where, f"unknown number {key[1:]!r}")
        if len(value) != 8:
            raise CorruptData(f"the number {key[1:].decode(errors='replace')} is not 8 bytes")
    version = read_format(txn, where)
    findings.expect(version > 0, where, "it has no format")
    if 0 < version < FORMAT_VERSION:
        findings.older[where] = version
    return version


def _keys_of_unknown_space(txn: Transaction) -> Iterator[bytes]:
    with txn.cursor() as cursor:
        for key in cursor.iternext(keys=True, values=False):
            if key[0] not in SPACES:
                yield key


def _documents(txn: Transaction, space: Space, shape: type[Document], findings: Findings) -> Iterator[Document]:
    """The documents of a space that decode and stand under their own id."""
    for key, value in store.iterate_prefix(txn, bytes((space,))):
        where = f"{space.name.lower()} {_label(space, key[1:])}"
        try:
            document = decode_document(value, shape)
        except CorruptData as exc:
            findings.add(where, exc.detail)
            continue
        own = document.id  # type: ignore[attr-defined]
        if key == (name_key(space, own) if isinstance(own, str) else _number_key(space, own)):
            yield document
        else:
            findings.add(where, f"the document says that its id is {own!r}")


def _number_key(space: Space, number: int) -> bytes:
    return number_key(space, number) if 0 < number < 1 << 32 else b""


def _label(space: Space, suffix: bytes) -> str:
    """What follows the space in a key, for people."""
    return str(int.from_bytes(suffix, "big")) if space in NUMBERED else suffix.decode(errors="replace")


def _check_collection(txn: Transaction, document: CollectionDocument, findings: Findings) -> None:
    where = f"collection {document.name}"
    findings.expect(bool(NAME.match(document.name)), where, "its name has not the form of names")
    findings.expect(document.state in (ACTIVE, CREATING, DELETING), where, f"unknown state {document.state!r}")
    findings.expect(document.dimension >= 1, where, f"its dimension is {document.dimension}")
    findings.expect(
        document.id <= read_number(txn, META_NEXT_COLLECTION), where, "its id lies beyond the counter of collections"
    )
    _check_members(txn, document.tenants, where, findings)
    findings.expect(
        set(document.indexes) <= document.fields.keys(), where, "it indexes a field that it does not declare"
    )
    is_cap = document.memory_bytes is None or document.memory_bytes >= 1
    findings.expect(is_cap, where, "its cap of memory is not positive")
    if document.state != DELETING:
        _check_name(txn, Space.COLLECTION_NAME, document.name, document.id, where, findings)


def _check_members(txn: Transaction, tenants: list[int] | None, where: str, findings: Findings) -> None:
    last_tenant = read_number(txn, META_NEXT_TENANT)
    members = tenants or []
    findings.expect(members == sorted(set(members)), where, "its tenants are not ascending")
    findings.expect(all(0 < tenant <= last_tenant for tenant in members), where, "it names a tenant that never was")


def _check_cache(txn: Transaction, document: CacheDocument, findings: Findings) -> None:
    where = f"cache {document.name}"
    findings.expect(bool(NAME.match(document.name)), where, "its name has not the form of names")
    findings.expect(document.state in (ACTIVE, CREATING, DELETING), where, f"unknown state {document.state!r}")
    findings.expect(document.dimension >= 1, where, f"its dimension is {document.dimension}")
    findings.expect(document.id <= read_number(txn, META_NEXT_CACHE), where, "its id lies beyond the counter of caches")
    _check_members(txn, document.tenants, where, findings)
    bounds = (document.max_entries, document.max_bytes)
    findings.expect(all(bound is None or bound >= 0 for bound in bounds), where, "a bound of it is negative")
    if document.state != DELETING:
        _check_name(txn, Space.CACHE_NAME, document.name, document.id, where, findings)


def _check_tenant(txn: Transaction, document: TenantDocument, findings: Findings) -> None:
    where = f"tenant {document.name}"
    findings.n_tenants += 1
    findings.expect(bool(NAME.match(document.name)), where, "its name has not the form of names")
    findings.expect(document.state in (ACTIVE, DELETING), where, f"unknown state {document.state!r}")
    findings.expect(document.id <= read_number(txn, META_NEXT_TENANT), where, "its id lies beyond the counter")
    caps = (document.max_points, document.max_bytes)
    findings.expect(all(cap is None or cap >= 0 for cap in caps), where, "a quota is negative")
    rate = document.rate or RateDocument()
    rates = (rate.reads_per_s, rate.writes_per_s, rate.bytes_per_s, rate.burst_s)
    findings.expect(all(given is None or given > 0 for given in rates), where, "a rate is not positive")
    _check_name(txn, Space.TENANT_NAME, document.name, document.id, where, findings)


def _check_name(txn: Transaction, space: Space, name: str, number: int, where: str, findings: Findings) -> None:
    value = txn.get(name_key(space, name))
    if value is None or len(value) != 4 or decode_u32(value) != number:
        findings.add(where, "its name does not lead to it")


def _check_key(txn: Transaction, document: KeyDocument, findings: Findings) -> None:
    where = f"key {document.id}"
    for digest in filter(None, (document.hash, document.previous_hash)):
        owner = txn.get(name_key(Space.KEY_HASH, digest))
        findings.expect(owner == document.id.encode(), where, "a hash of its secrets does not lead to it")
    is_bound = document.role in (Role.READ, Role.WRITE)
    findings.expect(is_bound == (document.tenant_id is not None), where, "its role and its tenant do not go together")
    if document.tenant_id is None:
        return
    listed = txn.get(tenant_key_key(document.tenant_id, document.id))
    findings.expect(listed is not None, where, "it is not among its tenant's keys")
    findings.expect(_is_active_tenant(txn, document.tenant_id), where, "its tenant is gone")


def _is_active_tenant(txn: Transaction, tenant_id: int) -> bool:
    try:
        tenant = store.tenant_by_id(txn, tenant_id)
    except CorruptData:
        return True  # reported where the tenant is checked
    return tenant is not None and tenant.state == ACTIVE


def _check_job(txn: Transaction, document: JobDocument, findings: Findings) -> None:
    where = f"job {document.id}"
    findings.expect(document.id <= read_number(txn, META_NEXT_JOB), where, "its id lies beyond the counter of jobs")
    findings.expect(document.kind in JOB_KINDS, where, f"unknown kind {document.kind!r}")
    findings.expect(document.state in JOB_STATES, where, f"unknown state {document.state!r}")
    is_over = document.state in ("done", "failed")
    findings.expect(is_over == (document.finished_at_ms > 0), where, "its state and its end do not go together")


def _check_names(txn: Transaction, findings: Findings) -> None:
    """Every name leads to a document of that name."""
    for space, numbers, shape in (
        (Space.COLLECTION_NAME, Space.COLLECTION, CollectionDocument),
        (Space.TENANT_NAME, Space.TENANT, TenantDocument),
        (Space.CACHE_NAME, Space.CACHE, CacheDocument),
    ):
        for key, value in store.iterate_prefix(txn, bytes((space,))):
            where = f"{space.name.lower()} {_label(space, key[1:])}"
            stored = txn.get(number_key(numbers, decode_u32(value))) if len(value) == 4 else None
            if stored is None:
                findings.add(where, "the name leads to nothing")
                continue
            try:
                name = decode_document(stored, shape).name  # type: ignore[attr-defined]
            except CorruptData:
                continue  # reported where the document is checked
            findings.expect(name.encode() == key[1:], where, f"the name leads to {name!r}")


def _check_aliases(txn: Transaction, findings: Findings) -> None:
    """Every alias has a name of its own, and leads to a collection that is there."""
    for key, value in store.iterate_prefix(txn, bytes((Space.ALIAS,))):
        name = key[1:].decode(errors="replace")
        where = f"alias {name}"
        findings.expect(bool(NAME.match(name)), where, "its name has not the form of names")
        is_taken = txn.get(bytes((Space.COLLECTION_NAME,)) + key[1:]) is not None
        findings.expect(not is_taken, where, "a collection has the same name")
        try:
            target = store.collection_by_id(txn, decode_u32(value)) if len(value) == 4 else None
        except CorruptData:
            continue  # reported where the collection is checked
        is_there = target is not None and target.state == ACTIVE
        findings.expect(is_there, where, "the alias leads to no collection")


def _check_hashes(txn: Transaction, findings: Findings) -> None:
    """Every hash leads to a key that has it."""
    for entry, key_id in store.iterate_prefix(txn, bytes((Space.KEY_HASH,))):
        digest = entry[1:].decode(errors="replace")
        try:
            document = store.key_by_id(txn, key_id.decode(errors="replace"))
        except CorruptData:
            continue  # reported where the key is checked
        is_known = document is not None and digest in (document.hash, document.previous_hash)
        findings.expect(is_known, f"key_hash {digest[:8]}…", "it leads to no key that has it")


def _check_tenant_keys(txn: Transaction, findings: Findings) -> None:
    """Every entry among a tenant's keys is a key of that tenant."""
    for entry, _ in store.iterate_prefix(txn, bytes((Space.TENANT_KEY,))):
        key_id = entry[5:].decode(errors="replace")
        try:
            document = store.key_by_id(txn, key_id)
        except CorruptData:
            continue  # reported where the key is checked
        is_its = document is not None and document.tenant_id == int.from_bytes(entry[1:5], "big")
        findings.expect(is_its, f"tenant_key {key_id}", "it is no key of that tenant")


def _check_templates(txn: Transaction, findings: Findings) -> None:
    """A template stands under its own name and version, of a collection that is there."""
    for key, value in store.iterate_prefix(txn, bytes((Space.TEMPLATE,))):
        where = f"template {key[1:].hex()}"
        is_there = txn.get(bytes((Space.COLLECTION,)) + key[1:5]) is not None
        findings.expect(is_there, where, "its collection is gone")
        try:
            document = decode_document(value, TemplateDocument)
        except CorruptData as exc:
            findings.add(where, exc.detail)
            continue
        findings.expect(key == key_of_template(document), where, "the document is of another name or version")


def _check_tenant_usage(txn: Transaction, findings: Findings) -> None:
    """Usage stands under its own tenant and month, of a tenant that is there."""
    for key, value in store.iterate_prefix(txn, bytes((Space.TENANT_USAGE,))):
        where = f"tenant_usage {key[1:].hex()}"
        try:
            document = decode_document(value, UsageDocument)
        except CorruptData as exc:
            findings.add(where, exc.detail)
            continue
        is_known = 0 < document.tenant_id < 1 << 32 and 0 < document.month < 1 << 32
        own = tenant_usage_key(document.tenant_id, document.month) if is_known else b""
        findings.expect(key == own, where, "the document is of another tenant or month")
        findings.expect(1 <= document.month % 100 <= 12, where, "its month is none")
        counts = (document.requests, document.reads, document.writes, document.bytes_in, document.bytes_out)
        findings.expect(min(*counts, document.refused) >= 0, where, "a count is negative")
        findings.expect(
            txn.get(number_key(Space.TENANT, document.tenant_id)) is not None if is_known else True,
            where,
            "its tenant is gone",
        )
