"""A cache's environment in memory of nothing else, and entries to put into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from vdb.storage.cache_codec import CacheEntry, Retrieval, Source
from vdb.storage.create import create_environment
from vdb.storage.env import Environment

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
def cache_environment(path: Path) -> Iterator[Environment]:
    """A new environment of a cache at `path`."""
    create_environment(path, **SIZES, cache_id=CACHE_ID)
    env = Environment(path, **SIZES)
    try:
        yield env
    finally:
        env.close()


def contents(env: Environment) -> dict[bytes, bytes]:
    """Every key and value."""
    with env.read() as txn:
        return dict(txn.cursor())
