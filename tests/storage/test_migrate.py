"""Migrations: an older directory becomes one of this release's format, wholly, or at the next start."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.driver import opened
from tests.storage.damage import CATALOG, NOTES, SHAPES, changing, entries, flip, golden_copy
from vdb.config import MIB
from vdb.errors import CorruptData, DiskFull, FormatTooNew
from vdb.storage import migrate
from vdb.storage.backup import BackupFolder
from vdb.storage.check import check_directory, examine
from vdb.storage.codec import FORMAT_VERSION, Record, Usage, encode_record, encode_u64
from vdb.storage.compact import compact
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import (
    META_FORMAT,
    META_NEXT_PID,
    META_RELEASE,
    META_UPGRADING,
    record_key,
    usage_key,
)
from vdb.storage.meta import read_number, release_name, release_number, write_number
from vdb.storage.migrate import CACHE_STEPS, CATALOG_STEPS, COLLECTION_STEPS, upgrade
from vdb.storage.offline_backup import back_up
from vdb.storage.points import read_totals, read_usage
from vdb.storage.restore import restore
from vdb.storage.usages import count_usages

PLACES = ["catalog", "collection notes", "collection shapes"]
CACHES = ["cache answers"]
N_STEPS = len(PLACES) * len(COLLECTION_STEPS)
ACME, GLOBEX, INITECH = 1, 2, 3

KILLED_AT = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
from vdb.storage import env
from vdb.storage.directory import DataDirectory
from vdb.storage.migrate import upgrade

path, last, is_done = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"
write, n = env.Environment.write, 0

@contextmanager
def killing(self):
    global n
    n += 1
    with write(self) as txn:
        yield txn
        if n == last and not is_done:
            os._exit(9)
    if n == last:
        os._exit(9)

env.Environment.write = killing
upgrade(DataDirectory(path), map_bytes=1 << 20, max_map_bytes=1 << 30)
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory of format 1."""
    return golden_copy(tmp_path / "data", 1)


def upgraded(path: Path, **sizes: int) -> list[str]:
    directory = DataDirectory(path)
    try:
        return upgrade(directory, **{"map_bytes": MIB, "max_map_bytes": 64 * MIB} | sizes)
    finally:
        directory.close()


@contextmanager
def reading(path: Path) -> Iterator[Transaction]:
    env = Environment(path, map_bytes=MIB, max_map_bytes=MIB, read_only=True)
    with env.read() as txn:
        yield txn
    env.close()


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("data.mdb")}


def test_every_format_before_this_one_has_a_step() -> None:
    assert set(CACHE_STEPS) == set(range(4, FORMAT_VERSION)), "caches came with format 4"
    assert set(CATALOG_STEPS) == set(COLLECTION_STEPS) == set(range(1, FORMAT_VERSION))


def test_an_upgrade_migrates_every_environment_once(old: Path) -> None:
    assert upgraded(old) == PLACES
    after = files(old)
    assert upgraded(old) == [] and files(old) == after
    with reading(old / CATALOG) as txn:
        assert (read_number(txn, META_FORMAT), txn.get(META_UPGRADING)) == (FORMAT_VERSION, None)
        assert release_name(read_number(txn, META_RELEASE)).count(".") == 2


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_upgrade_from_later_formats_changes_the_number_and_nothing_else(tmp_path: Path, version: int) -> None:
    path = golden_copy(tmp_path / "data", version)
    before = entries(path)
    assert upgraded(path) == PLACES + (CACHES if version == 4 else [])
    for place, stored in entries(path).items():
        assert stored.pop(META_FORMAT) == encode_u64(FORMAT_VERSION)
        assert before[place].pop(META_FORMAT) == encode_u64(version)
        assert stored == before[place]


