"""Documents of the catalog: collections, caches, tenants, keys, jobs. Functions take the transaction.

Times are epoch milliseconds, 0 for never. Ids are u32 counters, never reused; key ids are random text.
"""

import logging
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from vdb.errors import CorruptData
from vdb.storage.codec import Shape, decode_document, decode_u32, encode_document, encode_u32
from vdb.storage.env import Transaction
from vdb.storage.keyspace import (
    LAST_NUMBER,
    Space,
    name_key,
    number_key,
    owner_prefix,
    tenant_key_key,
    tenant_usage_key,
)
from vdb.types import NAME, FieldType, Metric, Role, Sharing, Tier

logger = logging.getLogger(__name__)

ACTIVE, CREATING, DELETING = "active", "creating", "deleting"


class EmbeddingDocument(Struct, kw_only=True, frozen=True):
    """The model that a collection's vectors come from."""

    model: str
    version: str


class FusionDocument(Struct, kw_only=True, frozen=True):
    """How a collection's legs are fused where a search does not say; `weight` is the share of the dense leg."""

    kind: Literal["coverage", "minmax", "sigma", "rrf"]
    weight: float
    rrf_k: float = 60.0


class AnsweringDocument(Struct, kw_only=True, frozen=True):
    """What answers from a collection are like where a request does not say; null: the server's default."""

    backend: str | None = None
    template: str | None = None
    cache: str | None = None
    category: str | None = None
    context_tokens: int | None = None
    limit: int | None = None
    threshold: float | None = None
    order: Literal["score", "document", "edges", "prefix"] | None = None


class TextDocument(Struct, kw_only=True, frozen=True):
    """What a collection's text index is to be: payload field → weight, the main one first; language; BM25's numbers."""

    fields: dict[str, int]
    language: str
    k1: float
    b: float

    def is_same_index(self, other: "TextDocument | None") -> bool:
        """Whether both want the same of every point; `k1` and `b` count when it is searched."""
        return other is not None and (self.fields, self.language) == (other.fields, other.language)


class CollectionDocument(Struct, kw_only=True, frozen=True):
    """A collection; `tenants`, ascending, are those that may use it, null means every tenant.

    `indexes` are the fields that are to have a payload index; what there is of them the collection's environment says.
    `tier` is where the index is to lie, `memory_bytes` what it may take of memory, null for no cap of its own.
    `text` is what is to be searched by words, null for nothing. Documents older than a field have its default.
    """

    id: int
    name: str
    state: str
    dimension: int
    metric: Metric
    sharing: Sharing
    fields: dict[str, FieldType]
    tenants: list[int] | None
    created_at_ms: int
    embedding: EmbeddingDocument | None = None
    metadata: dict[str, str] = {}
    indexes: list[str] = []
    tier: Tier = Tier.AUTO
    memory_bytes: int | None = None
    fusion: FusionDocument | None = None
    text: TextDocument | None = None
    answering: AnsweringDocument | None = None

    @property
    def indexed_fields(self) -> dict[str, FieldType]:
        """Field → declared type of the indexes that are wanted."""
        return {field: self.fields[field] for field in self.indexes if field in self.fields}


class CacheDocument(Struct, kw_only=True, frozen=True):
    """A semantic cache; `tenants`, ascending, are those that may use it, null means every tenant.

    `embedding_version` names the model that its vectors come from. `max_entries` and `max_bytes` bound the whole cache,
    null for no bound. `reject_margin` is of its classifier of categories.
    """

    id: int
    name: str
    state: str
    dimension: int
    embedding_version: str
    tenants: list[int] | None
    created_at_ms: int
    max_entries: int | None = None
    max_bytes: int | None = None
    reject_margin: float | None = None
    metadata: dict[str, str] = {}


class RateDocument(Struct, kw_only=True, frozen=True):
    """How much a tenant may ask for: queries, points and bytes per second; null is no limit.

    `burst_s`: as many seconds' worth may come at once; null is the server's own.
    """

    reads_per_s: float | None = None
    writes_per_s: float | None = None
    bytes_per_s: float | None = None
    burst_s: float | None = None


class TenantDocument(Struct, kw_only=True, frozen=True):
    """A tenant; `rate` null means the server's own limits. Documents older than the field have none."""

    id: int
    name: str
    state: str
    max_points: int | None
    max_bytes: int | None
    created_at_ms: int
    rate: RateDocument | None = None


class UsageDocument(Struct, kw_only=True, frozen=True):
    """What a tenant asked for in a month (yyyymm, UTC): requests, queries, points, bytes of bodies and answers.

    `refused` of the requests were too many or met a full queue.
    """

    tenant_id: int
    month: int
    requests: int = 0
    reads: int = 0
    writes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0


class KeyDocument(Struct, kw_only=True, frozen=True):
    """A key; `hash` is the keyed hash of its secret, `previous_hash` of the one it replaced (until a time)."""

    id: str
    name: str
    role: Role
    tenant_id: int | None
    hash: str
    created_at_ms: int
    expires_at_ms: int = 0
    last_used_at_ms: int = 0
    previous_hash: str = ""
    previous_until_ms: int = 0


