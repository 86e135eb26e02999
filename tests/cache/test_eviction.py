"""Quotas: reserves hold under floods, caps and bounds are kept, and a commit that fails changes nothing."""

import random
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.cache.eviction import Bounds, Eviction, Incoming, Quota
from vdb.errors import InvalidArgument, LimitReached, TooLarge

ENTRY_BYTES = 10


def incoming(number: int, category: str = "a", tenant: int = 1, n_bytes: int = ENTRY_BYTES, key: str = "") -> Incoming:
    return Incoming(tenant, category, number, n_bytes, (key or str(number)).encode())


def filled(bounds: Bounds, *classes: tuple[int, str, int], **quotas: Quota) -> tuple[Eviction, Callable[[], int]]:
    """Classes (tenant, category, entries), and the numbers that come next."""
    eviction, numbers = Eviction(bounds), count(1)
    for category, quota in quotas.items():
        eviction.set_quota(category, quota)
    for tenant, category, n in classes:
        for _ in range(n):
            eviction.admit(incoming(next(numbers), category, tenant))
    return eviction, lambda: next(numbers)


def sizes(eviction: Eviction) -> dict[tuple[int, str], int]:
    return {place: known.n_entries for place, known in eviction._classes.items() if known.n_entries}


def state(eviction: Eviction) -> object:
    """All that says what is there and who goes next."""
    classes = {
        place: (known.numbers(), known._hand.number, known.n_bytes, set(known._ghosts))
        for place, known in eviction._classes.items()
        if known.n_entries
    }
    bits = {number: node.is_visited for number, node in eviction._nodes.items()}
    return classes, bits, eviction.n_entries, eviction.n_bytes


def test_a_flood_of_one_category_leaves_every_reserve_whole() -> None:
    eviction, number = filled(
        Bounds(max_entries=500), (1, "kept", 100), (2, "kept", 60), (1, "other", 40), kept=Quota(reserve_entries=100)
    )
    first = set(range(1, 161))
    for _ in range(20_000):
        assert not first & set(eviction.admit(incoming(number(), "flood", 3)).victims)
    assert sizes(eviction) == {(1, "kept"): 100, (2, "kept"): 60, (1, "other"): 40, (3, "flood"): 300}
    assert all(known in eviction for known in first)


def test_the_class_that_is_furthest_above_its_reserve_gives_way() -> None:
    eviction, number = filled(Bounds(100), (1, "a", 60), (1, "b", 30), (1, "c", 10), a=Quota(reserve_entries=50))
    for _ in range(10):
        eviction.admit(incoming(number(), "c"))
    assert sizes(eviction) == {(1, "a"): 60, (1, "b"): 20, (1, "c"): 20}, "b and c are 20 above theirs, a only 10"


def test_a_reserve_in_bytes_is_kept_too_whatever_bound_is_reached() -> None:
    for bounds in (Bounds(max_entries=20), Bounds(max_bytes=200)):
        eviction, number = filled(bounds, (1, "a", 10), (1, "b", 10), a=Quota(reserve_bytes=55))
        for _ in range(30):
            eviction.admit(incoming(number(), "c"))
        assert eviction._classes[1, "a"].n_bytes >= 60, "with one entry less it would be below 55"
        assert eviction.n_entries == 20


def test_a_category_at_its_cap_pushes_out_its_own_and_each_tenant_has_its_own_cap() -> None:
    eviction, number = filled(Bounds(), (1, "b", 5), a=Quota(max_entries=3), d=Quota(max_bytes=25))
    assert [eviction.admit(incoming(number(), "a")).victims for _ in range(5)] == [[], [], [], [6], [7]]
    assert [eviction.admit(incoming(number(), "a", 2)).victims for _ in range(3)] == [[], [], []]
    assert [len(eviction.admit(incoming(number(), "d")).victims) for _ in range(4)] == [0, 0, 1, 1]
    assert sizes(eviction) == {(1, "b"): 5, (1, "a"): 3, (2, "a"): 3, (1, "d"): 2}


