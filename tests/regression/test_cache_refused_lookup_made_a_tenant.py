"""A look-up, or a store, that was refused left a tenant behind."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver
from tests.engine.driver import Driver, opened
from vdb.errors import TenantNotFound, VdbError
from vdb.protocol.cache_requests import CacheStore


def is_there(driver: Driver, tenant: str) -> bool:
    try:
        driver.tenant(tenant)
    except TenantNotFound:
        return False
    return True


@pytest.mark.parametrize("given", [{"load": 2.0}, {"wait_ms": -1}, {"category": "none"}, {"scope": "x" * 300}])
def test_a_refused_lookup_makes_no_tenant(tmp_path: Path, given: dict[str, Any]) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        with pytest.raises(VdbError):
            cache.lookup("fresh", "who?", **given)
        assert not is_there(driver, "fresh")
        assert cache.ask("fresh", "who?", "me").entry_id is not None
        assert is_there(driver, "fresh")


def test_a_refused_store_makes_no_tenant(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        given: dict[str, Any] = {"text": "who?", "vector": [1.0, 0.0], "category": "faq"}
        wrongs: list[dict[str, Any]] = [{"ttl_s": -1.0}, {"lookup_id": "0" * 16}, {"outcome": "error"}]
        for wrong in wrongs:
            try:
                driver.run("cache_store", "fresh", cache.path, CacheStore(**{**given, "answer": "me", **wrong}))
            except VdbError:
                assert "outcome" not in wrong
            assert not is_there(driver, "fresh"), wrong
        driver.run("cache_store", "fresh", cache.path, CacheStore(**given, answer="me"))
        assert cache.answer("fresh", "who?") == "me"
