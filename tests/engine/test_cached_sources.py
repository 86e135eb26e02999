"""A cached answer is served while its sources are what they were, and its search would find nothing newer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver, retrieval, source
from tests.engine.driver import Driver, opened, wait_until
from vdb.protocol.requests import CreateCollection, Empty, PayloadChange, UpdateCollection, UpdatePayload

ANSWER = "in the drawer"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        made.create("docs")
        for tenant in ("acme", "globex"):
            made.create_tenant(tenant)
        yield made


@pytest.fixture
def cache(driver: Driver) -> CacheDriver:
    return CacheDriver.made(driver)


def keep(cache: CacheDriver, tenant: str = "acme", text: str = "where is it?", **given: Any) -> Any:
    """Store an answer to a question; what the store answered."""
    return cache.store(tenant, cache.lookup(tenant, text), ANSWER, **given)


def is_served(cache: CacheDriver, tenant: str = "acme", text: str = "where is it?") -> bool:
    """Whether the question is answered, in the same words and in others alike."""
    same, other = cache.answer(tenant, text), cache.answer(tenant, f"{text} please")
    assert same == other
    return bool(same == ANSWER)


def test_an_answer_is_served_while_its_source_is_what_it_was(driver: Driver, cache: CacheDriver) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    keep(cache, sources=[source("a", version)])
    assert is_served(cache)
    driver.upsert("acme", "docs", ["b"], [[0, 1]])
    driver.upsert("globex", "docs", ["a"], [[0, 0]])
    assert is_served(cache)


@pytest.mark.parametrize("change", ["replace", "delete", "payload", "delete and insert"])
def test_a_changed_source_ends_the_answer(driver: Driver, cache: CacheDriver, change: str) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    keep(cache, sources=[source("a", version)])
    if change.startswith("delete"):
        driver.delete("acme", "docs", ["a"])
    if change in ("replace", "delete and insert"):
        driver.upsert("acme", "docs", ["a"], [[0, 0]])
    if change == "payload":
        point = PayloadChange(id="a", payload=b'{"x":1}')  # type: ignore[arg-type]
        driver.run("update_payload", "acme", ("docs",), UpdatePayload(points=[point]))
    assert not is_served(cache)
    assert cache.stats("acme").stale_prevented > 0


@pytest.mark.parametrize("grantee", ["globex", "*"])
def test_a_revoked_source_ends_the_answer_of_who_may_not_see_it_any_more(
    driver: Driver, cache: CacheDriver, grantee: str
) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    driver.share("acme", "docs", ["a"], [grantee])
    for tenant in ("acme", "globex"):
        keep(cache, tenant, sources=[source("a", version, owner="acme")])
    assert is_served(cache, "globex")
    driver.share("acme", "docs", ["a"], [grantee], "revoke")
    assert not is_served(cache, "globex") and is_served(cache, "acme")


def test_an_expired_source_ends_the_answer(driver: Driver, cache: CacheDriver) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=500)
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]], expires_at=[soon])
    keep(cache, sources=[source("a", version)])
    assert is_served(cache)
    wait_until(lambda: datetime.now(UTC) > soon)  # not in the middle of `is_served`, which asks twice
    assert not is_served(cache)


def test_a_dropped_collection_ends_the_answer_even_if_another_gets_its_name(driver: Driver, cache: CacheDriver) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    keep(cache, sources=[source("a", version)])
    driver.run("delete_collection", None, ("docs",), Empty())
    assert not is_served(cache)
    driver.create("docs")
    assert driver.upsert("acme", "docs", ["a"], [[0, 0]]) == version
    assert not is_served(cache)


def test_a_tenant_that_may_not_use_the_collection_any_more_gets_no_answer_from_it(
    driver: Driver, cache: CacheDriver
) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    keep(cache, sources=[source("a", version)])
    driver.run("update_collection", None, ("docs",), UpdateCollection(tenants=["globex"]))
    assert not is_served(cache)


@pytest.mark.parametrize("wrong", ["version", "missing", "hidden"])
def test_an_answer_whose_sources_are_not_what_it_says_is_not_stored(
    driver: Driver, cache: CacheDriver, wrong: str
) -> None:
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    hidden = driver.upsert("globex", "docs", ["h"], [[0, 0]])
    given = {"version": source("a", version + 1), "missing": source("b", version),
             "hidden": source("h", hidden, owner="globex")}[wrong]  # fmt: skip
    stored = keep(cache, sources=[given])
    assert (stored.entry_id, stored.reason) == (None, "sources_changed")
    assert cache.entries("acme") == []


def test_a_newer_point_among_the_hits_ends_the_answer_and_a_farther_one_does_not(
    driver: Driver, cache: CacheDriver
) -> None:
    sequence = driver.upsert("acme", "docs", ["a", "b"], [[1, 0], [2, 0]])
    keep(cache, sources=[source("a", sequence)], retrieval=retrieval(sequence, distance=2.0))
    driver.upsert("acme", "docs", ["far"], [[3, 0]])
    driver.upsert("globex", "docs", ["foreign"], [[0, 0]])
    assert is_served(cache)
    driver.upsert("acme", "docs", ["near"], [[1.5, 0]])
    assert not is_served(cache)


def test_a_point_granted_since_counts_as_new(driver: Driver, cache: CacheDriver) -> None:
    sequence = driver.upsert("globex", "docs", ["foreign"], [[0.5, 0]])
    keep(cache, retrieval=retrieval(sequence, limit=1, distance=1.0))
    assert is_served(cache)
    driver.share("globex", "docs", ["foreign"], ["acme"])
    assert not is_served(cache)


def test_an_answer_from_too_few_hits_ends_with_any_new_point(driver: Driver, cache: CacheDriver) -> None:
    sequence = driver.upsert("acme", "docs", ["a"], [[1, 0]])
    keep(cache, retrieval=retrieval(sequence))
    assert is_served(cache)
    driver.upsert("acme", "docs", ["far"], [[100, 0]])
    assert not is_served(cache)


def test_a_new_point_counts_only_where_it_matches_the_searchs_filter(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.run("create_collection", None, (), CreateCollection(name="docs", dimension=2, metric="l2"))  # type: ignore[arg-type]
        cache = CacheDriver.made(driver)
        sequence = driver.upsert("acme", "docs", ["a"], [[1, 0]], payloads=[{"lang": "en"}])
        english = {"field": "lang", "eq": "en"}
        keep(cache, retrieval=retrieval(sequence, filter=english))
        driver.upsert("acme", "docs", ["german"], [[0, 0]], payloads=[{"lang": "de"}])
        assert is_served(cache)
        point = PayloadChange(id="german", payload=b'{"lang":"en"}')  # type: ignore[arg-type]
        driver.run("update_payload", "acme", ("docs",), UpdatePayload(points=[point]))
        assert not is_served(cache)


def test_a_write_between_the_search_and_the_store_is_seen(driver: Driver, cache: CacheDriver) -> None:
    sequence = driver.upsert("acme", "docs", ["a", "b"], [[1, 0], [2, 0]])
    driver.upsert("acme", "docs", ["near"], [[0, 0]])
    stored = keep(cache, retrieval=retrieval(sequence, distance=2.0))
    assert (stored.entry_id, stored.reason) == (None, "sources_changed")


@pytest.mark.parametrize("near", [True, False])
def test_after_a_restart_the_search_is_made_again(tmp_path: Path, near: bool) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("docs")
        cache = CacheDriver.made(driver)
        sequence = driver.upsert("acme", "docs", ["a", "b"], [[1, 0], [2, 0]])
        keep(cache, sources=[source("a", sequence)], retrieval=retrieval(sequence, distance=2.0))
        driver.upsert("acme", "docs", ["c"], [[0.5, 0] if near else [9, 0]])
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver(driver)
        wait_until(lambda: bool(driver.engine.services.caches.open_shards()))
        assert is_served(cache) is not near
        driver.upsert("acme", "docs", ["d"], [[0, 0]])
        assert not is_served(cache)


def test_upkeep_removes_what_is_stale_from_the_disk_text_and_all(driver: Driver, cache: CacheDriver) -> None:
    version = driver.upsert("acme", "docs", ["a", "b"], [[0, 0], [1, 1]])
    keep(cache, text="first", sources=[source("a", version)])
    cache.store("acme", cache.lookup("acme", "second", (0.0, 1.0)), ANSWER, sources=[source("b", version)])
    assert cache.upkeep() == 0
    driver.delete("acme", "docs", ["a"])
    assert cache.upkeep() == 1
    assert cache.entries("acme") == ["second"]
    driver.run("delete_collection", None, ("docs",), Empty())
    assert cache.upkeep() == 1 and cache.entries("acme") == []


def test_a_sweep_after_a_restart_finds_what_went_stale_unseen(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("docs")
        cache = CacheDriver.made(driver)
        version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
        keep(cache, sources=[source("a", version)])
        driver.delete("acme", "docs", ["a"])
    with opened(tmp_path / "data") as driver:
        wait_until(lambda: CacheDriver(driver).entries("acme") == [])
