"""Repair of the catalog: names, key hashes, tenants' keys and counters are made to follow from the documents again.

Aliases follow from nothing: one that leads nowhere goes, one that is gone cannot be rebuilt. An entry that leads to a
damaged document stays. A damaged document is set aside, if that is asked for, where the server can do without it: keys,
jobs, months of usage, templates. A tenant gets one of the same id and name instead, active and without a quota, so that
its points are reached again, unless it was being deleted. A collection's or a cache's stays: nobody can guess its
dimension.
"""

import time
from typing import Any

from msgspec import Struct

from vdb.errors import CorruptData
from vdb.storage.catalog import (
    ACTIVE,
    DELETING,
    CacheDocument,
    CollectionDocument,
    JobDocument,
    KeyDocument,
    TenantDocument,
    UsageDocument,
    iterate_readable,
)
from vdb.storage.check_catalog import META_KEYS, SPACES
from vdb.storage.codec import decode_document, decode_u32, decode_u64, encode_document, encode_u32, encode_u64
from vdb.storage.edits import Edits
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import (
    META_NEXT_CACHE,
    META_NEXT_COLLECTION,
    META_NEXT_JOB,
    META_NEXT_TENANT,
    Space,
    name_key,
    number_key,
    tenant_key_key,
)
from vdb.storage.templates import TemplateDocument, key_of_template

COUNTERS = {
    Space.COLLECTION: META_NEXT_COLLECTION,
    Space.TENANT: META_NEXT_TENANT,
    Space.JOB: META_NEXT_JOB,
    Space.CACHE: META_NEXT_CACHE,
}
NAMES: dict[Space, tuple[Space, type[Any]]] = {
    Space.COLLECTION_NAME: (Space.COLLECTION, CollectionDocument),
    Space.TENANT_NAME: (Space.TENANT, TenantDocument),
    Space.CACHE_NAME: (Space.CACHE, CacheDocument),
}
DISPENSABLE: dict[int, type[Struct]] = {
    Space.KEY: KeyDocument,
    Space.JOB: JobDocument,
    Space.TENANT_USAGE: UsageDocument,
    Space.TEMPLATE: TemplateDocument,
}