def test_several_small_entries_go_for_a_large_one() -> None:
    eviction, number = filled(Bounds(max_bytes=100), (1, "a", 10))
    assert eviction.admit(incoming(number(), "b", n_bytes=35)).victims == [1, 2, 3, 4]
    assert (eviction.n_entries, eviction.n_bytes) == (7, 95)


def test_where_all_is_reserved_a_class_replaces_its_own_and_who_has_nothing_is_refused() -> None:
    eviction, number = filled(Bounds(20), (1, "a", 10), (2, "a", 10), a=Quota(reserve_entries=10))
    assert eviction.admit(incoming(number(), "a")).victims == [1]
    before = state(eviction)
    with pytest.raises(LimitReached):
        eviction.admit(incoming(number(), "b"))
    with pytest.raises(LimitReached):
        eviction.admit(incoming(number(), "a", 3))
    assert state(eviction) == before


def test_what_is_too_large_is_refused_and_nothing_goes_for_it() -> None:
    eviction, number = filled(Bounds(max_bytes=100), (1, "a", 10), b=Quota(max_bytes=30), c=Quota(max_entries=0))
    before = state(eviction)
    with pytest.raises(TooLarge):
        eviction.admit(incoming(number(), "a", n_bytes=101))
    with pytest.raises(TooLarge):
        eviction.admit(incoming(number(), "b", n_bytes=31), replaces=1)
    with pytest.raises(LimitReached):
        eviction.admit(incoming(number(), "c"))
    assert state(eviction) == before


def test_an_entry_that_replaces_another_pushes_nobody_out_and_stays_longer() -> None:
    eviction, number = filled(Bounds(3), (1, "a", 3))
    assert eviction.admit(incoming(number()), replaces=1).victims == []
    assert (1 in eviction, sizes(eviction)) == (False, {(1, "a"): 3})
    assert [eviction.admit(incoming(number())).victims for _ in range(2)] == [[2], [3]]
    assert eviction.admit(incoming(number())).victims == [5], "4 replaced 1"


def test_an_entry_that_was_hit_outlives_others_of_its_class() -> None:
    eviction, number = filled(Bounds(3), (1, "a", 3))
    eviction.hit(1)
    eviction.hit(999)
    assert [eviction.admit(incoming(number())).victims for _ in range(2)] == [[2], [3]]


def test_an_entry_that_is_likely_to_be_asked_for_again_outlives_others_of_its_class() -> None:
    eviction, number = filled(Bounds(3), (1, "a", 1))
    eviction.admit(Incoming(1, "a", number(), ENTRY_BYTES, b"x", is_likely=True))
    eviction.admit(incoming(number()))
    assert [eviction.admit(incoming(number())).victims for _ in range(3)] == [[1], [3], [4]]


def test_reserves_beyond_the_cache_are_refused() -> None:
    eviction, number = filled(Bounds(100, 10_000), (1, "a", 1), (2, "a", 1), a=Quota(reserve_entries=40))
    for quota, n_tenants in (
        (Quota(reserve_entries=21), 1),
        (Quota(reserve_entries=11), 2),
        (Quota(reserve_bytes=10_001), 1),
        (Quota(reserve_entries=5, max_entries=4), 1),
        (Quota(reserve_bytes=5, max_bytes=4), 1),
    ):
        with pytest.raises(InvalidArgument):
            eviction.set_quota("b", quota, n_tenants)
    with pytest.raises(InvalidArgument):
        eviction.set_quota("a", Quota(reserve_entries=51))
    eviction.set_quota("b", Quota(reserve_entries=20))
    eviction.admit(incoming(number(), "b"))
    with pytest.raises(InvalidArgument):
        eviction.set_quota("a", Quota(reserve_entries=41))


def test_a_quota_of_before_is_restored_though_tenants_have_come_since() -> None:
    eviction, number = filled(Bounds(100), (1, "a", 1), a=Quota(reserve_entries=60))
    eviction.set_quota("a", Quota(reserve_entries=10))
    eviction.admit(incoming(number(), "a", 2))
    eviction.restore_quota("a", Quota(reserve_entries=60))
    for _ in range(100):
        eviction.admit(incoming(number(), "a", 2))
    assert sizes(eviction) == {(1, "a"): 1, (2, "a"): 99}, "more is reserved than there is, and nobody has lost any"
    assert 1 in eviction


