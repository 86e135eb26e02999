"""Entries of a cache: what is put reads back, and every index and usage follows."""

import random
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.storage.cache_examples import ANSWER, CACHE_ID, ENTRY, SIZES, VECTOR, cache_environment, contents, entry
from vdb.errors import CorruptData
from vdb.storage import cache_entries as store
from vdb.storage.cache_codec import (
    CacheEntry,
    CacheUsage,
    Retrieval,
    Source,
    decode_cache_usage,
    decode_entry,
    decode_group,
    encode_cache_usage,
    encode_entry,
    encode_group,
    size_of,
)
from vdb.storage.create import create_environment
from vdb.storage.env import Environment
from vdb.storage.keyspace import Space, entry_key
from vdb.storage.meta import check_format

U64, TEXT = st.integers(0, 2**64 - 1), st.text(max_size=30)
SOURCES = st.builds(
    Source, st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1), st.binary(min_size=1, max_size=20), U64
)
RETRIEVALS = st.builds(
    Retrieval,
    collection=st.integers(1, 2**32 - 1),
    vector=st.binary(max_size=16),
    filter=st.binary(max_size=16),
    limit=st.integers(1, 1000),
    distance=st.floats(allow_nan=False),
    sequence=U64,
    hits=st.lists(st.tuples(st.integers(1, 2**32 - 1), st.binary(max_size=8)), max_size=3).map(tuple),
)
ENTRIES = st.builds(
    CacheEntry,
    tenant=st.integers(1, 2**32 - 1),
    number=U64,
    partition=st.binary(min_size=16, max_size=16),
    exact=st.binary(min_size=16, max_size=16),
    category=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    text=TEXT,
    created_at_ms=U64,
    expires_at_ms=U64,
    sequence=U64,
    embedding_version=TEXT,
    scope=TEXT,
    model=TEXT,
    fingerprint=TEXT,
    turns=TEXT,
    vector_bytes=st.integers(0, 2**20),
    answer_bytes=st.integers(0, 2**20),
    sources=st.lists(SOURCES, max_size=3).map(tuple),
    retrieval=st.none() | RETRIEVALS,
    is_category_given=st.booleans(),
)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    with cache_environment(tmp_path / "cache") as made:
        yield made


def put(env: Environment, *entries: CacheEntry) -> None:
    with env.write() as txn:
        for one in entries:
            store.put_entry(txn, one, VECTOR, ANSWER)


@given(ENTRIES)
def test_an_entry_reads_back(made: CacheEntry) -> None:
    assert decode_entry(encode_entry(made)) == made


@given(ENTRIES, st.data())
def test_an_entry_with_one_bit_changed_is_corrupt(made: CacheEntry, data: st.DataObject) -> None:
    value = bytearray(encode_entry(made))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        decode_entry(bytes(value))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_entry_are_corrupt_even_with_a_right_checksum(body: bytes) -> None:
    for prefix in (b"", b"\x01"):
        with pytest.raises(CorruptData):
            decode_entry(crc32(prefix + body).to_bytes(4, "little") + prefix + body)


def test_small_values_read_back_and_damage_is_seen() -> None:
    assert decode_group(encode_group(2**64 - 1, 7)) == (2**64 - 1, 7)
    usage = CacheUsage(3, 2**40)
    assert (decode_cache_usage(encode_cache_usage(usage)), decode_cache_usage(None)) == (usage, CacheUsage())
    for decode, value in ((decode_group, encode_group(5, 0)), (decode_cache_usage, encode_cache_usage(usage))):
        for wrong in (value[:-1], value + b"\0", b"", bytes(4) + value[4:]):
            with pytest.raises(CorruptData):
                decode(wrong)


def test_an_environment_of_a_cache_is_none_of_a_collection(tmp_path: Path) -> None:
    with cache_environment(tmp_path / "cache") as env:
        check_format(env, cache_id=CACHE_ID)
        for wrong in ({"cache_id": CACHE_ID + 1}, {"collection_id": CACHE_ID}):
            with pytest.raises(CorruptData):
                check_format(env, **wrong)
    create_environment(tmp_path / "collection", **SIZES, collection_id=CACHE_ID)
    collection = Environment(tmp_path / "collection", **SIZES)
    with pytest.raises(CorruptData):
        check_format(collection, cache_id=CACHE_ID)
    collection.close()