class JobDocument(Struct, kw_only=True, frozen=True):
    """Background work that goes on after a restart from `position`."""

    id: int
    kind: str
    state: str
    collection_id: int | None
    tenant_id: int | None
    created_at_ms: int
    filter: str = ""
    wish: str = ""
    scope: str = "own"
    position: int = 0
    until: int = 0
    n_done: int = 0
    finished_at_ms: int = 0
    error: str = ""

    @property
    def removes_tenant(self) -> bool:
        """Whether it goes on removing `tenant_id`."""
        return self.kind == "delete_tenant" and self.state in ("queued", "running")


def put_collection(txn: Transaction, document: CollectionDocument, old: CollectionDocument | None = None) -> None:
    """Store a collection; where it had another name before (in `old`), that one leads nowhere any more."""
    if old is not None and old.name != document.name:
        txn.delete(name_key(Space.COLLECTION_NAME, old.name))
    txn.put(number_key(Space.COLLECTION, document.id), encode_document(document))
    txn.put(name_key(Space.COLLECTION_NAME, document.name), encode_u32(document.id))


def collection_by_name(txn: Transaction, name: str) -> CollectionDocument | None:
    """The collection of that name; what has not the form of a name names none, and neither does an alias."""
    value = txn.get(name_key(Space.COLLECTION_NAME, name)) if NAME.match(name) else None
    return None if value is None else collection_by_id(txn, decode_u32(value))


def collection_by_id(txn: Transaction, collection_id: int) -> CollectionDocument | None:
    value = txn.get(number_key(Space.COLLECTION, collection_id))
    return None if value is None else decode_document(value, CollectionDocument)


def is_name_taken(txn: Transaction, name: str) -> bool:
    """Whether a collection or an alias has the name: both share one set of names."""
    return any(txn.get(name_key(space, name)) is not None for space in (Space.COLLECTION_NAME, Space.ALIAS))


def put_alias(txn: Transaction, name: str, collection_id: int) -> None:
    txn.put(name_key(Space.ALIAS, name), encode_u32(collection_id))


def remove_alias(txn: Transaction, name: str) -> None:
    txn.delete(name_key(Space.ALIAS, name))


def alias_target(txn: Transaction, name: str) -> int | None:
    """Id of the collection that an alias leads to; None where there is no such alias."""
    value = txn.get(name_key(Space.ALIAS, name)) if NAME.match(name) else None
    return None if value is None else decode_u32(value)


def iterate_aliases(txn: Transaction) -> Iterator[tuple[str, int]]:
    """(alias, collection id) in the order of names; an entry that cannot be read is logged and left out."""
    for key, value in iterate_prefix(txn, bytes((Space.ALIAS,))):
        try:
            yield key[1:].decode(), decode_u32(value)
        except (CorruptData, UnicodeDecodeError) as exc:
            logger.error("alias %s cannot be read", key[1:].hex(), exc_info=exc)


def put_cache(txn: Transaction, document: CacheDocument, old: CacheDocument | None = None) -> None:
    """Store a cache; where it had another name before (in `old`), that one leads nowhere any more."""
    if old is not None and old.name != document.name:
        txn.delete(name_key(Space.CACHE_NAME, old.name))
    txn.put(number_key(Space.CACHE, document.id), encode_document(document))
    txn.put(name_key(Space.CACHE_NAME, document.name), encode_u32(document.id))


def hide_cache(txn: Transaction, document: CacheDocument) -> None:
    """Nobody finds the cache by its name any more; its document stays until its folder is gone."""
    txn.delete(name_key(Space.CACHE_NAME, document.name))


def remove_cache(txn: Transaction, document: CacheDocument) -> None:
    """Remove the document; its name only while it still means this cache."""
    txn.delete(number_key(Space.CACHE, document.id))
    name = name_key(Space.CACHE_NAME, document.name)
    if txn.get(name) == encode_u32(document.id):
        txn.delete(name)


def cache_by_name(txn: Transaction, name: str) -> CacheDocument | None:
    """The cache of that name: caches have a set of names of their own."""
    value = txn.get(name_key(Space.CACHE_NAME, name)) if NAME.match(name) else None
    return None if value is None else cache_by_id(txn, decode_u32(value))


def cache_by_id(txn: Transaction, cache_id: int) -> CacheDocument | None:
    value = txn.get(number_key(Space.CACHE, cache_id))
    return None if value is None else decode_document(value, CacheDocument)


def put_tenant(txn: Transaction, document: TenantDocument) -> None:
    txn.put(number_key(Space.TENANT, document.id), encode_document(document))
    txn.put(name_key(Space.TENANT_NAME, document.name), encode_u32(document.id))


def remove_tenant(txn: Transaction, document: TenantDocument) -> None:
    txn.delete(number_key(Space.TENANT, document.id))
    txn.delete(name_key(Space.TENANT_NAME, document.name))


