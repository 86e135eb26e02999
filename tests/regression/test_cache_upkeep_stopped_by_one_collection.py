"""One collection that could not be read ended each round of a cache's upkeep: nothing was purged, trimmed or saved."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import opened
from vdb.errors import CorruptData
from vdb.protocol.requests import UpdateCollection


def test_a_round_goes_on_where_a_collection_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        driver.create_tenant("acme")
        for name in ("bad", "good"):
            driver.create(name)
            version = driver.upsert("acme", name, ["a"], [[0, 0]])
            cache.store("acme", cache.lookup("acme", name), name, sources=[source("a", version, collection=name)])
        cache.upkeep()
        shards = driver.engine.services.shards
        bad, acquire = driver.engine.services.catalog.collection("bad"), shards.acquire

        def failing(document: Any, *given: Any, **named: Any) -> Any:
            if document.id == bad.id:  # type: ignore[union-attr]
                raise CorruptData("cut short")
            return acquire(document, *given, **named)

        monkeypatch.setattr(shards, "acquire", failing)
        driver.delete("acme", "good", ["a"])
        assert cache.upkeep() == 1
        assert cache.entries("acme") == ["bad"]


def test_entries_of_who_may_not_use_the_collection_any_more_are_purged(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        driver.create("docs")
        for tenant in ("acme", "globex"):
            driver.create_tenant(tenant)
            version = driver.upsert(tenant, "docs", ["a"], [[0, 0]])
            cache.store(tenant, cache.lookup(tenant, "who?"), "me", sources=[source("a", version)])
        assert cache.upkeep() == 0
        driver.run("update_collection", None, ("docs",), UpdateCollection(tenants=["globex"]))
        assert cache.upkeep() == 1
        assert (cache.entries("acme"), cache.entries("globex")) == ([], ["who?"])
