"""`vdb check` and `--repair` of caches: broken invariants are found, what is derived is rebuilt, the rest set aside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.storage.cache_examples import ANSWER, CACHE_ID, ENTRY, VECTOR, add_cache, contents, entry
from tests.storage.damage import CATALOG, Damage, changing, drop, flip, golden_copy, hurt, put
from vdb.storage import cache_entries as store
from vdb.storage.cache_codec import CacheUsage, encode_cache_usage, encode_entry, encode_group, seal
from vdb.storage.catalog import DELETING, cache_by_name, put_cache
from vdb.storage.check import check_directory, examine
from vdb.storage.codec import encode_u64
from vdb.storage.env import Environment
from vdb.storage.keyspace import (
    META_CACHE,
    META_NEXT_CACHE,
    META_SEQUENCE,
    Space,
    category_key,
    entry_expiry_key,
    entry_key,
    exact_key,
    label_key,
    name_key,
    number_key,
    source_key,
)
from vdb.storage.repair import repair

CACHE = f"caches/{CACHE_ID:08d}"
HEAD = entry_key(Space.ENTRY, 2, ENTRY.number)
PLAIN = entry_key(Space.ENTRY, 2, 1)
DERIVED = {Space.ENTRY_EXACT, Space.ENTRY_EXPIRY, Space.ENTRY_SOURCE, Space.CACHE_USAGE}
WHOSE = f"cache kept entry 2/{ENTRY.number:016x}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = golden_copy(tmp_path / "data")
    add_cache(made)
    return made


def part(space: Space, number: int = ENTRY.number) -> bytes:
    return entry_key(space, 2, number)


def rewritten(**changed: Any) -> Damage:
    """The head of `ENTRY` says something else."""
    return put(HEAD, encode_entry(replace(ENTRY, **changed)))


def stored(path: Path) -> dict[bytes, bytes]:
    env = Environment(path / CACHE, map_bytes=1 << 20, max_map_bytes=1 << 20, read_only=True)
    try:
        return contents(env)
    finally:
        env.close()


def test_a_sound_cache_has_no_faults_and_is_counted(path: Path) -> None:
    findings = examine(path)
    assert (findings.faults, findings.n_caches, findings.n_entries) == ([], 2, 10)


INDEXES: list[tuple[Damage, str]] = [
    (drop(exact_key(2, ENTRY.exact)), "index entry_exact is missing"),
    (put(exact_key(2, ENTRY.exact), encode_u64(77)), "index entry_exact is missing"),
    (put(exact_key(2, b"x" * 16), encode_u64(ENTRY.number)), "entry_exact leads to no such entry"),
    (drop(entry_expiry_key(ENTRY.expires_at_ms, 2, ENTRY.number)), "index entry_expiry is missing"),
    (put(entry_expiry_key(5, 2, ENTRY.number), b""), "entry_expiry leads to no such entry"),
    (drop(source_key(1, 2, "é1".encode(), 2, ENTRY.number)), "index entry_source is missing"),
    (drop(source_key(1, 0, b"", 2, ENTRY.number)), "index entry_source is missing"),
    (put(source_key(1, 2, b"other", 2, ENTRY.number), b""), "entry_source leads to no such entry"),
    (put(source_key(1, 2, b"other", 2, 4242), b""), "entry_source leads to no such entry"),
    (put(category_key(Space.CACHE_USAGE, 2, "faq"), encode_cache_usage(CacheUsage(9, 9))), "usage 2/faq"),
    (drop(category_key(Space.CACHE_USAGE, 0)), "usage 0/"),
    (put(category_key(Space.CACHE_USAGE, 3, "faq"), encode_cache_usage(CacheUsage(1, 1))), "usage 3/faq"),
    (flip(category_key(Space.CACHE_USAGE, 2), 5), "usage 2/"),
    (put(META_SEQUENCE, encode_u64(1)), "was never written"),
]
DATA: list[tuple[Damage, str]] = [
    (flip(HEAD, 30), "checksum"),
    (put(PLAIN, encode_entry(entry(2))), "its head says that it is"),
    (flip(part(Space.ENTRY_ANSWER), 6), "its answer does not match"),
    (drop(part(Space.ENTRY_ANSWER)), "its answer is missing"),
    (put(part(Space.ENTRY_ANSWER), seal(b"{}")), "its answer has 2 bytes, not 13"),
    (flip(part(Space.ENTRY_VECTOR), 6), "its vector does not match"),
    (drop(part(Space.ENTRY_VECTOR)), "its vector is missing"),
    (put(part(Space.ENTRY_VECTOR), seal(b"\0\0\xc0\x7f" * 2)), "its vector is not finite"),
    (flip(part(Space.ENTRY_GROUP), 6), "the checksum of a group"),
    (put(part(Space.ENTRY_VECTOR, 4242), seal(VECTOR)), "entry_vector leads to no such entry"),
    (put(part(Space.ENTRY_ANSWER, 4242), seal(ANSWER)), "entry_answer leads to no such entry"),
    (put(part(Space.ENTRY_GROUP, 4242), encode_group(1, 0)), "entry_group leads to no such entry"),
    (flip(label_key(2, "faq", 1), 6), "label"),
    (put(label_key(2, "faq", 2), seal(b"{")), "it is not well formed"),
    (flip(name_key(Space.POLICY, "faq"), 6), "policy"),
    (flip(category_key(Space.CACHE_STATISTICS, 2, "faq"), 6), "cache_statistics"),
    (put(b"\x91short", b""), "is of no known space"),
    (put(b"\x20\0\0\0\1\0\0\0\1", b""), "is of no known space"),
]
OTHER: list[tuple[Damage, str]] = [
    (rewritten(category="No Name"), "form of names"),
    (rewritten(partition=b"short"), "is not 16 bytes long"),
    (put(part(Space.ENTRY_GROUP, 1), encode_group(1, 0)), "its own, and stored all the same"),
    (put(label_key(77, "faq", 1), seal(b"{}")), "its tenant is gone"),
    (put(META_CACHE, encode_u64(8)), "says that it is cache 8"),
    (put(b"\x01more", encode_u64(8)), "unknown number"),
]


@pytest.mark.parametrize(("damage", "what"), INDEXES + DATA + OTHER)
def test_damage_is_found(path: Path, damage: Damage, what: str) -> None:
    hurt(path, CACHE, damage)
    faults = [f"{fault.where}: {fault.what}" for fault in check_directory(path)]
    assert any(what in fault for fault in faults), faults


@pytest.mark.parametrize(("damage", "what"), INDEXES)
def test_what_follows_from_entries_is_rebuilt(path: Path, damage: Damage, what: str) -> None:
    before = stored(path)
    hurt(path, CACHE, damage)
    done = repair(path)
    assert done.findings.faults == [] and done.changes and done.aside is None
    after = stored(path)
    after.pop(META_SEQUENCE), before.pop(META_SEQUENCE)
    assert after == before


@pytest.mark.parametrize(("damage", "what"), DATA)
def test_what_cannot_be_rebuilt_stays_until_it_is_set_aside(path: Path, damage: Damage, what: str) -> None:
    hurt(path, CACHE, damage)
    kept = {key for key in stored(path) if key[0] not in DERIVED}
    done = repair(path)
    assert done.findings.faults and kept <= set(stored(path)), "nothing was removed unasked"
    done = repair(path, drop_damaged=True)
    assert (done.findings.faults, done.n_aside > 0) == ([], True)
    assert repair(path, drop_damaged=True).changes == []


def test_a_damaged_entry_goes_with_its_parts_and_what_led_to_it(path: Path) -> None:
    with changing(path / CACHE) as txn:
        before = dict(txn.cursor())
        assert store.remove_entry(txn, 2, ENTRY.number) == ENTRY
        without = dict(txn.cursor())
        for key in set(dict(txn.cursor())) | set(before):
            txn.delete(key)
        for key, value in before.items():
            txn.put(key, value)
    hurt(path, CACHE, flip(HEAD, 30))
    done = repair(path, drop_damaged=True)
    assert (done.findings.faults, done.n_aside, stored(path)) == ([], 4, without)


def test_of_two_entries_with_one_exact_key_the_one_that_it_does_not_lead_to_is_set_aside(path: Path) -> None:
    rival = replace(entry(5), exact=entry(1).exact)
    with changing(path / CACHE) as txn:
        store.put_entry(txn, entry(5), VECTOR, ANSWER)
        txn.put(entry_key(Space.ENTRY, 2, 5), encode_entry(rival))
    assert any("entry_exact is missing" in fault.what for fault in check_directory(path))
    done = repair(path, drop_damaged=True)
    assert done.findings.faults == [] and entry_key(Space.ENTRY, 2, 5) not in stored(path)
    with changing(path / CACHE) as txn:
        assert store.find_exact(txn, 2, rival.exact) == 1


def _unnamed(txn: Any) -> None:
    txn.delete(name_key(Space.CACHE_NAME, "kept"))


def _uncounted(txn: Any) -> None:
    txn.delete(META_NEXT_CACHE)


def _misnamed(txn: Any) -> None:
    txn.put(name_key(Space.CACHE_NAME, "ghost"), b"\x09\0\0\0")


@pytest.mark.parametrize("damage", [_unnamed, _uncounted, _misnamed])
def test_names_and_the_counter_of_caches_are_rebuilt(path: Path, damage: Callable[[Any], None]) -> None:
    with changing(path / CATALOG) as txn:
        before = dict(txn.cursor())
        damage(txn)
    assert check_directory(path)
    assert repair(path).findings.faults == []
    with changing(path / CATALOG) as txn:
        assert dict(txn.cursor()) == before


def test_a_damaged_document_of_a_cache_is_reported_and_stays(path: Path) -> None:
    hurt(path, CATALOG, flip(number_key(Space.CACHE, CACHE_ID), 10))
    assert {fault.where for fault in repair(path, drop_damaged=True).findings.faults} == {f"cache {CACHE_ID}", CACHE}


def test_a_folder_without_a_cache_and_a_cache_without_a_folder_are_faults(path: Path) -> None:
    (path / "caches" / "00000009").mkdir()
    (path / CACHE).rename(path / "caches" / "00000008")
    faults = {(fault.where, fault.what) for fault in check_directory(path)}
    assert {where for where, _ in faults} == {"caches/00000008", "caches/00000009", "cache kept"}


def test_a_cache_that_is_being_deleted_may_have_a_folder_or_none(path: Path) -> None:
    with changing(path / CATALOG) as txn:
        known = cache_by_name(txn, "kept")
        assert known is not None
        put_cache(txn, replace(known, state=DELETING))
        txn.delete(name_key(Space.CACHE_NAME, "kept"))
    assert check_directory(path) == []
    for file in (path / CACHE).iterdir():
        file.unlink()
    (path / CACHE).rmdir()
    assert check_directory(path) == []


def test_faults_name_places_never_what_was_asked(path: Path) -> None:
    hurt(path, CACHE, flip(part(Space.ENTRY_ANSWER), 6))
    (fault,) = check_directory(path)
    assert fault.where == WHOSE and ENTRY.text not in fault.what
