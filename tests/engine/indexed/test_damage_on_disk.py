"""Whatever becomes of lists on disk, searches answer exactly and they are made anew; a fold may end at any step."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import Books, indexed_books, opened_books
from tests.engine.indexed.test_damage import flipped, garbage, nothing, truncated
from vdb.engine import attempts, disk_kind, index_saves
from vdb.errors import DiskFull, StorageFailure
from vdb.index.spann.index import SpannIndex
from vdb.storage import lists as lists_module
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Tier

pytestmark = pytest.mark.usefixtures("small_folds")
DISK = Tier.DISK


def folder_of(books: Books) -> Path:
    return books.shard.env.path / "index" / "disk"


def damage_pages(books: Books) -> None:
    """All pages of the generation that answers are others than were written."""
    index = books.index.current
    assert isinstance(index, SpannIndex)
    places = index.state.laid.pages.places.tolist()
    with (folder_of(books) / "lists" / "data.mdb").open("r+b") as file:
        for place in places:
            file.seek(place * 4096 + 500)
            file.write(b"damage")


def test_a_damaged_page_is_never_answered_from_and_is_made_anew(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(5)
        damage_pages(books)
        books.check()
        assert books.path_of() == "exact" and books.index.tier is None
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(told) == 1 and "damaged" in told[0].message
        assert told[0].exc_info is not None and "page" in str(told[0].exc_info[1].__cause__)  # type: ignore[union-attr]
        books.change()
        books.check()
        assert books.work() and books.path_of() == "index" and books.index.n_builds == 2
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index"


def test_a_page_damaged_before_a_start_is_found_by_the_first_search(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        damage_pages(books)
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        assert books.index.take() is not None, "nothing is read of it yet"
        books.check()
        assert books.path_of() == "exact"
    with opened_books(tmp_path / "data", rng, points) as books:
        assert not books.index.is_loadable, "nor is it trusted by the next start"
        assert books.work() and books.path_of() == "index"
        books.check()


def test_a_fold_that_meets_a_damaged_page_gives_the_index_up(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        damage_pages(books)
        books.add(40)
        assert books.work() and books.index.current is None
        assert "damaged" in caplog.text and books.index.n_layouts == 0
        books.check()
        assert books.work() and books.path_of() == "index"
        books.check()


@pytest.mark.parametrize("name", ["layout.vdb", "vectors.vdb", "lists/data.mdb"])
@pytest.mark.parametrize(
    "damage",
    [Path.unlink, nothing, garbage, truncated(10), truncated(5000), flipped(0.0)],
    ids=["missing", "empty", "garbage", "head cut", "cut short", "magic flipped"],
)
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, rng: np.random.Generator, name: str, damage: Callable[[Path], Any]
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        books.change()
        points, path = books.points, folder_of(books) / name
    damage(path)
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        if books.path_of() != "index":  # a byte of the file's that LMDB does not look at
            assert books.work() and books.path_of() == "index" and books.index.n_builds == 1
        for _ in range(5):
            books.change()
            books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index"


FULL, FAILED = DiskFull("the disk is full"), StorageFailure("the disk does not answer")


@pytest.mark.parametrize("error", [FULL, FAILED, MemoryError()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "target",
    [
        "vdb.engine.list_files.save_arrays",
        "vdb.storage.vectors_file.VectorsFile.put",
        "vdb.storage.lists.Lists.write_pages",
        "vdb.storage.lists.Lists.write_head",
    ],
)
def test_a_build_that_fails_leaves_no_files_and_is_tried_again(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, target: str, error: Exception
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(attempts, "FIRST_WAIT_S", 0)
    with opened_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(60)
        with monkeypatch.context() as patched:
            patched.setattr(target, fail)
            for _ in range(2):
                with pytest.raises(type(error)):
                    books.work()
                assert target.endswith("save_arrays") or not folder_of(books).exists()
                books.change()
                books.check()
                assert books.path_of() == "exact" and books.index.state == "absent"
        assert books.work() and books.path_of() == "index"
        books.check()


@pytest.mark.parametrize(
    "target",
    [
        "vdb.engine.list_files.save_arrays",
        "vdb.storage.lists.Lists.write_pages",
        "vdb.storage.lists.Lists.write_head",
        "vdb.storage.vectors_file.VectorsFile.mark",
    ],
)
def test_a_fold_that_fails_loses_nothing(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    def fail(*given: object) -> None:
        raise FULL

    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        books.add(30)
        with monkeypatch.context() as patched:
            patched.setattr(target, fail)
            with pytest.raises(DiskFull):
                books.work()
        for _ in range(10):
            books.change()
            books.check()
            books.work()
        assert books.path_of() == "index"
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index" and books.index.n_builds == 0
        books.add(40)
        while books.work():
            pass
        books.check()
        lists: Any = books.index._kinds.disk.files.lists
        books.work()
        assert len(lists.generations()) == 1


def test_a_vector_that_cannot_be_written_drops_the_index_and_searches_go_on(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise FULL

    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        with monkeypatch.context() as patched:
            patched.setattr(VectorsFile, "put", fail)
            for _ in range(5):
                books.add(2)
                books.check()
                assert books.path_of() == "exact"
        assert books.work() and books.path_of() == "index"
        books.check()


STEPS = (
    (Lists, "write_pages"),
    (Lists, "write_head"),
    (Lists, "_remove_some"),
    (VectorsFile, "mark"),
    (index_saves.IndexSaves, "save"),
    (index_saves.IndexSaves, "trim"),
    (disk_kind, "write_lists"),
)


def test_a_crash_at_any_step_of_a_fold_loses_nothing(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of the directory, before and after each step, are what a crash there leaves."""
    copies: list[tuple[Path, dict[Any, Any]]] = []
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        for _ in range(25):
            books.change()

        def crash(name: str) -> None:
            path = tmp_path / f"{len(copies)}-{name}"
            shutil.copytree(tmp_path / "data", path, ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
            copies.append((path, dict(books.points)))

        def crashing(name: str, do: Any) -> Any:
            def done(*given: Any, **named: Any) -> Any:
                crash(f"before-{name}")
                outcome = do(*given, **named)
                crash(f"after-{name}")
                return outcome

            return done

        monkeypatch.setattr(lists_module, "STEP_PAGES", 1)
        with monkeypatch.context() as patched:
            for owner, name in STEPS:
                patched.setattr(owner, name, crashing(name.strip("_"), getattr(owner, name)))
            books.add(20)
            while books.work():
                pass
            books.work()
        assert books.index.n_layouts == 1
    for name in ("write_pages", "remove_some", "trim", "write_lists"):
        assert any(name in path.name for path, _ in copies), f"no crash beside {name}"
    for path, points in copies:
        with opened_books(path, rng, points) as books:
            books.check()
            assert books.path_of() == "index" and books.index.n_builds == 0, path.name
            for _ in range(4):
                books.change()
                books.work()
                books.check()
            books.work()
            lists: Any = books.index._kinds.disk.files.lists
            assert len(lists.generations()) == 1, path.name


def test_a_grant_of_a_point_whose_page_is_damaged_is_made(tmp_path: Path, rng: np.random.Generator) -> None:
    """What the index cannot take in is in the store all the same: it is made anew."""
    with indexed_books(tmp_path / "data", rng, tier=DISK) as books:
        damage_pages(books)
        mine = [point_id for owner, point_id in books.points if owner == "acme"]
        books.share("acme", mine, "initech")
        books.check()
        while books.work():
            pass
        assert books.path_of() == "index" and books.index.n_builds == 2
        books.check(100)
