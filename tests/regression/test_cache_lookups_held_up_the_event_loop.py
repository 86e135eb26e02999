"""Look-ups on the event loop waited for maps to grow, and read hundreds of points for each of hundreds of entries.

Two that opened the same collections in different order could wait for each other for good.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver, retrieval, source
from tests.engine.driver import WAIT_S, Driver, opened
from vdb.engine.provenance import INLINE_POINTS, Moment
from vdb.protocol.cache_requests import CacheLookup


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        for name in ("docs", "more"):
            made.create(name)
        made.create_tenant("acme")
        yield made


def lookup(driver: Driver, text: str = "who?") -> Any:
    request = CacheLookup(text=text, vector=[1.0, 0.0], category="faq")
    return driver.engine.run("cache_lookup", driver.caller("acme"), ("answers",), request)


def test_a_lookup_is_not_quick_while_the_caches_map_has_to_grow(driver: Driver) -> None:
    cache = CacheDriver.made(driver)
    cache.ask("acme", "who?", "me")
    document = driver.engine.services.catalog.cache("answers")
    assert document is not None
    given = "cache_lookup", driver.caller("acme"), ("answers",), CacheLookup(text="who?")
    assert driver.engine.is_quick(*given)
    with driver.engine.services.caches.use(document) as shard, shard.env._gate.exclusive():
        assert not driver.engine.is_quick(*given)


def test_a_lookup_does_not_wait_itself_for_a_collections_map_to_grow(driver: Driver) -> None:
    cache = CacheDriver.made(driver)
    version = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    cache.store("acme", cache.lookup("acme", "who?"), "me", sources=[source("a", version)])
    collection = driver.engine.services.catalog.collection("docs")
    assert collection is not None
    with driver.engine.services.shards.use(collection) as shard, shard.env._gate.exclusive():
        answer = lookup(driver)
        assert isinstance(answer, Future) and not answer.done()
    assert answer.result(WAIT_S).hit == "exact"


def test_the_points_of_all_entries_that_are_judged_count_together(driver: Driver) -> None:
    cache = CacheDriver.made(driver)
    sequence = driver.upsert("acme", "docs", ["a"], [[0, 0]])
    for n in range(4):
        found = cache.lookup("acme", f"who is {n}?", (1.0, 0.1 * n))
        cache.store("acme", found, "me", retrieval=retrieval(sequence, limit=1, distance=1.0))
    n_new = INLINE_POINTS // 2
    vectors = [[9.0, 9.0]] * (n_new - 1) + [[0.5, 0.0]]  # the last one ends all the answers
    driver.upsert("acme", "docs", [f"p{i}" for i in range(n_new)], vectors)
    answer = lookup(driver, "none of them")
    assert isinstance(answer, Future)
    assert answer.result(WAIT_S).reason == "stale"


def test_collections_are_opened_in_one_order(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CacheDriver.made(driver)
    versions = {name: driver.upsert("acme", name, ["a"], [[0, 0]]) for name in ("docs", "more")}
    for name, vector in (("more", (1.0, 0.0)), ("docs", (1.0, 0.2))):  # the nearest is of the second collection
        sources = [source("a", versions[name], collection=name)]
        cache.store("acme", cache.lookup("acme", name, vector), name, sources=sources)
    driver.delete("acme", "more", ["a"])
    held: list[list[int]] = []
    opens = Moment._open

    def noting(moment: Moment, collection_id: int) -> Any:
        held.append([*moment._places, collection_id])
        return opens(moment, collection_id)

    monkeypatch.setattr(Moment, "_open", noting)
    assert cache.answer("acme", "else") == "docs"
    assert held == [[2], [1]]


def test_two_moments_that_want_the_same_collections_do_not_wait_for_each_other(driver: Driver) -> None:
    cache = CacheDriver.made(driver)
    versions = {name: driver.upsert("acme", name, ["a"], [[0, 0]]) for name in ("docs", "more")}
    both = [source("a", version, collection=name) for name, version in versions.items()]
    for text, sources in (("one", both), ("two", both[::-1])):
        cache.store("acme", cache.lookup("acme", text), text, sources=sources)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda text=text: found.append(cache.answer("acme", text))) for text in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(found) == ["one", "two"]