def test_usages_are_broken_down_and_summed(old: Path) -> None:
    upgraded(old)
    with reading(old / NOTES) as txn:
        acme, globex, initech = (read_usage(txn, owner) for owner in (ACME, GLOBEX, INITECH))
        assert (acme.points, acme.vectors, acme.grants) == (5, 4, 3)
        assert (globex.points, globex.grants, initech) == (4, 1, Usage(3, 3, 6, 3 * len('{"draft":false}'), 0))
        assert read_totals(txn) == acme.plus(globex).plus(initech)
        assert [(owner, usage) for owner, usage, _ in count_usages(txn)] == [(1, acme), (2, globex), (3, initech)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("last", range(1, N_STEPS + 2))
def test_a_migration_that_is_killed_goes_on_at_the_next_start(old: Path, last: int, moment: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AT, str(old), str(last), moment], check=False)
    assert killed.returncode == 9
    with reading(old / CATALOG) as txn:
        n_done = last - (moment == "before")
        version = min(1 + n_done, FORMAT_VERSION)
        assert read_number(txn, META_FORMAT) == version, "an older release must refuse it"
        assert (txn.get(META_UPGRADING) is not None) == (0 < n_done <= N_STEPS)
    assert check_directory(old) == [], "what is there is of one format or another"
    assert upgraded(old) == PLACES[n_done // len(COLLECTION_STEPS) :]
    findings = examine(old)
    assert (findings.faults, findings.older) == ([], {})
    assert upgraded(old) == []


@pytest.mark.parametrize("environment", [CATALOG, NOTES, SHAPES])
def test_a_directory_of_a_newer_format_is_refused_untouched(old: Path, environment: str) -> None:
    with changing(old / environment) as txn:
        write_number(txn, META_FORMAT, FORMAT_VERSION + 1)
        write_number(txn, META_RELEASE, release_number("3.14.1"))
    before = files(old)
    with pytest.raises(FormatTooNew, match=r"has format 7; .* reads up to 6: install vdb 3\.14\.1, which made it, or"):
        upgraded(old)
    assert files(old) == before


def test_a_newer_format_without_a_release_is_refused_all_the_same(old: Path) -> None:
    with changing(old / CATALOG) as txn:
        write_number(txn, META_FORMAT, FORMAT_VERSION + 1)
    with pytest.raises(FormatTooNew, match="install a newer release"):
        upgraded(old)


def test_without_free_disk_nothing_is_begun(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(old)
    monkeypatch.setattr(Environment, "free_disk_bytes", lambda _: migrate.ROOM_BYTES - 1)
    with pytest.raises(DiskFull, match="nothing was changed"):
        upgraded(old)
    assert files(old) == before


def test_a_disk_that_fills_up_meanwhile_leaves_what_the_next_start_goes_on_with(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(txn: Transaction) -> None:
        txn.put(usage_key(ACME), b"half done")
        raise DiskFull("no space is left on the disk")

    with monkeypatch.context() as patched:
        patched.setitem(COLLECTION_STEPS, 1, fail)
        with pytest.raises(DiskFull, match="free some and start again"):
            upgraded(old)
    assert check_directory(old) == []
    assert upgraded(old) == PLACES[1:]


def many_owners(path: Path, n: int) -> None:
    """Make a collection of format 1 in which the owners 1,000 and up have a point each."""
    with changing(path) as txn:
        for owner in range(1_000, 1_000 + n):
            record = Record(b"x" * 200, 1, 1, 0, (), b"", False, 0)
            txn.put(record_key(owner, owner), encode_record(record))
        write_number(txn, META_NEXT_PID, 1_000 + n)


def test_the_map_grows_in_a_migration_and_the_step_is_made_again(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.storage.damage.Environment", lambda path, **_: Environment(path, map_bytes=64 * MIB, max_map_bytes=MIB)
    )
    many_owners(old / NOTES, 20_000)
    n_tries = 0
    step = COLLECTION_STEPS[1]

    def counting(txn: Transaction) -> None:
        nonlocal n_tries
        n_tries += 1
        step(txn)
        for i in range(300 * n_tries if n_tries < 3 else 0):
            txn.put(b"\x77%06d" % i, b"x" * 100_000)

    monkeypatch.setitem(COLLECTION_STEPS, 1, counting)
    assert upgraded(old) == PLACES and n_tries > 3
    with reading(old / NOTES) as txn:
        assert (read_totals(txn).points, read_usage(txn, 20_999).id_bytes) == (12 + 20_000, 200)
        assert txn.get(b"\x77%06d" % 0) is None


def test_a_map_that_cannot_grow_any_more_is_a_full_disk(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overfill(txn: Transaction) -> None:
        for i in range(1_000):
            txn.put(b"\x77%06d" % i, b"x" * 100_000)

    monkeypatch.setattr(migrate, "ROOM_BYTES", MIB)
    monkeypatch.setitem(COLLECTION_STEPS, 1, overfill)
    with pytest.raises(DiskFull, match="raise max_map_bytes"):
        upgraded(old, max_map_bytes=20 * MIB)
    assert check_directory(old) == []


def test_owners_are_counted_in_portions(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.storage.from_format_1.OWNERS_AT_ONCE", 2)
    upgraded(old)
    assert check_directory(old) == []


def test_a_damaged_record_is_migrated_as_a_point_of_which_nothing_is_known(old: Path) -> None:
    with changing(old / NOTES) as txn:
        flip(record_key(ACME, 0), 20)(txn)
    assert upgraded(old) == PLACES
    with reading(old / NOTES) as txn:
        assert (read_usage(txn, ACME).points, read_usage(txn, ACME).vectors) == (5, 3)
    assert [fault.what for fault in check_directory(old)][:1] == ["a record's checksum does not match its bytes"]


def test_a_collection_that_cannot_be_migrated_is_left_as_it_is_until_it_can(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (old / SHAPES / "data.mdb").read_bytes()
    (old / SHAPES / "data.mdb").write_bytes(whole[:8192])
    assert upgraded(old) == PLACES[:2]
    assert "collection shapes cannot be migrated and is left as it is" in caplog.text
    (old / SHAPES / "data.mdb").write_bytes(whole)
    assert upgraded(old) == PLACES[2:]
    assert (check_directory(old), examine(old).older) == ([], {})


def test_a_collection_that_is_no_environment_does_not_keep_the_others_from_being_served(old: Path) -> None:
    (old / SHAPES / "data.mdb").write_bytes(b"x" * 8192)
    for _ in range(2):
        with opened(old) as driver:
            assert driver.ids("acme", "notes")[0] == "a1"
            with pytest.raises(CorruptData):
                driver.ids("acme", "shapes")


def test_a_missing_environment_does_not_keep_the_others_from_being_migrated(old: Path) -> None:
    (old / SHAPES / "data.mdb").unlink()
    assert upgraded(old) == PLACES[:2]


def test_an_older_collection_put_into_the_directory_is_migrated_at_its_first_use(old: Path) -> None:
    before = (old / NOTES / "data.mdb").read_bytes()
    upgraded(old)
    (old / NOTES / "data.mdb").write_bytes(before)
    assert examine(old).older == {"collection notes": 1}
    with opened(old) as driver:
        assert driver.upsert("acme", "notes", ["more"]) == 13
    assert (check_directory(old), examine(old).older) == ([], {})


def test_a_start_says_what_it_migrates(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vdb.storage.migrate"):
        for _ in range(2):
            with opened(old):
                pass
    assert [record.getMessage() for record in caplog.records if record.name == "vdb.storage.migrate"] == [
        f"{place} is migrated from format {version} to {version + 1}"
        for place in PLACES
        for version in range(1, FORMAT_VERSION)
    ]


def test_a_backup_of_an_older_directory_is_migrated_when_it_is_restored(old: Path, tmp_path: Path) -> None:
    back_up(old, str(tmp_path / "backups"), "b")
    assert BackupFolder(tmp_path / "backups").manifest("b").collections[0].n_points == 12
    restore(tmp_path / "backups" / "b", tmp_path / "new")
    assert (check_directory(tmp_path / "new"), examine(tmp_path / "new").older) == ([], {})
    assert set(examine(old).older) == set(PLACES), "a backup changes nothing"
    with opened(tmp_path / "new") as driver:
        assert driver.count("acme", "notes") == 5


def test_an_older_directory_is_compacted_as_it_is(old: Path) -> None:
    compact(old)
    assert (check_directory(old), set(examine(old).older)) == ([], set(PLACES))
