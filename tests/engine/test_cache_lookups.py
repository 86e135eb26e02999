"""What a lookup answers, and why: tiers, modes, eligibility, single flight, labels, reports."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import NEAREST, CacheDriver
from tests.engine.driver import Driver, opened, wait_until
from vdb.cache.leases import Held, Key, Leases
from vdb.engine.cache_tenants import forget_in_caches
from vdb.errors import (
    AnswerPending,
    CacheNotFound,
    InvalidArgument,
    LeaseExpired,
    LimitReached,
    LookupNotFound,
    UnknownCategory,
)
from vdb.protocol.cache_requests import Example, UpdateCache
from vdb.protocol.requests import Empty


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data") as made:
        for tenant in ("acme", "globex"):
            made.create_tenant(tenant)
        yield made


@pytest.fixture
def cache(driver: Driver) -> CacheDriver:
    return CacheDriver.made(driver)


def test_equal_questions_hit_whatever_their_spaces_and_normal_form(cache: CacheDriver) -> None:
    cache.ask("acme", "is a café  open?", "yes")
    found = cache.lookup("acme", "  is a cafe\u0301 open? ", None)
    assert (found.hit, found.similarity, found.entry.text) == ("exact", 1.0, "is a café  open?")
    for other in ("Is a café open?", "is a café open"):
        assert cache.lookup("acme", other, None).hit is None, "case and punctuation count"


def test_near_questions_hit_and_far_ones_miss_with_their_candidate(cache: CacheDriver) -> None:
    entry = cache.ask("acme", "one", 1).entry_id
    near = cache.lookup("acme", "two", (1.0, 0.1))
    assert (near.hit, near.entry.id, near.threshold) == ("semantic", entry, 0.9)
    far = cache.lookup("acme", "three", (0.5, 1.0), with_candidate=True)
    assert (far.hit, far.candidate.entry_id, far.candidate.text) == (None, entry, "one")
    assert far.similarity == pytest.approx(0.4472, abs=1e-4) and bytes(far.candidate.answer) == b"1"


def test_the_nearest_eligible_entry_is_served_and_no_other(cache: CacheDriver) -> None:
    cache.put_policy("faq", **{**NEAREST, "threshold": 0.0})
    cache.ask("acme", "one", "near", (1.0, 0.2))
    cache.put_policy("faq", **NEAREST, mode="exact")
    cache.ask("acme", "two", "nearer", (1.0, 0.1))
    cache.put_policy("faq", **NEAREST)
    assert cache.answer("acme", "three", (1.0, 0.0)) == "nearer"


@pytest.mark.parametrize(
    "other",
    [{"scope": "s"}, {"model": "m"}, {"fingerprint": "f"}, {"category": "news"}],
    ids=["scope", "model", "fingerprint", "category"],
)
def test_what_is_not_equal_is_not_eligible(cache: CacheDriver, other: dict[str, Any]) -> None:
    cache.put_policy("news", **NEAREST)
    cache.ask("acme", "one", 1)
    assert cache.answer("acme", "one", **other) is None and cache.answer("acme", "two", **other) is None
    cache.ask("acme", "one", 2, **other)
    assert (cache.answer("acme", "one"), cache.answer("acme", "one", **other)) == (1, 2)


def test_no_tenant_gets_anothers_answer_or_reaches_anothers_lookup(driver: Driver, cache: CacheDriver) -> None:
    entry = cache.ask("acme", "one", "acme's").entry_id
    found = cache.lookup("globex", "one")
    assert (found.hit, found.candidate, found.reason) == (None, None, "empty")
    cache.store("globex", found, "globex's")
    assert (cache.answer("acme", "one"), cache.answer("globex", "one")) == ("acme's", "globex's")
    mine = cache.lookup("acme", "never asked", (0.0, 1.0))
    details = set()
    for lookup_id in (mine.lookup_id, "0" * 16):
        mine.lookup_id = lookup_id
        with pytest.raises(LookupNotFound) as refusal:
            cache.store("globex", mine, "x")
        details.add(refusal.value.detail)
        with pytest.raises(LookupNotFound) as refusal:
            cache.feedback("globex", verdict="wrong", lookup_id=lookup_id)
        details.add(refusal.value.detail)
    assert len(details) == 1
    assert cache.feedback("globex", verdict="wrong", entry_id=entry).n_removed == 0
    assert cache.invalidate("globex", entry_ids=[entry]) == 0 and cache.answer("acme", "one") == "acme's"
    assert cache.stats("globex").n_entries == 1


def test_later_turns_are_eligible_only_where_the_policy_says_so(cache: CacheDriver) -> None:
    cache.ask("acme", "and then?", "first")
    later = cache.lookup("acme", "and then?", turns="h1")
    assert (later.hit, later.reason) == (None, "later_turn")
    assert cache.store("acme", later, "x").reason == "later_turn"
    cache.put_policy("faq", **NEAREST, turns="equal")
    cache.ask("acme", "and then?", "after h1", turns="h1")
    assert cache.answer("acme", "and then?", turns="h1") == "after h1"
    assert cache.answer("acme", "and then?", turns="h2") is None


@pytest.mark.parametrize(
    ("mode", "equal", "near"), [("off", None, None), ("exact", 1, None), ("shadow", 1, None), ("semantic", 1, 1)]
)
def test_modes(cache: CacheDriver, mode: Any, equal: Any, near: Any) -> None:
    cache.ask("acme", "one", 1)
    cache.put_policy("faq", **NEAREST, mode=mode)
    assert (cache.answer("acme", "one"), cache.answer("acme", "two")) == (equal, near)
    if mode == "shadow":
        found = cache.lookup("acme", "two")
        assert (found.reason, found.threshold) == ("shadow", 0.9) and found.candidate is not None


def test_an_unknown_category_is_refused_and_none_at_all_takes_the_strictest_policy(cache: CacheDriver) -> None:
    with pytest.raises(UnknownCategory):
        cache.lookup("acme", "one", category="nonsense")
    cache.put_policy("strict", mode="exact", ttl_s=60.0)
    found = cache.lookup("acme", "one", category=None)
    assert (found.category, found.category_from) == ("unknown", "none")
    cache.store("acme", found, 1)
    assert cache.answer("acme", "one", category=None) == 1
    assert cache.lookup("acme", "two", category=None).reason == "exact_only"


def test_a_question_without_a_category_goes_to_the_nearest_one_unless_two_are_near(cache: CacheDriver) -> None:
    cache.put_policy("news", **NEAREST, examples=[Example("what happened?", [0.0, 1.0])])
    cache.ask("acme", "one", 1, (1.0, 0.0))
    assert cache.lookup("acme", "two", (1.0, 0.1), category=None).category == "faq"
    found = cache.lookup("acme", "three", (0.1, 1.0), category=None)
    assert (found.category, found.category_from) == ("news", "centroid")
    assert cache.lookup("acme", "four", (1.0, 1.0), category=None).category == "unknown"
    foreign = cache.lookup("globex", "two", (1.0, 0.01), category=None)
    assert foreign.category == "unknown", "another tenant's entries place nothing"


def test_equal_questions_wait_for_who_answers(driver: Driver, cache: CacheDriver) -> None:
    first = cache.lookup("acme", "one")
    assert first.lease is not None and 0 < first.lease.expires_in_s <= 30
    second = cache.lookup("acme", "one")
    assert (second.lease, second.reason) == (None, "empty")
    with pytest.raises(AnswerPending):
        cache.lookup("acme", "one", wait_ms=100)
    assert cache.lookup("globex", "one", wait_ms=100).lease is not None, "another tenant's question is another"
    cache.store("acme", first, 1)
    assert cache.answer("acme", "one", wait_ms=100) == 1


@pytest.mark.parametrize("outcome", ["error", "incomplete", "private"])
def test_what_is_no_whole_answer_is_not_stored_and_gives_the_lease_back(cache: CacheDriver, outcome: Any) -> None:
    first = cache.lookup("acme", "one")
    stored = cache.store("acme", first, None, outcome=outcome)
    assert (stored.entry_id, stored.reason) == (None, outcome)
    assert cache.lookup("acme", "one", wait_ms=100).lease is not None


def test_an_expired_lease_is_refused(cache: CacheDriver) -> None:
    first = cache.lookup("acme", "one")
    cache.store("acme", first, None, outcome="error")
    with pytest.raises(LeaseExpired):
        cache.store("acme", first, 1, lease=first.lease.id)
    assert cache.entries("acme") == []


def test_a_report_removes_the_entry_and_is_idempotent(cache: CacheDriver) -> None:
    cache.ask("acme", "one", 1)
    found = cache.lookup("acme", "two", (1.0, 0.1))
    assert cache.feedback("acme", verdict="right", lookup_id=found.lookup_id).n_removed == 0
    assert cache.feedback("acme", verdict="wrong", lookup_id=found.lookup_id).n_removed == 1
    assert cache.feedback("acme", verdict="wrong", lookup_id=found.lookup_id).n_removed == 0
    assert cache.answer("acme", "one") is None and cache.stats("acme").feedback_wrong == 1


def test_a_verdict_is_a_label_once_and_only_where_it_can_be_one(cache: CacheDriver) -> None:
    cache.put_policy("faq", guard=False)
    assert cache.ask("acme", "one", 1).label is None
    found = cache.lookup("acme", "two")
    assert found.hit is None and found.reason == "too_few_labels"
    assert cache.store("acme", found, 2, verdict="wrong").label == "wrong"
    assert cache.store("acme", found, 2, verdict="wrong").label is None
    assert (cache.stats("acme").labels_wrong, cache.stats("acme").labels_right) == (1, 0)
    cache.put_policy("faq", guard=False, compare="equal")
    for answer, label in ((2, "right"), (3, "wrong")):
        assert cache.store("acme", cache.lookup("acme", f"three {answer}"), answer).label == label
    with pytest.raises(InvalidArgument):
        cache.store("acme", cache.lookup("acme", "four"), 2, verdict="right")


def test_learned_labels_and_counters_survive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as driver:
        cache = CacheDriver.made(driver, {"guard": False})
        cache.ask("acme", "one", 1)
        for i in range(80):
            found = cache.lookup("acme", f"two {i}")
            if found.hit is None:
                cache.store("acme", found, 1, verdict="right")
        before = cache.stats("acme")
        assert before.threshold is not None
    with opened(tmp_path / "data") as driver:
        after = CacheDriver(driver).stats("acme")
        assert after == before


def test_entries_go_with_their_tenant(driver: Driver, cache: CacheDriver) -> None:
    cache.ask("acme", "one", 1)
    cache.ask("globex", "one", 2)
    job = driver.run("delete_tenant", None, ("acme",), Empty())
    assert driver.finish_job(job).state == "done"
    assert cache.answer("acme", "one") is None and cache.answer("globex", "one") == 2
    assert cache.stats(None).n_entries == 1
    tenant = driver.engine.services.tenant_id("acme")
    assert tenant is not None and forget_in_caches(driver.engine.services, tenant) == 0


def test_invalidation_by_source_tenant_category_and_dry_run(driver: Driver, cache: CacheDriver) -> None:
    cache.put_policy("news", **NEAREST)
    cache.ask("acme", "one", 1)
    cache.ask("acme", "two", 2, (0.0, 1.0))
    cache.ask("acme", "one", 3, category="news")
    cache.ask("globex", "one", 4)
    assert cache.invalidate(None, category="faq", dry_run=True) == 3
    assert cache.invalidate("acme", category="faq", dry_run=True) == 2
    assert cache.invalidate(None, of="globex") == 1 and cache.answer("globex", "one") is None
    assert cache.invalidate("acme", category="faq") == 2
    assert cache.answer("acme", "one", category="news") == 3


def test_another_embedding_version_ends_all_entries(driver: Driver, cache: CacheDriver) -> None:
    cache.ask("acme", "one", 1)
    driver.run("update_cache", None, ("answers",), UpdateCache(embedding_version="2"))
    assert cache.answer("acme", "one") is None
    assert cache.upkeep() == 1 and cache.entries("acme") == []
    with pytest.raises(InvalidArgument):
        cache.lookup("acme", "one", embedding_version="1")


def test_entries_beyond_the_bound_give_way_and_reserves_hold(driver: Driver) -> None:
    cache = CacheDriver.made(driver, max_entries=10)
    cache.put_policy("kept", **NEAREST, reserve_entries=4)
    for i in range(4):
        cache.ask("globex", f"kept {i}", i, None, category="kept")
    for i in range(100):
        cache.ask("acme", f"flood {i}", i, None)
    assert cache.stats("globex", "kept").n_entries == 4 and cache.stats(None, "faq").n_entries == 6
    with pytest.raises(InvalidArgument):
        cache.put_policy("more", reserve_entries=7)
    cache.put_policy("none", max_entries=0)
    with pytest.raises(LimitReached):
        cache.ask("acme", "one more", 0, None, category="none")


def test_a_member_list_hides_the_cache_from_others(driver: Driver, cache: CacheDriver) -> None:
    driver.run("update_cache", None, ("answers",), UpdateCache(tenants=["acme"]))
    cache.lookup("acme", "one")
    with pytest.raises(CacheNotFound):
        cache.lookup("globex", "one")


def test_lookups_and_stores_from_many_threads_leave_one_answer_per_question(cache: CacheDriver) -> None:
    cache.put_policy("faq", mode="exact")
    made: list[str] = []

    def ask(worker: int) -> None:
        for i in range(30):
            while True:
                try:
                    found = cache.lookup("acme", f"q{i}", None, wait_ms=1000)
                    break
                except AnswerPending:
                    continue
            if found.hit is None and found.lease is not None:
                made.append(f"q{i}")
                cache.store("acme", found, worker)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted(f"q{i}" for i in range(30))


@pytest.mark.parametrize("vector", [None, (1.0, 0.0)])
def test_an_answer_stored_between_a_look_and_its_lease_is_not_made_again(
    cache: CacheDriver, vector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put_policy("faq", **NEAREST)
    first = cache.lookup("acme", "one", vector)
    take = Leases.take

    def take_late(leases: Leases, key: Key, lease_id: str) -> Held | None:
        monkeypatch.setattr(Leases, "take", take)
        cache.store("acme", first, 1)
        return take(leases, key, lease_id)

    monkeypatch.setattr(Leases, "take", take_late)
    found = cache.lookup("acme", "one", vector)
    assert (found.hit, found.lease) == ("exact", None)
    counts = cache.stats("acme")
    assert (counts.requests, counts.misses, counts.exact_hits) == (2, 1, 1)
    assert cache.lookup("acme", "two", None).lease is not None, "no lease is left behind"
    assert cache.lookup("acme", "one", vector).hit == "exact"


def test_expired_entries_are_not_served_and_are_purged(cache: CacheDriver) -> None:
    cache.put_policy("faq", **NEAREST, ttl_s=0.3, ttl_jitter=0.0)
    cache.ask("acme", "one", 1)
    assert cache.answer("acme", "one") == 1, "looking does not lengthen a life"
    wait_until(lambda: cache.answer("acme", "one") is None)
    assert cache.answer("acme", "two") is None
    cache.upkeep()
    assert cache.entries("acme") == [] and cache.stats("acme").expired == 1


def test_a_near_miss_is_offered_as_an_example(cache: CacheDriver) -> None:
    cache.put_policy("faq", **NEAREST, example_threshold=0.5)
    cache.ask("acme", "one", {"text": "first"})
    found = cache.lookup("acme", "two", (1.0, 1.0))
    assert found.hit is None and found.example.text == "one" and bytes(found.example.answer) == b'{"text":"first"}'
    assert cache.lookup("acme", "three", (0.0, 1.0)).example is None
