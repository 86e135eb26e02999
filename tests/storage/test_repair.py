"""`vdb check --repair` rebuilds what follows from the data, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import opened
from tests.golden.make import ADMIN_KEY, contents
from tests.storage import test_check
from tests.storage.damage import (
    CATALOG,
    NOTES,
    SHAPES,
    Damage,
    changing,
    drop,
    entries,
    files,
    flip,
    golden_copy,
    hurt,
    put,
)
from tests.storage.test_check import A1, ACME, GLOBEX, INITECH, LATER_MS, TEMPLATE, drop_of_key, redraft, rewrite
from vdb.errors import CorruptData, DirectoryLocked, DiskFull, FormatTooNew, StorageFailure
from vdb.protocol.requests import Empty, ListPage
from vdb.storage import catalog as store
from vdb.storage import edits
from vdb.storage.check import check_directory, examine
from vdb.storage.codec import Record, Usage, encode_record, encode_u32, encode_u64, encode_usage
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment, MapFull
from vdb.storage.keyspace import (
    ALL_OWNERS,
    META_CHANGES_FROM,
    META_FORMAT,
    META_N_POINTS,
    META_NEXT_COLLECTION,
    META_NEXT_JOB,
    META_NEXT_PID,
    META_NEXT_TENANT,
    META_SEQUENCE,
    Space,
    expiry_key,
    grant_key,
    name_key,
    number_key,
    point_id_prefix,
    record_key,
    template_key,
    tenant_key_key,
    usage_key,
    vector_key,
)
from vdb.storage.repair import Repaired, repair
from vdb.storage.repair_collection import SEQUENCE_LEAP

DERIVED: list[tuple[str, Damage]] = [
    ("an id missing", drop(point_id_prefix(ACME) + b"a1")),
    ("an id misled", put(point_id_prefix(ACME) + b"a1", encode_u32(1))),
    ("an id of nothing", put(point_id_prefix(ACME) + b"x", encode_u32(0))),
    ("an id of one byte", put(point_id_prefix(ACME) + b"a1", b"\0")),
    ("a grant missing", drop(grant_key(GLOBEX, 0))),
    ("a grant of nothing", put(grant_key(INITECH, 0), encode_u32(ACME))),
    ("a grant of one byte", put(grant_key(GLOBEX, 0), b"\0")),
    ("an expiry missing", drop(expiry_key(LATER_MS, 7))),
    ("an expiry of nothing", put(expiry_key(5, 0), encode_u32(ACME))),
    ("a usage wrong", put(usage_key(ACME), encode_usage(Usage(5, 1)))),
    ("a usage missing", drop(usage_key(ACME))),
    ("a usage of nobody", put(usage_key(77), encode_usage(Usage(1, 1)))),
    ("a usage cut short", put(usage_key(ACME), b"12")),
    ("totals wrong", put(usage_key(ALL_OWNERS), encode_usage(Usage(5, 1)))),
    ("totals missing", drop(usage_key(ALL_OWNERS))),
    ("points miscounted", put(META_N_POINTS, encode_u64(3))),
    ("a counter cut short", put(META_N_POINTS, b"3")),
    ("pids behind", put(META_NEXT_PID, encode_u64(4))),
    ("pids beyond reason", put(META_NEXT_PID, encode_u64(1 << 40))),
    ("pids cut short", put(META_NEXT_PID, b"")),
]

DERIVED_IN_CATALOG: list[tuple[str, Damage]] = [
    ("a collection's name missing", drop(name_key(Space.COLLECTION_NAME, "notes"))),
    ("a tenant's name missing", drop(name_key(Space.TENANT_NAME, "acme"))),
    ("a tenant's name misled", put(name_key(Space.TENANT_NAME, "acme"), encode_u32(2))),
    ("a name of nothing", put(name_key(Space.COLLECTION_NAME, "x"), encode_u32(9))),
    ("a name of one byte", put(name_key(Space.TENANT_NAME, "x"), b"1")),
    ("collections behind", put(META_NEXT_COLLECTION, encode_u64(1))),
    ("tenants behind", put(META_NEXT_TENANT, encode_u64(2))),
    ("jobs behind", put(META_NEXT_JOB, encode_u64(0))),
    ("a counter cut short", put(META_NEXT_TENANT, b"2")),
    ("a hash missing", drop_of_key(lambda key: name_key(Space.KEY_HASH, key.hash))),
    ("an old hash missing", drop_of_key(lambda key: name_key(Space.KEY_HASH, key.previous_hash))),
    ("a key unlisted", drop_of_key(lambda key: tenant_key_key(ACME, key.id))),
    ("a listed key that is none", put(tenant_key_key(ACME, "key-x"), b"")),
    ("a hash of nothing", put(name_key(Space.KEY_HASH, "ab" * 32), b"key-x")),
    ("a template of nothing", put(template_key(9, "brief", 2), TEMPLATE)),
    ("a template elsewhere", put(template_key(1, "a", 1), TEMPLATE)),
    ("an alias of nothing", put(name_key(Space.ALIAS, "x"), encode_u32(9))),
    ("an alias of one byte", put(name_key(Space.ALIAS, "x"), b"1")),
    ("an alias named as a collection", put(name_key(Space.ALIAS, "notes"), encode_u32(2))),
    ("a hash of one byte", put(name_key(Space.KEY_HASH, "ab" * 32), b"\xff")),
]

CASES = [(name, NOTES, damage) for name, damage in DERIVED] + [
    (name, CATALOG, damage) for name, damage in DERIVED_IN_CATALOG
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


def all_of(path: Path) -> dict[str, Any]:
    with opened(path, admin_key=ADMIN_KEY) as driver:
        return contents(driver)


def what_of(done: Repaired) -> list[str]:
    return [change.what for change in done.changes]


@pytest.mark.parametrize(("place", "damage"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_derived_is_as_it_was_after_a_repair(path: Path, place: str, damage: Damage) -> None:
    before = entries(path)
    hurt(path, place, damage)
    assert check_directory(path)
    done = repair(path)
    assert (done.findings.faults, len(done.changes) > 0, done.aside) == ([], True, None)
    assert entries(path) == before
    after = files(path)
    assert (repair(path).changes, files(path)) == ([], after), "a second repair found something to do"


def test_a_repair_of_a_sound_directory_changes_no_byte(path: Path) -> None:
    before = files(path)
    for drop_damaged in (False, True):
        done = repair(path, drop_damaged=drop_damaged)
        assert (done.changes, done.findings.n_faults, done.findings.n_points) == ([], 0, 15)
    assert files(path) == before
    assert {entry.name for entry in path.parent.iterdir()} == {"data"}


def test_every_index_lost_at_once_is_rebuilt(path: Path) -> None:
    before, expected = entries(path), all_of(golden_copy(path.parent / "other"))
    derived = {
        NOTES: (Space.POINT_ID, Space.GRANT, Space.EXPIRY, Space.USAGE),
        SHAPES: (Space.POINT_ID, Space.GRANT, Space.EXPIRY, Space.USAGE),
        CATALOG: (Space.COLLECTION_NAME, Space.TENANT_NAME, Space.KEY_HASH, Space.TENANT_KEY),
    }
    for place, spaces in derived.items():
        with changing(path / place) as txn:
            for key in [key for key, _ in txn.cursor() if key[0] in spaces or key in (META_NEXT_PID, META_N_POINTS)]:
                txn.delete(key)
    assert repair(path).findings.faults == []
    log = [key for key in before[SHAPES] if key[0] == Space.CHANGE or key == META_CHANGES_FROM]
    for key in log:  # dropped wherever anything else was changed
        del before[SHAPES][key]
    assert len(log) == 4 and entries(path) == before
    assert all_of(path) == expected


def test_a_repair_in_many_portions_comes_to_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entries(path)
    with changing(path / NOTES) as txn:
        for key in [key for key, _ in txn.cursor() if key[0] in (Space.POINT_ID, Space.GRANT)]:
            txn.delete(key)
        for i in range(9):
            txn.put(point_id_prefix(INITECH) + b"stray%d" % i, encode_u32(99))
    monkeypatch.setattr(edits, "PORTION", 2)
    monkeypatch.setattr("vdb.storage.repair_collection.OWNERS_AT_ONCE", 1)
    done = repair(path)
    assert [change.n for change in done.changes if "point_id that led nowhere" in change.what] == [9]
    assert entries(path) == before


def test_a_repair_that_is_cut_short_is_finished_by_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entries(path)
    with changing(path / NOTES) as txn:
        for key in [key for key, _ in txn.cursor() if key[0] in (Space.POINT_ID, Space.GRANT, Space.USAGE)]:
            txn.delete(key)
    monkeypatch.setattr(edits, "PORTION", 1)
    commit, n_commits = edits.Edits.commit, 0

    def failing(self: edits.Edits) -> None:
        nonlocal n_commits
        n_commits += 1
        if n_commits == 20:
            raise DiskFull("no space is left on the disk")
        commit(self)

    with monkeypatch.context() as patched:
        patched.setattr(edits.Edits, "commit", failing)
        with pytest.raises(DiskFull):
            repair(path)
    assert entries(path) != before
    repair(path)
    assert entries(path) == before


def test_the_map_grows_in_a_repair(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entries(path)
    hurt(path, NOTES, drop(grant_key(GLOBEX, 0)))
    write, n_tries = edits.Edits._try, 0

    def full_at_first(self: edits.Edits) -> bool:
        nonlocal n_tries
        n_tries += 1
        return n_tries > 2 and write(self)

    monkeypatch.setattr(edits.Edits, "_try", full_at_first)
    repair(path)
    assert (n_tries, entries(path) == before) == (3, True)


def test_a_map_that_is_full_for_good_is_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurt(path, NOTES, drop(grant_key(GLOBEX, 0)))

    def full(self: Environment) -> None:
        raise MapFull

    monkeypatch.setattr(Environment, "write", full)
    monkeypatch.setattr(Environment, "grow", lambda *_: False)
    with pytest.raises(DiskFull, match="collection notes has no room"):
        repair(path)


def test_a_sequence_that_is_behind_or_lost_goes_on_beyond_all_it_gave_out(path: Path) -> None:
    for damage in (put(META_SEQUENCE, encode_u64(2)), put(META_SEQUENCE, b"?"), drop(META_SEQUENCE)):
        hurt(path, NOTES, damage)
        assert what_of(repair(path)) == ["sequence moved forward"]
        assert check_directory(path) == []
    with opened(path) as driver:
        assert driver.upsert("acme", "notes", ["new"]) > SEQUENCE_LEAP


def test_a_point_whose_record_is_gone_leaves_its_indexes(path: Path) -> None:
    hurt(path, NOTES, drop(A1))
    hurt(path, NOTES, drop(vector_key(ACME, 0)))
    assert repair(path).findings.faults == []
    with opened(path) as driver:
        assert driver.get("acme", "notes", ["a1"]) == []
        driver.upsert("acme", "notes", ["a1"], [[1, 0, 0, 0]])
        assert driver.found("globex", "notes", [1, 0, 0, 0], limit=1) != ["a1"]


UNTOUCHED: list[tuple[str, str, Damage, str]] = [
    ("a record", NOTES, flip(A1, 20), "checksum does not match"),
    ("a vector", NOTES, flip(vector_key(ACME, 0), 3), "vector's checksum"),
    ("a vector missing", NOTES, drop(vector_key(ACME, 0)), "its vector is missing"),
    ("a vector of nothing", NOTES, put(vector_key(ACME, 99), b"\0" * 16), "leads to no such point"),
    ("an unknown space", NOTES, put(b"\x77key", b""), "of no known space"),
    ("a key cut short", NOTES, put(A1[:5], b""), "of no known space"),
    ("a grant's key cut short", NOTES, put(grant_key(1, 1)[:4], b""), "of no known space"),
    ("an unknown number", NOTES, put(b"\x01other", encode_u64(1)), "unknown number"),
    ("a grant to nobody", NOTES, rewrite(A1, shared=(GLOBEX, 77)), "is gone"),
    ("a foreign environment", NOTES, put(b"\x01collection", encode_u64(8)), "says that it is collection 8"),
    ("a tenant", CATALOG, flip(number_key(Space.TENANT, 1), 9), "checksum does not match"),
    ("a collection", CATALOG, flip(number_key(Space.COLLECTION, 1), 9), "checksum does not match"),
    ("a job", CATALOG, flip(number_key(Space.JOB, 1), 9), "checksum does not match"),
    ("a key", CATALOG, lambda txn: flip(name_key(Space.KEY, test_check.key_of(txn, "write").id), 9)(txn), "checksum"),
    ("an unknown space of the catalog", CATALOG, put(b"\x77key", b""), "of no known space"),
    ("a tenant under another id", CATALOG, redraft(number_key(Space.TENANT, 1), store.TenantDocument, id=3), "id is 3"),
]


@pytest.mark.parametrize(
    ("place", "damage", "what"), [case[1:] for case in UNTOUCHED], ids=[case[0] for case in UNTOUCHED]
)
def test_what_cannot_be_rebuilt_is_reported_and_left_alone(path: Path, place: str, damage: Damage, what: str) -> None:
    hurt(path, place, damage)
    before = {name: values for name, values in entries(path).items() if name != place or "grant to nobody" in what}
    kept = entries(path)[place]
    done = repair(path)
    assert any(what in fault.what for fault in done.findings.faults), done.findings.faults
    after = entries(path)
    assert {name: after[name] for name in before} == before
    data = {Space.RECORD, Space.VECTOR, Space.COLLECTION, Space.TENANT, Space.KEY, Space.JOB, 0x77}
    assert {key: value for key, value in kept.items() if key[0] in data} == {
        key: value for key, value in after[place].items() if key[0] in data
    }
    assert done.aside is None


def test_the_usage_of_an_owner_with_a_damaged_record_is_left_if_it_can_be_right(path: Path) -> None:
    before = entries(path)
    hurt(path, NOTES, flip(A1, 20))
    assert repair(path).changes == []
    hurt(path, NOTES, put(usage_key(ACME), b"short"))
    assert what_of(repair(path)) == ["totals counted anew", "usages counted anew"]
    assert repair(path).changes == []
    assert entries(path)[NOTES][usage_key(GLOBEX)] == before[NOTES][usage_key(GLOBEX)]


def test_two_points_that_claim_one_id_are_left_to_the_operator(path: Path) -> None:
    twin = Record(b"a1", 1, 1, 0, (), b"", False, 0)
    hurt(path, NOTES, put(record_key(ACME, 1_000), encode_record(twin)))
    repair(path)
    after = files(path)
    done = repair(path)
    assert (done.changes, files(path)) == ([], after)
    assert [fault.what for fault in done.findings.faults] == ["its entry in the index point_id is missing or wrong"]


def test_the_deletion_of_a_tenant_whose_job_failed_is_begun_anew(path: Path) -> None:
    hurt(path, NOTES, flip(A1, 20))
    with opened(path) as driver:
        assert driver.finish_job(driver.run("delete_tenant", None, ("acme",), Empty())).state == "failed"
    assert "it is being deleted, but no job does it" in [fault.what for fault in check_directory(path)]
    done = repair(path, drop_damaged=True)
    assert (done.findings.faults, "deletions of tenants begun anew" in what_of(done)) == ([], True)
    after = files(path)
    assert (repair(path).changes, files(path)) == ([], after)
    with opened(path) as driver:
        job = driver.run("list_jobs", None, (), ListPage()).jobs[-1]
        assert (job.id, driver.finish_job(job).state) == ("job-3", "done")
        assert [tenant.name for tenant in driver.run("list_tenants", None, (), ListPage()).tenants] == [
            "globex",
            "initech",
        ]
    assert check_directory(path) == []


def test_an_alias_that_leads_somewhere_stays(path: Path) -> None:
    hurt(path, CATALOG, drop(name_key(Space.COLLECTION_NAME, "shapes")))
    repair(path)
    with opened(path) as driver:
        assert driver.ids("acme", "figures") == driver.ids("acme", "shapes") == ["triangle", "pentagon"]


# What a repair refuses, or goes on past


def test_a_directory_of_an_older_format_is_migrated_and_repaired(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data", 1)
    hurt(path, NOTES, drop(grant_key(GLOBEX, 0)))
    done = repair(path)
    assert (done.migrated[0], done.findings.faults, examine(path).older) == ("catalog", [], {})


def test_an_older_collection_in_a_newer_directory_is_migrated_before_its_usages_are_counted(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data", 1)
    before = (path / NOTES / "data.mdb").read_bytes()
    repair(path)
    (path / NOTES / "data.mdb").write_bytes(before)
    done = repair(path)
    assert (done.migrated, done.changes, done.findings.faults) == (["collection notes"], [], [])
    assert examine(path).older == {} and repair(path).migrated == []


@pytest.mark.parametrize("place", [CATALOG, NOTES])
def test_a_directory_of_a_newer_format_is_not_repaired(path: Path, place: str) -> None:
    hurt(path, place, put(META_FORMAT, encode_u64(99)))
    before = files(path)
    with pytest.raises(FormatTooNew):
        repair(path)
    assert files(path) == before


def test_a_directory_in_use_or_not_there_is_not_repaired(path: Path) -> None:
    holder = DataDirectory(path)
    with pytest.raises(DirectoryLocked):
        repair(path)
    holder.close()
    with pytest.raises(StorageFailure):
        repair(path.parent / "nowhere")
    assert not (path.parent / "nowhere").exists()


def _cut(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.truncate(8192)


def _overwrite(file: Path) -> None:
    file.write_bytes(b"x" * 8192)


@pytest.mark.parametrize("spoil", [_cut, _overwrite, Path.unlink])
def test_an_environment_that_cannot_be_read_does_not_keep_the_others_from_being_repaired(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    hurt(path, NOTES, drop(grant_key(GLOBEX, 0)))
    spoil(path / SHAPES / "data.mdb")
    done = repair(path)
    assert [change.where for change in done.changes] == ["collection notes"]
    assert [fault.where for fault in done.findings.faults] == ["collection shapes"]


@pytest.mark.parametrize("spoil", [_cut, _overwrite])
def test_a_catalog_that_cannot_be_read_is_not_repaired(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path / CATALOG / "data.mdb")
    with pytest.raises(CorruptData):
        repair(path)
