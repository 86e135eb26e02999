"""`invalidate` with a whole collection of an owner that does not exist removed all made from the collection."""

from pathlib import Path

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import opened
from vdb.protocol.cache_requests import SourceName


def test_points_of_an_owner_that_does_not_exist_made_no_answer(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("docs")
        driver.create_tenant("acme")
        cache = CacheDriver.made(driver)
        version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
        cache.store("acme", cache.lookup("acme", "where?"), "here", sources=[source("a", version)])
        for tenant in ("acme", None):
            assert cache.invalidate(tenant, source=SourceName(collection="docs", owner="nobody")) == 0
            assert cache.invalidate(tenant, source=SourceName(collection="docs", owner="nobody", id="a")) == 0
        assert cache.answer("acme", "where?") == "here"
        assert cache.invalidate("acme", source=SourceName(collection="docs")) == 1
