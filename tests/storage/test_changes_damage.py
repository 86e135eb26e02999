"""`vdb check` finds every damage to the log of changes; a repair drops the log, and takes its index's files along."""

from pathlib import Path

import pytest

from tests.engine.driver import opened
from tests.storage.damage import NOTES, SHAPES, Damage, changing, drop, entries, files, flip, golden_copy, hurt, put
from tests.storage.test_changes import killing
from vdb.errors import CorruptData, DiskFull
from vdb.storage import edits
from vdb.storage.changes import encode_change, read_changes_from
from vdb.storage.check import check_directory
from vdb.storage.codec import encode_u64
from vdb.storage.compact import compact
from vdb.storage.directory import INDEX_FOLDER
from vdb.storage.keyspace import META_CHANGES_FROM, META_N_POINTS, META_SEQUENCE, Space, change_key, record_key
from vdb.storage.offline_backup import back_up
from vdb.storage.repair import repair
from vdb.storage.restore import restore

LAST = 3
"""The sequence of the last write to the golden collection that keeps its log."""

CASES: list[tuple[str, Damage, str]] = [
    ("a bit of a change", flip(change_key(2), 30), "sequence 2: a logged change's checksum does not match its bytes"),
    ("a change cut short", put(change_key(1), b"short"), "a logged change is shorter than its head"),
    ("a key cut short", put(change_key(1)[:9], encode_change(killing(1))), "is of no known space"),
    ("a key of a byte", put(bytes((Space.CHANGE,)), b""), "is of no known space"),
    ("a sequence that never was", put(change_key(LAST + 1), encode_change(killing(1))), "of sequence 4, which was"),
    ("a pid that never was", put(change_key(2, 1), encode_change(killing(4))), "of pid 4, which was never given out"),
    ("a beginning that never was", put(META_CHANGES_FROM, encode_u64(LAST + 2)), "its log begins at sequence 5"),
    ("a beginning cut short", put(META_CHANGES_FROM, b"1"), "the number changes_from is not 8 bytes"),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


def log_of(path: Path, place: str = SHAPES) -> list[bytes]:
    """Keys of the log."""
    return [key for key in entries(path)[place] if key[0] == Space.CHANGE or key == META_CHANGES_FROM]


@pytest.mark.parametrize(("damage", "what"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
@pytest.mark.parametrize("drop_damaged", [False, True])
def test_a_damaged_log_is_found_and_a_repair_drops_all_of_it(
    path: Path, damage: Damage, what: str, drop_damaged: bool
) -> None:
    before = {key: value for key, value in entries(path)[SHAPES].items() if key not in log_of(path)}
    hurt(path, SHAPES, damage)
    faults = check_directory(path)
    assert len(faults) == 1 and faults[0].where == "collection shapes" and what in faults[0].what
    done = repair(path, drop_damaged=drop_damaged)
    assert [(change.where, change.what) for change in done.changes] == [
        ("collection shapes", "the log of changes dropped")
    ]
    assert (done.findings.faults, done.aside, entries(path)[SHAPES]) == ([], None, before)
    after = files(path)
    assert (repair(path).changes, files(path)) == ([], after)


def test_changes_before_the_beginning_and_without_one_are_remainders_and_no_fault(path: Path) -> None:
    hurt(path, SHAPES, put(META_CHANGES_FROM, encode_u64(LAST + 1)))
    assert check_directory(path) == []
    hurt(path, SHAPES, drop(META_CHANGES_FROM))
    assert check_directory(path) == [] and repair(path).changes == []
    assert len(log_of(path)) == 3


def test_a_repair_that_changes_anything_in_a_collection_drops_its_log(path: Path) -> None:
    hurt(path, SHAPES, drop(record_key(1, 0)))
    assert repair(path, drop_damaged=True).findings.faults == []
    assert log_of(path) == []


def test_a_repair_of_one_collection_leaves_the_log_of_another_alone(path: Path) -> None:
    before = log_of(path)
    hurt(path, NOTES, put(META_N_POINTS, encode_u64(7)))
    assert repair(path).findings.faults == []
    assert (len(before), log_of(path)) == (4, before)


def test_a_sequence_that_was_lost_takes_the_log_with_it(path: Path) -> None:
    hurt(path, SHAPES, drop(META_SEQUENCE))
    assert repair(path).findings.faults == []
    assert log_of(path) == []


def test_the_log_is_no_longer_kept_from_the_first_commit_of_a_repair_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurt(path, SHAPES, put(META_N_POINTS, encode_u64(7)))
    commit = edits.Edits.commit

    def cut_short(self: edits.Edits) -> None:
        commit(self)
        if self.done:
            raise DiskFull("no space is left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(edits.Edits, "commit", cut_short)
        with pytest.raises(DiskFull):
            repair(path)
    with changing(path / SHAPES) as txn:
        assert read_changes_from(txn) is None
    assert repair(path).findings.faults == []


def test_a_repair_removes_the_files_of_an_index_that_it_made_wrong(path: Path) -> None:
    for place in (NOTES, SHAPES):
        (path / place / INDEX_FOLDER).mkdir()
        (path / place / INDEX_FOLDER / "x").touch()
    hurt(path, SHAPES, put(META_N_POINTS, encode_u64(7)))
    done = repair(path)
    assert "the index's files removed: they are made anew" in [change.what for change in done.changes]
    assert [(path / place / INDEX_FOLDER).exists() for place in (NOTES, SHAPES)] == [True, False]


def test_a_damaged_beginning_of_the_log_fails_writes_until_it_is_repaired(path: Path) -> None:
    hurt(path, SHAPES, put(META_CHANGES_FROM, b"1"))
    with opened(path) as driver:
        assert driver.ids("acme", "shapes") == ["triangle", "pentagon"]
        with pytest.raises(CorruptData):
            driver.delete("acme", "shapes", ["triangle"])
    repair(path)
    with opened(path) as driver:
        assert driver.delete("acme", "shapes", ["triangle"]) == 1


def test_compaction_backup_and_restore_carry_the_log_unchanged(path: Path, tmp_path: Path) -> None:
    def log(path: Path) -> dict[bytes, bytes]:
        return {key: value for key, value in entries(path)[SHAPES].items() if key in log_of(path)}

    before = log(path)
    compact(path)
    assert log(path) == before
    back_up(path, str(tmp_path / "backups"), "b")
    restore(tmp_path / "backups" / "b", tmp_path / "new")
    assert log(tmp_path / "new") == before and check_directory(tmp_path / "new") == []
    with opened(tmp_path / "new") as driver:
        sequence = driver.upsert("acme", "shapes", ["more"], [[1, 2, 3]])
        assert [logged for logged, _ in driver.logged("shapes")] == [1, 2, 3, sequence] and sequence > 1 << 32
