"""Moments in which two threads meet: what was touched is forgotten, a category goes, a change cannot be taken in."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import NEAREST, CacheDriver, retrieval
from tests.engine.driver import opened
from vdb.cache.lookups import Asked, Lookups
from vdb.cache.memory import CacheMemory
from vdb.cache.policy import Policies
from vdb.engine.touched import Touched
from vdb.errors import InvalidArgument
from vdb.protocol.cache_requests import Example, UpdateCache
from vdb.storage.index_changes import Touch


class _StartsOver(dict[int, int]):
    """What is touched last, forgotten by another thread at the moment it is asked for."""

    def __init__(self, touched: Touched, sequence: int) -> None:
        super().__init__(touched._last)
        self._touched, self._sequence = touched, sequence

    def get(self, key: int, default: Any = None) -> Any:
        self._touched.start_over(self._sequence)
        self.clear()
        return super().get(key, default)


def test_what_is_forgotten_while_it_is_asked_for_does_not_count_as_untouched() -> None:
    touched = Touched(5)
    touched.publish(7, [Touch(1, 0, 1, b"a", ())])
    assert not touched.is_untouched(1, 6)
    touched._last = _StartsOver(touched, 7)
    assert not touched.is_untouched(1, 6)


def test_a_category_that_goes_while_a_question_is_put_to_it_is_unknown(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver, {**NEAREST, "examples": [Example(text="e", vector=[1.0, 0.0])]})
        document = driver.engine.services.catalog.cache("answers")
        assert document is not None
        with driver.engine.services.caches.use(document) as shard:
            assert cache.lookup("acme", "who?", category=None).category == "faq"
            shard.policies = Policies({})  # the classifier learns of it a moment later
            assert cache.lookup("acme", "who?", category=None).category == "unknown"


def test_a_change_that_memory_cannot_take_in_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver)
        failed: list[Any] = []
        adds = CacheMemory.add

        def failing(memory: CacheMemory, new: Any) -> None:
            if not failed:
                failed.append(new)
                raise MemoryError
            adds(memory, new)

        monkeypatch.setattr(CacheMemory, "add", failing)
        assert cache.ask("acme", "who?", "me").reason == "stored"
        assert failed and cache.answer("acme", "who?") == "me"
        assert cache.lookup("acme", "anybody else?", (0.0, 1.0)).lease is not None


def test_a_reserve_can_be_lowered_and_a_category_removed_however_much_is_reserved(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver, {**NEAREST, "reserve_entries": 6}, max_entries=10)
        for tenant in ("acme", "globex"):
            cache.ask(tenant, "who?", "me")
        cache.put_policy("faq", **NEAREST, reserve_entries=6, max_entries=6)
        with pytest.raises(InvalidArgument):
            cache.put_policy("faq", **NEAREST, reserve_entries=7)
        cache.put_policy("other", **NEAREST)
        cache.put_policy("faq", **NEAREST, reserve_entries=5)
        cache.put_policy("faq", **NEAREST, reserve_entries=1)


def test_examples_of_another_category_do_not_move_what_is_classified(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        examples: Any = [Example(text="e", vector=[1.0, 0.0])] * 2
        cache = CacheDriver.made(driver, {**NEAREST, "examples": examples})
        cache.ask("acme", "who?", "me", (0.9, 0.1))
        for others in ([Example(text="o", vector=[0.0, 1.0])], []):
            cache.put_policy("other", **NEAREST, examples=others)
            expected = "other" if others else "faq"
            assert cache.lookup("acme", "which?", (0.3, 0.9), category=None).category == expected
        cache.put_policy("faq", **NEAREST, examples=examples[:1])
        assert cache.lookup("acme", "which?", category=None).category == "faq"


def test_a_search_of_the_future_is_none(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create("docs")
        driver.create_tenant("acme")
        cache = CacheDriver.made(driver)
        sequence = driver.upsert("acme", "docs", ["a"], [[0, 0]])
        for wrong in (retrieval(sequence + 1), retrieval(sequence, distance=float("nan"))):
            with pytest.raises(InvalidArgument):
                cache.store("acme", cache.lookup("acme", "who?"), "me", retrieval=wrong)
        assert cache.entries("acme") == []


def test_a_lookup_is_not_the_first_to_be_forgotten_where_very_many_tenants_ask() -> None:
    kept = Lookups(kept=8)
    for tenant in range(1, 40):
        asked = Asked(f"{tenant}", tenant, None, "", None, b"")  # type: ignore[arg-type]
        kept.put(asked)
        assert kept.get(tenant, asked.id) is asked and len(kept) <= 8


def test_of_two_changes_of_a_cache_the_last_one_counts(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        CacheDriver.made(driver)
        services = driver.engine.services
        document = services.catalog.cache("answers")
        assert document is not None
        with services.caches.use(document) as shard:
            resizes, nested = shard.resize, []

            def resize(document: Any) -> None:
                resizes(document)
                nested.append(document.max_entries)

            shard.resize = resize  # type: ignore[method-assign]
            for max_entries in (7, 8):
                driver.run("update_cache", None, ("answers",), UpdateCache(max_entries=max_entries))
            assert nested == [7, 8] and shard.eviction.bounds.max_entries == 8
