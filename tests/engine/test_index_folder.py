"""Files derived from a collection lie in its folder, and nobody but their owner minds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.driver import Driver, opened
from tests.engine.test_shards import delete, set_state
from vdb.protocol.requests import CreateBackup, Empty
from vdb.storage.check import check_directory
from vdb.storage.compact import compact
from vdb.storage.directory import DataDirectory
from vdb.storage.offline_backup import back_up
from vdb.storage.restore import restore

FILES = ("rows.arrays", "vectors", "rows.arrays.draft")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def driver(data: Path, tmp_path: Path) -> Iterator[Driver]:
    with opened(data, backup_dir=str(tmp_path / "backups")) as driver:
        driver.create("c")
        driver.upsert("acme", "c", ["a"], [[1, 0]])
        yield driver


def index_of(data: Path) -> Path:
    """The index folder of the first collection."""
    return data / "collections" / "00000001" / "index"


def leave_files(data: Path) -> None:
    index_of(data).mkdir(parents=True)
    for name in FILES:
        (index_of(data) / name).write_bytes(b"x" * 10_000)


def test_the_folder_is_inside_that_of_its_collection(data: Path) -> None:
    directory = DataDirectory(data)
    assert directory.index_path(1) == index_of(data)
    assert directory.index_path(1).parent == directory.collection_path(1)
    directory.close()


def test_a_deleted_collection_takes_its_index_along(driver: Driver, data: Path) -> None:
    leave_files(data)
    delete(driver, "c")
    assert list((data / "collections").iterdir()) == []


@pytest.mark.parametrize("state", ["creating", "deleting"])
def test_a_collection_half_made_or_half_removed_is_swept_with_its_index(data: Path, state: str) -> None:
    with opened(data) as driver:
        driver.create("c")
    leave_files(data)
    set_state(data, 1, state, drops_name=state == "deleting")
    assert check_directory(data) == []
    with opened(data):
        assert list((data / "collections").iterdir()) == []


def test_an_index_alone_of_a_collection_half_removed_is_swept(data: Path) -> None:
    with opened(data) as driver:
        driver.create("c")
    leave_files(data)
    for file in index_of(data).parent.glob("*.mdb"):
        file.unlink()
    set_state(data, 1, "deleting", drops_name=True)
    assert check_directory(data) == []
    with opened(data):
        assert list((data / "collections").iterdir()) == []


def test_a_backup_holds_no_index_online_or_offline(driver: Driver, data: Path, tmp_path: Path) -> None:
    leave_files(data)
    driver.run("create_backup", None, (), CreateBackup(name="online"))
    driver.engine.close()
    back_up(data, str(tmp_path / "backups"), "offline")
    for name in ("online", "offline"):
        held = [path.name for path in (tmp_path / "backups" / name / "collections" / "00000001").iterdir()]
        assert held == ["data.mdb"]
        restore(tmp_path / "backups" / name, tmp_path / name)
        assert not index_of(tmp_path / name).exists() and check_directory(tmp_path / name) == []
        with opened(tmp_path / name) as restored:
            assert restored.ids("acme", "c") == ["a"]


def test_compaction_leaves_the_index_as_it_is(data: Path) -> None:
    with opened(data) as driver:
        driver.create("c")
    leave_files(data)
    compact(data)
    assert sorted(path.name for path in index_of(data).iterdir()) == sorted(FILES)
    assert (index_of(data) / FILES[0]).read_bytes() == b"x" * 10_000


def test_the_check_has_nothing_against_an_index(data: Path) -> None:
    with opened(data) as driver:
        driver.create("c")
    assert check_directory(data) == []
    leave_files(data)
    assert check_directory(data) == []


def test_statistics_and_quotas_do_not_count_the_index(driver: Driver, data: Path) -> None:
    def figures() -> tuple[object, object]:
        stored = driver.run("collection_stats", None, ("c",), Empty()).stored
        return stored, driver.tenant("acme").usage

    before = figures()
    leave_files(data)
    assert figures() == before


def test_a_collection_opens_with_an_index_and_without(data: Path) -> None:
    with opened(data) as driver:
        driver.create("c")
        driver.upsert("acme", "c", ["a"], [[1, 0]])
    leave_files(data)
    for _ in range(2):
        with opened(data) as driver:
            assert driver.found("acme", "c", [1, 0]) == ["a"]
        for name in FILES:
            (index_of(data) / name).unlink(missing_ok=True)
