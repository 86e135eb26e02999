"""A flood of one category: a million stores by some tenants, beside the reserve of another tenant's other category.

The reserve has to hold at every look, and its answers be served. Stores go through the engine, on a file system in
memory where there is one: what is measured is who gives way, not how fast a disk is.
"""

import argparse
import random
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bench.report import Figure
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.protocol.cache_requests import CacheLookup, CacheStore, CreateCache, PutPolicy

N_STORES, N_STORES_QUICK = 1_000_000, 5_000
MAX_ENTRIES, RESERVED = 20_000, 2_000
FLOODERS = ("flood-1", "flood-2", "flood-3")
IN_FLIGHT = 512
LOOK_EVERY = 10_000
MEMORY = Path("/dev/shm")
PATH = ("answers",)


def measure(given: argparse.Namespace) -> list[Figure]:
    """The flood, looked at every ten thousand stores."""
    n_stores = N_STORES_QUICK if given.quick else N_STORES
    with tempfile.TemporaryDirectory(prefix="vdb-flood-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        engine = Engine.open(Settings.with_environment({}, data_dir=Path(folder) / "data"))
        try:
            return _flood(engine, n_stores, random.Random(given.seed))
        finally:
            engine.close()


def _flood(engine: Engine, n_stores: int, rng: random.Random) -> list[Figure]:
    admin = engine.local_caller()
    cache = CreateCache(name="answers", dimension=4, max_entries=MAX_ENTRIES, max_bytes=1 << 30)
    engine.run("create_cache", admin, (), cache)
    engine.run("put_policy", admin, (*PATH, "kept"), PutPolicy(mode="exact", reserve_entries=RESERVED))
    engine.run("put_policy", admin, (*PATH, "flood"), PutPolicy(mode="exact"))
    for tenant in ("keeper", *FLOODERS):
        _settle(engine.run("cache_lookup", engine.local_caller(tenant=tenant), PATH, _asked("first", "kept")))
    keeper = engine.local_caller(tenant="keeper")
    for i in range(RESERVED):
        _settle(engine.run("cache_store", keeper, PATH, CacheStore(text=f"kept {i}", category="kept", answer=i)))
    shard = engine.services.caches.open_shards()[0]
    n_lost, most_entries, began = 0, 0, time.monotonic()
    callers = [engine.local_caller(tenant=tenant) for tenant in FLOODERS]
    waiting: deque[Any] = deque()
    for i in range(n_stores):
        request = CacheStore(text=f"flood {i}", category="flood", answer="x" * rng.randrange(10, 200))
        waiting.append(engine.run("cache_store", callers[i % len(callers)], PATH, request))
        if len(waiting) >= IN_FLIGHT:
            _settle(waiting.popleft())
        if i % LOOK_EVERY == LOOK_EVERY - 1:
            lost, n_entries = _look(engine, keeper, shard, rng)
            n_lost, most_entries = n_lost + lost, max(most_entries, n_entries)
    for answer in waiting:
        _settle(answer)
    lost, n_entries = _look(engine, keeper, shard, rng)
    wall_s = time.monotonic() - began
    return [
        Figure("flood: stores", n_stores, ""),
        Figure("flood: stores per second", n_stores / wall_s, "1/s"),
        Figure("flood: entries of the reserve that were lost", n_lost + lost, "", 0),
        Figure("flood: most entries", max(most_entries, n_entries), "", MAX_ENTRIES),
        Figure("flood: memory of the cache", shard.memory.nbytes / (1 << 20), "MiB"),
        Figure("flood: file", shard.env.used_bytes / (1 << 20), "MiB"),
    ]


def _look(engine: Engine, keeper: Any, shard: Any, rng: random.Random) -> tuple[int, int]:
    """How many of the reserve are gone, all of it counted and a hundred asked for; and all entries there are."""
    held = sum(resident.category == "kept" for resident in list(shard.memory.residents.values()))
    n_lost = RESERVED - held
    for i in rng.sample(range(RESERVED), 100):
        found = _settle(engine.run("cache_lookup", keeper, PATH, _asked(f"kept {i}", "kept")))
        n_lost += found.hit != "exact"
    return n_lost, len(shard.memory.residents)


def _asked(text: str, category: str) -> CacheLookup:
    return CacheLookup(text=text, category=category, lease=False)


def _settle(answer: Any) -> Any:
    return answer.result() if isinstance(answer, Future) else answer
