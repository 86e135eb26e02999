"""A cache's environment in memory of nothing else, and entries to put into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from vdb.storage.cache_codec import CacheEntry, Retrieval, Source
from vdb.storage.cache_entries import put_entry
from vdb.storage.cache_labels import put_label, put_policy, put_statistics
from vdb.storage.catalog import ACTIVE, CacheDocument, put_cache
from vdb.storage.create import create_environment
from vdb.storage.directory import DataDirectory, make_folder
from vdb.storage.env import Environment
from vdb.storage.keyspace import META_NEXT_CACHE, META_SEQUENCE
from vdb.storage.meta import write_number

CACHE_ID = 3
SIZES: dict[str, Any] = {"map_bytes": 1 << 20, "max_map_bytes": 1 << 28}
VECTOR = np.array([0.6, 0.8], "<f4").tobytes()
ANSWER = b'{"text":"42"}'

ENTRY = CacheEntry(
    tenant=2,
    number=0x0102030405060708,
    partition=bytes(range(16)),
    exact=bytes(range(16, 32)),
    category="faq",
    text="What is six times seven?",
    created_at_ms=1_767_225_600_000,
    expires_at_ms=4_102_444_800_000,
    sequence=5,
    embedding_version="eye-2",
    scope="staff",
    model="m",
    fingerprint="f0",
    turns="",
    vector_bytes=len(VECTOR),
    answer_bytes=len(ANSWER),
    sources=(Source(1, 2, "é1".encode(), 7),),
    retrieval=Retrieval(1, VECTOR, b'{"field":"lang","eq":"en"}', 2, 0.25, 7, ((2, b"b"),)),
)


def entry(number: int, tenant: int = 2, category: str = "faq", text: str = "", **changed: Any) -> CacheEntry:
    """An entry like `ENTRY`, with an exact key of its own text."""
    text = text or f"question {number}"
    exact = blake2b(f"{tenant} {category} {text}".encode(), digest_size=16).digest()
    fields = {"expires_at_ms": 0, "sources": (), "retrieval": None} | changed
    return replace(ENTRY, number=number, tenant=tenant, category=category, text=text, exact=exact, **fields)


@contextmanager
def cache_environment(path: Path, cache_id: int = CACHE_ID) -> Iterator[Environment]:
    """A new environment of a cache at `path`."""
    create_environment(path, **SIZES, cache_id=cache_id)
    env = Environment(path, **SIZES)
    try:
        yield env
    finally:
        env.close()


def add_cache(path: Path, cache_id: int = CACHE_ID, name: str = "kept") -> CacheDocument:
    """Put a cache into the golden directory at `path`: entries of tenants 1 and 2, labels, a policy, statistics."""
    document = CacheDocument(
        id=cache_id,
        name=name,
        state=ACTIVE,
        dimension=2,
        embedding_version="eye-2",
        tenants=[1, 2],
        created_at_ms=ENTRY.created_at_ms,
    )
    directory = DataDirectory(path)
    make_folder(directory.caches_path)
    with cache_environment(directory.cache_path(cache_id), cache_id) as env, env.write() as txn:
        put_entry(txn, ENTRY, VECTOR, ANSWER, group=9, rejected=8)
        put_entry(txn, entry(1), VECTOR, ANSWER)
        put_entry(txn, entry(2, tenant=1), VECTOR, ANSWER)
        put_entry(txn, replace(entry(3, tenant=1, category="law"), vector_bytes=0), None, ANSWER)
        put_label(txn, 2, "faq", b'{"is_right":true}')
        put_policy(txn, "faq", b'{"mode":"exact"}')
        put_statistics(txn, 2, "faq", b'{"hits":1}')
        write_number(txn, META_SEQUENCE, ENTRY.sequence)
    catalog = Environment(directory.catalog_path, **SIZES)
    with catalog.write() as txn:
        put_cache(txn, document)
        write_number(txn, META_NEXT_CACHE, cache_id)
    catalog.close()
    directory.close()
    return document


def contents(env: Environment) -> dict[bytes, bytes]:
    """Every key and value."""
    with env.read() as txn:
        return dict(txn.cursor())