def tenant_by_name(txn: Transaction, name: str) -> TenantDocument | None:
    """The tenant; what has not the form of a name (and may not even be Unicode) names none."""
    value = txn.get(name_key(Space.TENANT_NAME, name)) if NAME.match(name) else None
    return None if value is None else tenant_by_id(txn, decode_u32(value))


def tenant_by_id(txn: Transaction, tenant_id: int) -> TenantDocument | None:
    value = txn.get(number_key(Space.TENANT, tenant_id))
    return None if value is None else decode_document(value, TenantDocument)


def put_tenant_usage(txn: Transaction, document: UsageDocument) -> None:
    txn.put(tenant_usage_key(document.tenant_id, document.month), encode_document(document))


def tenant_usage(txn: Transaction, tenant_id: int, month: int) -> UsageDocument | None:
    """What a tenant asked for in a month."""
    value = txn.get(tenant_usage_key(tenant_id, month))
    return None if value is None else decode_document(value, UsageDocument)


def usage_of_tenant(txn: Transaction, tenant_id: int) -> list[UsageDocument]:
    """All months stored of a tenant, oldest first."""
    prefix = owner_prefix(Space.TENANT_USAGE, tenant_id)
    return [decode_document(value, UsageDocument) for _, value in iterate_prefix(txn, prefix)]


def remove_tenant_usage(txn: Transaction, tenant_id: int, before: int | None = None) -> None:
    """Forget a tenant's months, or those before one."""
    prefix = owner_prefix(Space.TENANT_USAGE, tenant_id)
    end = None if before is None else tenant_usage_key(tenant_id, before)
    for key in [key for key, _ in iterate_prefix(txn, prefix) if end is None or key < end]:
        txn.delete(key)


def put_key(txn: Transaction, document: KeyDocument, old: KeyDocument | None = None) -> None:
    """Store a key and its hashes; hashes of `old` that are no longer its own are forgotten."""
    if old is not None:
        for gone in {old.hash, old.previous_hash} - {document.hash, document.previous_hash, ""}:
            txn.delete(name_key(Space.KEY_HASH, gone))
    txn.put(name_key(Space.KEY, document.id), encode_document(document))
    for digest in filter(None, (document.hash, document.previous_hash)):
        txn.put(name_key(Space.KEY_HASH, digest), document.id.encode())
    if document.tenant_id is not None:
        txn.put(tenant_key_key(document.tenant_id, document.id), b"")


def remove_key(txn: Transaction, document: KeyDocument) -> None:
    for digest in filter(None, (document.hash, document.previous_hash)):
        txn.delete(name_key(Space.KEY_HASH, digest))
    txn.delete(name_key(Space.KEY, document.id))
    if document.tenant_id is not None:
        txn.delete(tenant_key_key(document.tenant_id, document.id))


def key_by_id(txn: Transaction, key_id: str) -> KeyDocument | None:
    value = txn.get(name_key(Space.KEY, key_id))
    return None if value is None else decode_document(value, KeyDocument)


def key_by_hash(txn: Transaction, digest: str) -> KeyDocument | None:
    key_id = txn.get(name_key(Space.KEY_HASH, digest))
    return None if key_id is None else key_by_id(txn, key_id.decode())


def keys_of_tenant(txn: Transaction, tenant_id: int) -> list[str]:
    """Ids of the keys bound to a tenant."""
    prefix = tenant_key_key(tenant_id, "")
    return [key[len(prefix) :].decode() for key, _ in iterate_prefix(txn, prefix)]


def put_job(txn: Transaction, document: JobDocument) -> None:
    txn.put(number_key(Space.JOB, document.id), encode_document(document))


def remove_job(txn: Transaction, job_id: int) -> None:
    txn.delete(number_key(Space.JOB, job_id))


def job_by_id(txn: Transaction, job_id: int) -> JobDocument | None:
    value = txn.get(number_key(Space.JOB, job_id)) if 0 < job_id <= LAST_NUMBER else None
    return None if value is None else decode_document(value, JobDocument)


def iterate_documents(txn: Transaction, space: Space, shape: type[Shape], after: bytes = b"") -> Iterator[Shape]:
    """All documents of a space in key order, those after key `after` (without its space byte) where given."""
    for _, value in iterate_prefix(txn, bytes((space,)), after):
        yield decode_document(value, shape)


def iterate_readable(txn: Transaction, space: Space, shape: type[Shape], after: bytes = b"") -> Iterator[Shape]:
    """As `iterate_documents`, but a damaged document is logged and left out: a start must not end at it."""
    for key, value in iterate_prefix(txn, bytes((space,)), after):
        try:
            yield decode_document(value, shape)
        except CorruptData as exc:
            logger.error("%s %s cannot be read", space.name.lower(), key[1:].hex(), exc_info=exc)


def iterate_prefix(txn: Transaction, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the keys with a prefix, past `prefix + after` where given."""
    with txn.cursor() as cursor:
        if not cursor.set_range(prefix + after):
            return
        for key, value in cursor.iternext():
            if not key.startswith(prefix):
                return
            if not after or key != prefix + after:
                yield key, value