def test_what_was_put_is_found_by_number_exact_key_source_and_expiry(env: Environment) -> None:
    with env.write() as txn:
        assert store.put_entry(txn, ENTRY, VECTOR, ANSWER, group=9) == ()
    place = (ENTRY.tenant, ENTRY.number)
    with env.read() as txn:
        assert store.read_entry(txn, *place) == ENTRY
        assert (store.read_answer(txn, *place), store.read_entry_vector(txn, *place)) == (ANSWER, VECTOR)
        assert store.find_exact(txn, 2, ENTRY.exact) == ENTRY.number and store.find_exact(txn, 3, ENTRY.exact) is None
        assert store.entries_of_source(txn, 1, 2, "é1".encode()) == [place]
        assert set(store.entries_of_collection(txn, 1)) == {place} == set(store.entries_of_collection(txn, 1, 2))
        assert store.count_of_source(txn, 1) == 1
        assert store.iterate_expired(txn, ENTRY.expires_at_ms - 1, 10) == []
        assert store.iterate_expired(txn, ENTRY.expires_at_ms, 10) == [place]
        assert list(store.iterate_loaded(txn)) == [(ENTRY, VECTOR, 9, 0)]
        expected = CacheUsage(1, size_of(ENTRY))
        for usage in ((), (2,), (2, "faq")):
            assert store.read_cache_usage(txn, *usage) == expected


def test_removing_an_entry_leaves_nothing_of_it(env: Environment) -> None:
    before = contents(env)
    with env.write() as txn:
        store.put_entry(txn, ENTRY, VECTOR, ANSWER, group=9)
        assert store.remove_entry(txn, ENTRY.tenant, ENTRY.number) == ENTRY
        assert store.remove_entry(txn, ENTRY.tenant, ENTRY.number) is None
    assert contents(env) == before


def test_an_entry_replaces_the_one_that_has_its_exact_key_but_not_that_of_another_tenant(env: Environment) -> None:
    first, other = entry(1, text="q", sources=ENTRY.sources), entry(2, tenant=3, text="q")
    put(env, first, other)
    newer = entry(7, text="q")
    assert newer.exact == first.exact
    with env.write() as txn:
        assert store.put_entry(txn, newer, VECTOR, ANSWER) == (first,)
        assert store.put_entry(txn, newer, VECTOR, ANSWER) == (newer,), "stored again"
    with env.read() as txn:
        assert list(store.iterate_entries(txn)) == [newer, other]
        assert store.entries_of_source(txn, 1, 2, "é1".encode()) == []
        assert store.read_cache_usage(txn).n_entries == 2


def test_a_damaged_entry_is_left_out_and_does_not_keep_its_question_from_being_stored_anew(env: Environment) -> None:
    put(env, entry(1, text="q"), entry(2), entry(3), entry(4))
    damaged = ((Space.ENTRY, 1), (Space.ENTRY_VECTOR, 2), (Space.ENTRY_GROUP, 3), (Space.ENTRY_ANSWER, 4))
    with env.write() as txn:
        for space, number in damaged:
            txn.put(entry_key(space, 2, number), b"\0" * 12)
    with env.write() as txn:
        assert [one.number for one, *_ in store.iterate_loaded(txn)] == [4]
        with pytest.raises(CorruptData):
            store.read_answer(txn, 2, 4)
        assert store.put_entry(txn, entry(9, text="q"), VECTOR, ANSWER) == ()
        assert store.find_exact(txn, 2, entry(9, text="q").exact) == 9
        assert store.entries_of_tenant(txn, 2, 10) == [(2, n) for n in (1, 2, 3, 4, 9)], "the damaged one can be purged"
        store.remove_damaged(txn, 2, 1)
        assert store.read_answer(txn, 2, 1) is None


def test_an_entry_without_a_vector_is_found_by_its_exact_key(env: Environment) -> None:
    bare = replace(entry(1), vector_bytes=0)
    with env.write() as txn:
        store.put_entry(txn, bare, None, ANSWER)
    with env.read() as txn:
        assert list(store.iterate_loaded(txn)) == [(bare, None, 1, 0)]
        assert store.find_exact(txn, 2, bare.exact) == 1