class CatalogRepair:
    """Repairs the catalog, once; what was done is in `edits`."""

    def __init__(self, env: Environment, edits: Edits) -> None:
        self._env = env
        self._edits = edits
        self._last = dict.fromkeys(COUNTERS, 0)
        self._going: set[int] = set()
        self._removed_by_job: set[int] = set()
        self._n_damaged_jobs = 0

    def run(self) -> None:
        """Raises DiskFull, StorageFailure; what was committed until then is right, and another run goes on."""
        visit = self._edits.visit
        if self._edits.drops_damaged:
            visit(b"", self._set_aside)
            visit(bytes((Space.TENANT_NAME,)), self._replace_tenant)
        for space in NAMES:
            visit(bytes((space,)), self._drop_name)
        visit(bytes((Space.KEY_HASH,)), self._drop_hash)
        visit(bytes((Space.TENANT_KEY,)), self._drop_tenant_key)
        visit(bytes((Space.COLLECTION,)), self._add_collection)
        visit(bytes((Space.CACHE,)), self._add_cache)
        visit(bytes((Space.TENANT,)), self._add_tenant)
        visit(bytes((Space.KEY,)), self._add_key)
        visit(bytes((Space.JOB,)), self._see_job)
        visit(bytes((Space.ALIAS,)), self._drop_alias)
        visit(bytes((Space.TEMPLATE,)), self._drop_template)
        self._resume_deletions()
        self._mend_counters()

    # What cannot be rebuilt

    def _set_aside(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if key[0] not in SPACES or (key[0] == Space.META and key not in META_KEYS):
            self._edits.set_aside(key, value, "a key of no known space")
        elif key[0] in DISPENSABLE and _document(value, DISPENSABLE[key[0]]) is None:
            self._edits.set_aside(key, value, f"a damaged document of the space {Space(key[0]).name.lower()}")

    def _replace_tenant(self, txn: Transaction, key: bytes, value: bytes) -> None:
        """A damaged tenant, found by its name. One that was being deleted does not come back to life."""
        place = number_key(Space.TENANT, decode_u32(value)) if len(value) == 4 else b""
        stored = txn.get(place) if place else None
        if stored is None or _document(stored, TenantDocument) is not None:
            return
        document = TenantDocument(
            id=decode_u32(value),
            name=key[1:].decode(),
            state=DELETING if _is_being_deleted(txn, decode_u32(value)) else ACTIVE,
            max_points=None,
            max_bytes=None,
            created_at_ms=time.time_ns() // 1_000_000,
        )
        why = f"tenant {document.name}, whose quota has to be set again"
        self._edits.replace(place, stored, encode_document(document), why)

    # Entries that lead nowhere

    def _drop_name(self, txn: Transaction, key: bytes, value: bytes) -> None:
        numbers, shape = NAMES[Space(key[0])]
        stored = txn.get(number_key(numbers, decode_u32(value))) if len(value) == 4 else None
        document = None if stored is None else _document(stored, shape)
        if stored is None or (document is not None and document.name.encode() != key[1:]):
            self._drop(key)

    def _drop_hash(self, txn: Transaction, key: bytes, value: bytes) -> None:
        stored = txn.get(bytes((Space.KEY,)) + value)
        document = None if stored is None else _document(stored, KeyDocument)
        digests = (document.hash, document.previous_hash) if document is not None else ()
        if stored is None or (document is not None and key[1:] not in [digest.encode() for digest in digests]):
            self._drop(key)

    def _drop_tenant_key(self, txn: Transaction, key: bytes, value: bytes) -> None:
        stored = txn.get(bytes((Space.KEY,)) + key[5:])
        document = None if stored is None else _document(stored, KeyDocument)
        tenant = int.from_bytes(key[1:5], "big")
        if stored is None or (document is not None and document.tenant_id != tenant):
            self._drop(key)

    def _drop_template(self, txn: Transaction, key: bytes, value: bytes) -> None:
        """A template of no collection, or one that stands in another's place."""
        document = _document(value, TemplateDocument)
        is_there = txn.get(bytes((Space.COLLECTION,)) + key[1:5]) is not None
        if not is_there or (document is not None and key != key_of_template(document)):
            self._drop(key)

    def _drop_alias(self, txn: Transaction, key: bytes, value: bytes) -> None:
        """Where a collection has the same name, the alias leads nowhere: that name is found first."""
        stored = txn.get(number_key(Space.COLLECTION, decode_u32(value))) if len(value) == 4 else None
        document = None if stored is None else _document(stored, CollectionDocument)
        is_shadowed = txn.get(bytes((Space.COLLECTION_NAME,)) + key[1:]) is not None
        if is_shadowed or stored is None or (document is not None and document.state != ACTIVE):
            self._edits.drop(key, "aliases that led nowhere removed")

    def _drop(self, key: bytes) -> None:
        self._edits.drop(key, f"entries of the index {Space(key[0]).name.lower()} that led nowhere removed")

    # Entries that documents lack

    def _add_collection(self, txn: Transaction, key: bytes, value: bytes) -> None:
        self._count(txn, key, value)
        document = _document(value, CollectionDocument)
        if document is not None and document.state != DELETING and key == _place(Space.COLLECTION, document.id):
            self._add(txn, name_key(Space.COLLECTION_NAME, document.name), encode_u32(document.id))
            self._see(Space.TENANT, max(document.tenants or [0]))

    def _add_cache(self, txn: Transaction, key: bytes, value: bytes) -> None:
        self._count(txn, key, value)
        document = _document(value, CacheDocument)
        if document is not None and document.state != DELETING and key == _place(Space.CACHE, document.id):
            self._add(txn, name_key(Space.CACHE_NAME, document.name), encode_u32(document.id))
            self._see(Space.TENANT, max(document.tenants or [0]))

    def _add_tenant(self, txn: Transaction, key: bytes, value: bytes) -> None:
        self._count(txn, key, value)
        document = _document(value, TenantDocument)
        if document is not None and key == _place(Space.TENANT, document.id):
            self._add(txn, name_key(Space.TENANT_NAME, document.name), encode_u32(document.id))
            self._going |= {document.id} if document.state == DELETING else set()

    def _add_key(self, txn: Transaction, key: bytes, value: bytes) -> None:
        document = _document(value, KeyDocument)
        if document is None or key != name_key(Space.KEY, document.id):
            return
        for digest in filter(None, (document.hash, document.previous_hash)):
            self._add(txn, name_key(Space.KEY_HASH, digest), document.id.encode())
        if document.tenant_id is not None:
            self._add(txn, tenant_key_key(document.tenant_id, document.id), b"")

    def _add(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if txn.get(key) is None:
            self._edits.put(key, value, f"entries of the index {Space(key[0]).name.lower()} added")

    # Deletions of tenants whose job failed or is gone: nobody can ask for them again

    def _see_job(self, txn: Transaction, key: bytes, value: bytes) -> None:
        self._count(txn, key, value)
        document = _document(value, JobDocument)
        if document is None:
            self._n_damaged_jobs += 1
        elif document.removes_tenant:
            self._removed_by_job.add(document.tenant_id)

    def _resume_deletions(self) -> None:
        for tenant_id in sorted(self._going - self._removed_by_job) if not self._n_damaged_jobs else ():
            self._last[Space.JOB] = self._beyond(Space.JOB)
            document = JobDocument(
                id=self._last[Space.JOB],
                kind="delete_tenant",
                state="queued",
                collection_id=None,
                tenant_id=tenant_id,
                created_at_ms=time.time_ns() // 1_000_000,
            )
            key = number_key(Space.JOB, document.id)
            self._edits.put(key, encode_document(document), "deletions of tenants begun anew")

    # Counters

    def _beyond(self, space: Space) -> int:
        """The next id, beyond those in use and those given out."""
        with self._env.read() as txn:
            return max(self._last[space], _number_of(txn, COUNTERS[space])) + 1

    def _count(self, txn: Transaction, key: bytes, value: bytes) -> None:
        if len(key) == 5:
            self._see(Space(key[0]), int.from_bytes(key[1:], "big"))

    def _see(self, space: Space, number: int) -> None:
        self._last[space] = max(self._last[space], number)

    def _mend_counters(self) -> None:
        with self._env.read() as txn:
            for space, key in COUNTERS.items():
                if _number_of(txn, key) < self._last[space]:
                    self._edits.put(key, encode_u64(self._last[space]), f"counter {key[1:].decode()} mended")
        self._edits.commit()


def _is_being_deleted(txn: Transaction, tenant_id: int) -> bool:
    """Whether a job is to delete the tenant, or has failed to."""
    jobs = iterate_readable(txn, Space.JOB, JobDocument)
    return any(job.kind == "delete_tenant" and job.tenant_id == tenant_id and job.state != "done" for job in jobs)


def _number_of(txn: Transaction, key: bytes) -> int:
    """A counter, -1 where it is damaged."""
    try:
        return decode_u64(txn.get(key))
    except CorruptData:
        return -1


def _place(space: Space, number: int) -> bytes:
    return number_key(space, number) if 0 < number < 1 << 32 else b""


def _document(value: bytes, shape: type[Any]) -> Any:
    """The document, None where it is damaged."""
    try:
        return decode_document(value, shape)
    except CorruptData:
        return None
