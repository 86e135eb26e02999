"""Figures of a cache that could not be stored left collections open when the server closed; all were stored at once."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver
from tests.engine.driver import opened
from vdb.engine import engine as engines
from vdb.engine.cache_upkeep import save_counts
from vdb.errors import DiskFull
from vdb.protocol.requests import Empty


def test_an_engine_closes_where_figures_cannot_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(services: Any) -> None:
        raise DiskFull("no space")

    monkeypatch.setattr(engines, "save_all_counts", failing)
    with opened(tmp_path / "data") as driver:
        CacheDriver.made(driver).ask("acme", "who?", "me")
    with opened(tmp_path / "data") as driver:
        assert CacheDriver(driver).answer("acme", "who?") == "me"


def test_only_figures_that_changed_are_stored_and_none_of_a_deleted_tenant(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        for tenant in ("acme", "globex"):
            cache.ask(tenant, "who?", "me")
        services = driver.engine.services
        document = services.catalog.cache("answers")
        assert document is not None
        with services.caches.use(document) as shard:
            save_counts(services, shard)
            assert shard.unsaved() == []
            cache.lookup("acme", "who?")
            acme, globex = services.tenant_id("acme"), services.tenant_id("globex")
            assert acme is not None and globex is not None
            assert [place for place, _ in shard.unsaved()] == [(acme, "faq")]
            driver.finish_job(driver.run("delete_tenant", None, ("globex",), Empty()))
            shard.memory.counts_of(globex, "faq").requests += 1  # a look-up that was on its way
            save_counts(services, shard)
    with opened(tmp_path / "data") as driver:
        found = CacheDriver(driver).stats(None)
        assert (found.requests, found.exact_hits) == (2, 1)
