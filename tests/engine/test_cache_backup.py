"""Online backups hold caches too, of the same instant as the collections that their answers were made from."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import Driver, opened
from vdb.protocol.answers import Backup
from vdb.protocol.requests import CreateBackup, Empty
from vdb.storage.check import check_directory
from vdb.storage.restore import restore

N_BEFORE = 5


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with opened(tmp_path / "data", backup_dir=str(tmp_path / "backups")) as made:
        made.create("docs")
        made.create_tenant("acme")
        yield made


def back_up(driver: Driver, name: str) -> Backup:
    made: Backup = driver.run("create_backup", None, (), CreateBackup(name=name))
    return made


def restored(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"restored-{name}"
    restore(tmp_path / "backups" / name, path)
    assert check_directory(path) == []
    return path


def keep(cache: CacheDriver, number: int) -> None:
    """A point, then an answer that was made from it."""
    version = cache.driver.upsert("acme", "docs", [f"p{number}"], [[0, number]])
    found = cache.lookup("acme", f"question {number}", None)
    cache.store("acme", found, f"answer {number}", sources=[source(f"p{number}", version)])


def test_answers_are_served_after_a_restore_unless_they_were_stored_after_the_backup(
    driver: Driver, tmp_path: Path
) -> None:
    cache = CacheDriver.made(driver, {"mode": "exact"})
    for number in range(3):
        keep(cache, number)
    made = back_up(driver, "kept")
    assert [(held.name, held.n_entries) for held in made.caches] == [("answers", 3)]
    keep(cache, 3)
    driver.upsert("acme", "docs", ["p0"], [[9, 9]])
    assert cache.answer("acme", "question 0", None) is None
    with opened(restored(tmp_path, "kept")) as again:
        there = CacheDriver(again)
        answers = [there.answer("acme", f"question {number}", None) for number in range(4)]
        assert answers == ["answer 0", "answer 1", "answer 2", None]
        again.upsert("acme", "docs", ["p1"], [[9, 9]])
        assert there.answer("acme", "question 1", None) is None, "a source that changes after the restore counts"


def test_a_backup_beside_writers_holds_the_sources_of_every_answer_in_it(driver: Driver, tmp_path: Path) -> None:
    cache = CacheDriver.made(driver, {"mode": "exact"})
    is_over, n_kept = threading.Event(), [0]

    def write() -> None:
        while not is_over.is_set():
            keep(cache, n_kept[0])
            n_kept[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    floors = {}
    try:
        for i in range(3):
            while n_kept[0] < N_BEFORE * (i + 1):
                is_over.wait(0.001)
            floors[f"b{i}"] = n_kept[0]
            back_up(driver, f"b{i}")
    finally:
        is_over.set()
        writer.join()
    for name, floor in floors.items():
        with opened(restored(tmp_path, name)) as again:
            there: Any = CacheDriver(again)
            n_entries = len(there.entries("acme"))
            served = [there.answer("acme", f"question {number}", None) for number in range(n_entries)]
            assert served == [f"answer {number}" for number in range(n_entries)], "each source is there, as it was"
            assert n_entries >= floor


def test_a_cache_that_is_deleted_is_in_no_later_backup(driver: Driver, tmp_path: Path) -> None:
    cache = CacheDriver.made(driver, {"mode": "exact"})
    keep(cache, 1)
    driver.run("delete_cache", None, ("answers",), Empty())
    assert back_up(driver, "later").caches == []
    restored(tmp_path, "later")
