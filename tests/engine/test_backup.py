"""Online backups: one instant over all collections, one at a time, drafts that nobody sees, names that are no paths."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened
from vdb.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from vdb.protocol.answers import Backup
from vdb.protocol.requests import CreateBackup, Empty, ListPage
from vdb.storage import backup as backup_files
from vdb.storage.check import check_directory
from vdb.storage.directory import remove_folder, sync_folder
from vdb.storage.restore import SEQUENCE_LEAP, restore

N_WRITERS = 3
N_BACKUPS = 4


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    # One environment may be open: a backup holds the others open all the same.
    with opened(tmp_path / "data", backup_dir=str(tmp_path / "backups"), max_open_environments=1) as driver:
        yield driver


def back_up(driver: Driver, name: str) -> Backup:
    made: Backup = driver.run("create_backup", None, (), CreateBackup(name=name))
    return made


def names(driver: Driver, **page: object) -> list[str]:
    found = driver.run("list_backups", None, (), ListPage(**page))  # type: ignore[arg-type]
    return [backup.name for backup in found.backups]


class Writers:
    """Each writes point i to `first`, waits for the answer, then to `second`; `n_answered` is what both have."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._is_over = threading.Event()
        self.n_answered = [0] * N_WRITERS
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(N_WRITERS)]

    def _write(self, number: int) -> None:
        i = 0
        while not self._is_over.is_set():
            for collection in ("first", "second"):
                self._driver.upsert(f"writer{number}", collection, [str(i)], [[number, i]])
            i += 1
            self.n_answered[number] = i

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def test_backups_under_load_hold_one_instant_each(driver: Driver, tmp_path: Path) -> None:
    for collection in ("first", "second"):
        driver.create(collection)
    floors = {}
    with Writers(driver) as writers:
        while not all(writers.n_answered):
            time.sleep(0.001)
        for i in range(N_BACKUPS):
            floors[f"b{i}"] = list(writers.n_answered)
            back_up(driver, f"b{i}")
    for name, floor in floors.items():
        path = tmp_path / f"restored-{name}"
        restore(tmp_path / "backups" / name, path)
        assert check_directory(path) == []
        with opened(path) as restored:
            for number, n_answered in enumerate(floor):
                first, second = (restored.ids(f"writer{number}", there) for there in ("first", "second"))
                assert first == [str(i) for i in range(len(first))]
                assert second == [str(i) for i in range(len(second))]
                assert len(second) >= n_answered and len(first) - len(second) in (0, 1)


def test_writes_after_a_restore_get_sequences_beyond_all_that_were_answered(driver: Driver, tmp_path: Path) -> None:
    driver.create("notes")
    driver.upsert("acme", "notes", ["a"], [[1, 2]])
    made = back_up(driver, "kept")
    later = driver.upsert("acme", "notes", ["b"], [[3, 4]])
    assert [held.sequence for held in made.collections] == [1]
    restore(tmp_path / "backups" / "kept", tmp_path / "new")
    with opened(tmp_path / "new") as restored:
        assert restored.ids("acme", "notes") == ["a"] and restored.found("acme", "notes", [1, 2]) == ["a"]
        assert restored.upsert("acme", "notes", ["c"], [[5, 6]]) == SEQUENCE_LEAP + 2 > later
    assert check_directory(tmp_path / "new") == []


def test_keys_work_after_a_restore(tmp_path: Path) -> None:
    key = "an-admin-key-of-this-test"
    with opened(tmp_path / "data", backup_dir=str(tmp_path / "backups"), admin_key=key) as driver:
        back_up(driver, "kept")
    secret = tmp_path / "backups" / "kept" / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    restore(tmp_path / "backups" / "kept", tmp_path / "new")
    with opened(tmp_path / "new", admin_key=key) as restored:
        assert restored.engine.authenticate(key, None).role == "admin"
    assert (tmp_path / "new" / "secret").read_bytes() == secret.read_bytes()


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a\\b", ".", "..", ".a.draft", "A", "a" * 65, "a\n", "/tmp/a"])
def test_a_name_that_is_none_is_refused(driver: Driver, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        back_up(driver, name)
    assert [problem.pointer for problem in caught.value.problems] == ["/name"]
    for operation in ("get_backup", "delete_backup"):
        with pytest.raises(NotFound):
            driver.run(operation, None, (name,), Empty())
    assert not list((tmp_path / "backups").rglob("*.mdb"))


def test_backups_are_listed_by_page_and_deleted(driver: Driver) -> None:
    for name in ("c", "a", "b"):
        back_up(driver, name)
    assert names(driver) == ["a", "b", "c"]
    assert (names(driver, limit=2), names(driver, cursor="b")) == (["a", "b"], ["c"])
    with pytest.raises(AlreadyExists):
        back_up(driver, "a")
    driver.run("delete_backup", None, ("b",), Empty())
    assert names(driver) == ["a", "c"]


def test_a_backup_loses_its_name_for_good_before_it_loses_a_file(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(driver, "old")
    root = tmp_path / "backups"
    seen: list[tuple[str, bool]] = []

    def noting(name: str, run: Callable[[Path], None]) -> Callable[[Path], None]:
        def noted(path: Path) -> None:
            seen.append((name, (root / ".old.draft").exists()))
            run(path)

        return noted

    for function in (remove_folder, sync_folder):
        monkeypatch.setattr(backup_files, function.__name__, noting(function.__name__, function))
    driver.run("delete_backup", None, ("old",), Empty())
    assert seen == [("remove_folder", False), ("sync_folder", True), ("remove_folder", True)]


def test_a_draft_left_behind_is_ignored_and_swept_by_the_next_backup(driver: Driver, tmp_path: Path) -> None:
    draft = tmp_path / "backups" / ".cut.draft"
    (draft / "catalog").mkdir(parents=True)
    (draft / "catalog" / "data.mdb").write_bytes(b"half")
    assert names(driver) == []
    back_up(driver, "cut")
    assert names(driver) == ["cut"] and not draft.exists()


def test_a_backup_while_another_is_made_is_a_conflict(driver: Driver, tmp_path: Path) -> None:
    back_up(driver, "kept")
    with (tmp_path / "backups" / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            back_up(driver, "another")
        with pytest.raises(Conflict):
            driver.run("delete_backup", None, ("kept",), Empty())
    assert names(driver) == ["kept"]


def test_a_backup_that_fails_leaves_nothing_and_writes_go_on(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.create("notes")

    def fail(*_: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("vdb.storage.backup.sync_file", fail)
    with pytest.raises(Exception, match="no space"):
        back_up(driver, "failed")
    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == [".lock"]
    assert driver.upsert("acme", "notes", ["a"], [[1, 2]]) == 1


@pytest.mark.parametrize("folder", ["", "data", "data/backups"])
def test_without_a_folder_outside_of_the_data_backups_are_refused(tmp_path: Path, folder: str) -> None:
    with (
        opened(tmp_path / "data", backup_dir=folder and str(tmp_path / folder)) as driver,
        pytest.raises(InvalidArgument, match="backups are off"),
    ):
        back_up(driver, "a")


def test_a_deleted_collection_is_not_in_the_backup(driver: Driver, tmp_path: Path) -> None:
    driver.create("notes")
    driver.create("gone")
    driver.run("delete_collection", None, ("gone",), Empty())
    assert [held.name for held in back_up(driver, "kept").collections] == ["notes"]
    restore(tmp_path / "backups" / "kept", tmp_path / "new")
    assert check_directory(tmp_path / "new") == []