def test_what_is_loaded_beyond_bounds_and_caps_is_trimmed_in_steps() -> None:
    eviction = Eviction(Bounds(max_entries=30))
    eviction.set_quota("a", Quota(max_entries=5))
    eviction.set_quota("b", Quota(reserve_entries=20))
    eviction.load(incoming(n, "abc"[n % 3]) for n in range(90))
    steps = [len(eviction.trim(20).victims) for _ in range(5)]
    assert steps == [20, 20, 20, 0, 0] and sum(sizes(eviction).values()) == 30
    assert sizes(eviction)[1, "a"] <= 5 and sizes(eviction)[1, "b"] >= 20
    assert min(eviction._classes[1, "b"].numbers()) > 1, "the oldest went first"


def test_a_lower_cap_and_a_new_reserve_count_at_once() -> None:
    eviction, number = filled(Bounds(20), (1, "a", 10), (1, "b", 10))
    eviction.set_quota("a", Quota(reserve_entries=10))
    for _ in range(15):
        eviction.admit(incoming(number(), "c"))
    assert sizes(eviction)[1, "a"] == 10
    eviction.set_quota("a", Quota(max_entries=4))
    assert len(eviction.trim(100).victims) == 6 and sizes(eviction)[1, "a"] == 4


def test_a_commit_that_fails_brings_back_a_class_that_it_had_emptied() -> None:
    eviction, number = filled(Bounds(2), (1, "a", 1), (1, "b", 1))
    before = state(eviction)
    done = [eviction.remove(1)]
    done += [eviction.admit(incoming(number(), category)) for category in ("c", "a", "c")]
    for one in reversed(done):
        eviction.undo(one)
    assert state(eviction) == before
    assert eviction.admit(incoming(number(), "c")).victims in ([1], [2])


QUOTAS = st.builds(
    Quota,
    reserve_entries=st.integers(0, 4),
    reserve_bytes=st.sampled_from([0, 0, 15, 40]),
    max_entries=st.none() | st.integers(4, 8),
    max_bytes=st.none() | st.integers(60, 90),
)


def _within(place: tuple[int, str], n_entries: int, n_bytes: int, quotas: dict[str, Quota]) -> bool:
    """Whether a class has no more than one of its reserves."""
    quota = quotas.get(place[1], Quota())
    return n_entries < quota.reserve_entries or n_bytes < quota.reserve_bytes


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from("ab"), QUOTAS), st.integers(0, 2**32), st.booleans())
def test_no_class_is_pushed_below_its_reserve_and_no_bound_is_exceeded(
    quotas: dict[str, Quota], seed: int, is_in_bytes: bool
) -> None:
    rng = random.Random(seed)
    eviction = Eviction(Bounds(None, 200) if is_in_bytes else Bounds(16, None))
    for category, quota in list(quotas.items()):
        try:
            eviction.set_quota(category, quota)
        except InvalidArgument:
            del quotas[category]
    for number in range(120):
        category, tenant = rng.choice("aabcc"), rng.choice((1, 1, 2))
        before = {place: (known.n_entries, known.n_bytes) for place, known in eviction._classes.items()}
        shown = state(eviction)
        try:
            done = eviction.admit(incoming(number, category, tenant, rng.choice((5, 10, 30)), str(rng.randrange(40))))
        except (LimitReached, TooLarge):
            assert state(eviction) == shown
            continue
        for place, (n_entries, n_bytes) in before.items():
            known = eviction._classes.get(place)
            now = (known.n_entries, known.n_bytes) if known is not None else (0, 0)
            if place != (tenant, category) and now != (n_entries, n_bytes):
                assert not _within(place, *now, quotas), "another's store took from a reserve"
        assert not any(known.is_over_cap(0, 0) for known in eviction._classes.values())
        assert eviction.n_bytes <= (200 if is_in_bytes else 10**9) and eviction.n_entries <= (
            10**9 if is_in_bytes else 16
        )
        assert not any(gone in eviction for gone in done.victims)
        if rng.random() < 0.3:
            eviction.undo(done)
            assert state(eviction) == shown
        for _ in range(2):
            eviction.hit(rng.randrange(number + 1))
