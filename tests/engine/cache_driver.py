"""A cache as tests drive it: questions are texts with vectors of two numbers, answers are texts."""

from pathlib import Path
from typing import Any

import msgspec

from tests.engine.driver import Driver
from vdb.protocol.cache_requests import (
    CacheFeedback,
    CacheInvalidate,
    CacheLookup,
    CacheStore,
    CreateCache,
    PutPolicy,
    Retrieval,
    ScrollEntries,
    Source,
)
from vdb.protocol.requests import Empty

NEAREST: dict[str, Any] = {"threshold": 0.9, "explore": 0.0, "guard": False}
"""A policy that serves what is near enough, without learning."""


class CacheDriver:
    """The cache `answers` with the category `faq`."""

    def __init__(self, driver: Driver, **policy: Any) -> None:
        self.driver = driver
        self.path = ("answers",)

    @classmethod
    def made(cls, driver: Driver, policy: dict[str, Any] | None = None, **given: Any) -> "CacheDriver":
        """A new cache; `policy` is that of `faq`."""
        driver.run("create_cache", None, (), CreateCache(name="answers", dimension=2, **given))
        made = cls(driver)
        made.put_policy("faq", **(NEAREST if policy is None else policy))
        return made

    def put_policy(self, category: str, **fields: Any) -> Any:
        return self.driver.run("put_policy", None, ("answers", category), PutPolicy(**fields))

    def lookup(self, tenant: str, text: str, vector: Any = (1.0, 0.0), **given: Any) -> Any:
        given.setdefault("category", "faq")
        if given["category"] is None:
            del given["category"]
        asked = {"text": text, **given} if vector is None else {"text": text, "vector": list(vector), **given}
        return self.driver.run("cache_lookup", tenant, self.path, CacheLookup(**asked))

    def store(self, tenant: str, found: Any, answer: Any, **given: Any) -> Any:
        return self.driver.run(
            "cache_store", tenant, self.path, CacheStore(lookup_id=found.lookup_id, answer=answer, **given)
        )

    def ask(self, tenant: str, text: str, answer: Any, vector: Any = (1.0, 0.0), **given: Any) -> Any:
        """Look up, expecting a miss, and store the answer; what the store answered."""
        found = self.lookup(tenant, text, vector, **given)
        assert found.hit is None, found
        return self.store(tenant, found, answer)

    def answer(self, tenant: str, text: str, vector: Any = (1.0, 0.0), **given: Any) -> Any:
        """The answer that is served; None for a miss."""
        found = self.lookup(tenant, text, vector, **given)
        return None if found.hit is None else msgspec.json.decode(bytes(found.entry.answer))

    def feedback(self, tenant: str, **given: Any) -> Any:
        return self.driver.run("cache_feedback", tenant, self.path, CacheFeedback(**given))

    def invalidate(self, tenant: str | None, of: str | None = None, **given: Any) -> int:
        if of is not None:
            given["tenant"] = of
        return int(self.driver.run("cache_invalidate", tenant, self.path, CacheInvalidate(**given)).n_entries)

    def stats(self, tenant: str | None, category: str = "faq") -> Any:
        found = self.driver.run("cache_stats", tenant, self.path, Empty())
        return next(figures for figures in found.categories if figures.category == category)

    def entries(self, tenant: str) -> list[str]:
        """Texts of the tenant's entries."""
        return sorted(
            entry.text for entry in self.driver.run("scroll_entries", tenant, self.path, ScrollEntries()).entries
        )

    def upkeep(self) -> int:
        """One round; how many entries it removed."""
        document = self.driver.engine.services.catalog.cache("answers")
        assert document is not None
        return self.driver.engine.cache_upkeep.round(document)


def source(point: str, version: int, collection: str = "docs", **given: Any) -> Source:
    return Source(collection=collection, id=point, version=version, **given)


def retrieval(sequence: int, vector: Any = (0.0, 0.0), limit: int = 2, **given: Any) -> Retrieval:
    return Retrieval(collection="docs", vector=list(vector), limit=limit, sequence=sequence, **given)


def stored_bytes(folder: Path) -> bytes:
    """The data file of the cache, to look for what must not be in it."""
    return (folder / "caches" / "00000001" / "data.mdb").read_bytes()