def test_a_source_whose_id_begins_with_another_id_is_another_source(env: Environment) -> None:
    short, long = (entry(n, sources=(Source(1, 2, point_id, 1),)) for n, point_id in ((1, b"a"), (2, b"ab")))
    put(env, short, long)
    with env.read() as txn:
        assert store.entries_of_source(txn, 1, 2, b"a") == [(2, 1)]
        assert store.entries_of_source(txn, 1, 2, b"ab") == [(2, 2)]
        assert store.entries_of_source(txn, 1, 3, b"a") == store.entries_of_source(txn, 2, 2, b"a") == []
        assert store.entries_of_collection(txn, 1, n_max=1) == [(2, 1)]


def test_a_group_changes_without_the_entry_and_its_own_number_needs_no_key(env: Environment) -> None:
    put(env, entry(1))
    before = contents(env)
    with env.write() as txn:
        store.put_group(txn, 2, 1, 77, 5)
        assert store.read_group(txn, 2, 1) == (77, 5)
        assert list(store.iterate_loaded(txn)) == [(entry(1), VECTOR, 77, 5)]
    assert len(contents(env)) == len(before) + 1
    with env.write() as txn:
        store.put_group(txn, 2, 1, 1)
        assert store.read_group(txn, 2, 1) == (1, 0)
    assert contents(env) == before


def test_a_walk_goes_on_after_the_entry_it_ended_at_and_keeps_to_its_tenant(env: Environment) -> None:
    put(env, *(entry(n, tenant=tenant) for tenant in (1, 2, 3) for n in (5, 2**63, 9)))
    with env.read() as txn:
        places = [(one.tenant, one.number) for one in store.iterate_entries(txn)]
        assert places == [(tenant, n) for tenant in (1, 2, 3) for n in (5, 9, 2**63)]
        rest = [(one.tenant, one.number) for one in store.iterate_entries(txn, after=(2, 9))]
        assert rest == places[5:]
        assert [one.number for one in store.iterate_entries(txn, 2, after=(2, 5))] == [9, 2**63]
        assert store.entries_of_tenant(txn, 2, 2) == [(2, 5), (2, 9)]


def test_expired_entries_come_earliest_first_and_no_more_than_asked_for(env: Environment) -> None:
    put(env, entry(1, expires_at_ms=30), entry(2, expires_at_ms=10), entry(3, tenant=9, expires_at_ms=20), entry(4))
    with env.read() as txn:
        assert store.iterate_expired(txn, 30, 9) == [(2, 2), (9, 3), (2, 1)]
        assert store.iterate_expired(txn, 29, 9) == [(2, 2), (9, 3)]
        assert store.iterate_expired(txn, 30, 1) == [(2, 2)]


def test_who_purges_what_has_expired_is_not_given_a_damaged_entry_for_ever(env: Environment) -> None:
    put(env, entry(1, expires_at_ms=10), entry(2, expires_at_ms=20))
    with env.write() as txn:
        txn.put(entry_key(Space.ENTRY, 2, 1), b"\0" * 12)
        assert store.iterate_expired(txn, 30, 1) == [(2, 1)]
        store.remove_damaged(txn, 2, 1)
        assert store.iterate_expired(txn, 30, 1) == [(2, 2)]


def test_usages_are_the_sums_of_what_is_there_after_any_puts_and_removals(env: Environment) -> None:
    rng = random.Random(7)
    there: dict[tuple[int, int], CacheEntry] = {}
    for number in range(60):
        made = entry(number, tenant=rng.choice((1, 2)), category=rng.choice(("a", "b")), text=str(rng.randrange(20)))
        with env.write() as txn:
            for gone in store.put_entry(txn, made, VECTOR, ANSWER):
                del there[gone.tenant, gone.number]
            there[made.tenant, made.number] = made
            if number % 4 == 0:
                place = rng.choice(sorted(there))
                assert store.remove_entry(txn, *place) == there.pop(place)
    with env.read() as txn:
        stored = {(tenant, category): usage for tenant, category, usage in store.iterate_cache_usages(txn)}
        found: dict[tuple[int, str], CacheUsage] = {}
        for one in there.values():
            key = (one.tenant, one.category)
            found[key] = found.get(key, CacheUsage()).plus(CacheUsage(1, size_of(one)))
        assert stored == found
        assert store.read_cache_usage(txn) == CacheUsage(len(there), sum(map(size_of, there.values())))
        of_tenant = [usage for (tenant, _), usage in found.items() if tenant == 1]
        assert store.read_cache_usage(txn, 1).n_entries == sum(usage.n_entries for usage in of_tenant)
        assert [one[:2] for one in store.iterate_cache_usages(txn, 1)] == [(1, "a"), (1, "b")]
