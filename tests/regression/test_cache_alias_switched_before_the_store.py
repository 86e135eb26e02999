"""An answer made from one collection was stored as made from another: its alias was switched, and versions agreed."""

from pathlib import Path

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import opened
from vdb.protocol.requests import SetAliases


def test_an_answer_is_not_stored_once_its_sources_name_leads_elsewhere(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create_tenant("acme")
        cache = CacheDriver.made(driver)
        for name in ("one", "two"):
            driver.create(name)
            version = driver.upsert("acme", name, ["a"], [[0, 0]])
        driver.run("set_aliases", None, (), SetAliases(set={"docs": "one"}))
        early, late = cache.lookup("acme", "early?"), cache.lookup("acme", "late?")
        assert cache.store("acme", early, "one", sources=[source("a", version)]).reason == "stored"
        driver.run("set_aliases", None, (), SetAliases(set={"docs": "two"}))
        assert cache.store("acme", late, "one", sources=[source("a", version)]).reason == "sources_changed"
        again = cache.lookup("acme", "late?")
        assert cache.store("acme", again, "two", sources=[source("a", version)]).reason == "stored"
