"""Whatever becomes of an index's files, or of the disk under them, searches answer exactly and it is made anew."""

import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import D, opened_books
from tests.engine.indexed.books import indexed_books as indexed
from vdb.engine import attempts, ram_kind
from vdb.engine.index_loading import Loader
from vdb.errors import DiskFull, StorageFailure
from vdb.index.curator import index as curator_index
from vdb.index.curator import upkeep
from vdb.storage.changes import drop_changes, stop_changes
from vdb.storage.keyspace import vector_key
from vdb.storage.vectors_file import VectorsFile


def truncated(n_bytes: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:n_bytes])

    return damage


def flipped(share: float) -> Callable[[Path], None]:
    """One byte is another."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(share * (len(data) - 1))] ^= 0xFF
        path.write_bytes(data)

    return damage


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["layout.vdb", "vectors.vdb"])
@pytest.mark.parametrize(
    "damage",
    [Path.unlink, nothing, garbage, truncated(10), truncated(5000), flipped(0.0)],
    ids=["missing", "empty", "garbage", "head cut", "cut short", "magic flipped"],
)
def test_a_damaged_file_is_made_anew(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], Any]
) -> None:
    with indexed(tmp_path / "data", rng) as books:
        books.change()
        points, path = books.points, books.shard.env.path / "index" / name
    damage(path)
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "exact"
        assert damage is Path.unlink or "an index is made anew" in caplog.text
        assert books.work() and books.path_of() == "index" and books.index.n_builds == 1
        for _ in range(5):
            books.change()
            books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_no_flipped_byte_of_a_layout_makes_a_wrong_answer(
    tmp_path: Path, rng: np.random.Generator, share: float
) -> None:
    with indexed(tmp_path / "data", rng) as books:
        points, path = books.points, books.shard.env.path / "index" / "layout.vdb"
    flipped(share)(path)
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index" or (books.work() and books.path_of() == "index")
        books.check()


def test_a_log_that_starts_too_late_or_is_not_kept_makes_the_index_anew(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    for spoil in (lambda group: drop_changes(group.txn, group.sequence, 1000), lambda group: stop_changes(group.txn)):
        caplog.clear()
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        with indexed(path, rng) as books:
            for _ in range(5):
                books.add(2)
            books.driver.write("books", spoil)
            points = books.points
        with opened_books(path, rng, points) as books:
            books.check()
            assert books.path_of() == "exact" and "an index is made anew" in caplog.text
            assert books.work() and books.path_of() == "index"
            books.check()


def test_files_of_another_collection_are_not_taken(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed(tmp_path / "other", rng) as books:
        others = {path.name: path.read_bytes() for path in (books.shard.env.path / "index").iterdir()}
    with indexed(tmp_path / "data", rng) as books:
        books.change()
        points, folder = books.points, books.shard.env.path / "index"
    for name, data in others.items():
        (folder / name).write_bytes(data)
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "exact" and books.work() and books.path_of() == "index"
        books.check()


def test_files_of_another_dimension_are_not_taken(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed(tmp_path / "data", rng) as books:
        points, folder = books.points, books.shard.env.path / "index"
        books.driver.create("wide", D + 1)
        books.driver.upsert("acme", "wide", [str(i) for i in range(100)], rng.standard_normal((100, D + 1)))
        services = books.driver.engine.services
        with services.shards.use(services.usable(books.driver.caller(None), "wide")) as wide:
            assert wide.index.work()
            others = {path.name: path.read_bytes() for path in (wide.env.path / "index").iterdir()}
    for names in (["layout.vdb"], ["vectors.vdb"], list(others)):
        for name in names:
            (folder / name).write_bytes(others[name])
        with opened_books(tmp_path / "data", rng, points) as books:
            books.check()
            assert books.path_of() == "exact"
            assert books.work() and books.path_of() == "index"


FULL = DiskFull("the disk is full")
FAILED = StorageFailure("the disk does not answer")


@pytest.mark.parametrize("error", [FULL, FAILED, MemoryError()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("target", ["vdb.engine.index_files.save_arrays", "vdb.storage.vectors_file.VectorsFile.put"])
def test_a_build_that_fails_is_tried_again(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, target: str, error: Exception
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(attempts, "FIRST_WAIT_S", 0)
    with opened_books(tmp_path / "data", rng) as books:
        books.add(60)
        with monkeypatch.context() as patched:
            patched.setattr(target, fail)
            for _ in range(2):
                with pytest.raises(type(error)):
                    books.work()
                books.change()
                books.check()
                assert books.path_of() == "exact" and books.index.state == "absent"
        assert books.work() and books.path_of() == "index"
        books.check()


def test_a_layout_that_cannot_be_saved_serves_and_a_restart_takes_the_one_before(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)

    def fail(*given: object) -> None:
        raise FULL

    with indexed(tmp_path / "data", rng) as books:
        for _ in range(30):
            books.change()
        with monkeypatch.context() as patched:
            patched.setattr("vdb.engine.index_files.save_arrays", fail)
            with pytest.raises(DiskFull):
                books.work()
        for _ in range(10):
            books.change()
            books.check()
        assert books.path_of() == "index"
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index" and books.index.n_builds == 0


def test_a_vector_that_cannot_be_written_drops_the_index_and_searches_go_on(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise FULL

    with indexed(tmp_path / "data", rng) as books:
        with monkeypatch.context() as patched:
            patched.setattr(VectorsFile, "put", fail)
            for _ in range(5):
                books.add(2)
                books.check()
                assert books.path_of() == "exact"
        assert books.work() and books.path_of() == "index"
        books.check()


def test_a_folder_that_cannot_be_written_leaves_searches_exact(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **named: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(attempts, "FIRST_WAIT_S", 0)
    with indexed(tmp_path / "data", rng) as books:
        points, layout = books.points, books.shard.env.path / "index" / "layout.vdb"
    garbage(layout)
    with opened_books(tmp_path / "data", rng, points) as books:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", fail)
            books.check()
            assert books.path_of() == "exact"
            with pytest.raises((PermissionError, StorageFailure)):
                books.work()
            books.check()
        assert books.work() and books.path_of() == "index"


def test_a_failed_commit_drops_the_index_and_it_is_loaded_again(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with indexed(tmp_path / "data", rng) as books:
        for _ in range(5):
            books.change()

        def fail(group: Any) -> None:
            raise StorageFailure("the disk does not answer")

        with pytest.raises(StorageFailure):
            books.driver.write("books", fail)
        assert books.index.current is None
        books.check()
        assert books.path_of() == "index" and books.index.n_builds == 1
        for _ in range(10):
            books.change()
            books.check()


def test_an_index_dropped_while_it_loads_is_loaded_again(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search that was loading it answered 500."""
    with indexed(tmp_path / "data", rng) as books:
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        read = Loader._read

        def dropped(self: Loader, kind: Any) -> Any:
            found = read(self, kind)
            books.index.drop()
            return found

        with monkeypatch.context() as patched:
            patched.setattr(Loader, "_read", dropped)
            books.check()
            assert books.path_of() == "exact"
        books.check()
        assert books.path_of() == "index"


@pytest.mark.parametrize("step", ["ram_kind.read_points", "tuner.trained", "ram_kind.write_index"])
def test_an_index_dropped_while_it_is_built_is_there_soon(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(80)
        index = books.index
        target = f"vdb.engine.{step}"
        done = pkgutil.resolve_name(target)

        def dropped(*given: Any) -> Any:
            outcome = done(*given)
            index.drop()
            books.change()
            books.check()
            return outcome

        with monkeypatch.context() as patched:
            patched.setattr(target, dropped)
            assert not books.work()
        books.check()
        assert books.work() or books.path_of() == "index"
        books.check()


def test_an_index_dropped_while_it_is_laid_out_does_not_come_back_stale(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed(tmp_path / "data", rng) as books:
        for _ in range(30):
            books.change()
        laid_out = upkeep.laid_out

        def dropped(*given: Any) -> Any:
            outcome = laid_out(*given)
            books.index.drop()
            for _ in range(3):
                books.change()
                books.check()
            assert books.path_of() == "exact", "a search waits for the layout"
            return outcome

        with monkeypatch.context() as patched:
            patched.setattr(ram_kind, "laid_out", dropped)
            books.work()
        books.check()
        assert books.path_of() == "index"
        assert books.work()
        books.check()


def test_a_damaged_vector_is_not_taken_up_from_the_log(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed(tmp_path / "data", rng) as books:
        (point_id,) = books.add(1)
        acme = books.driver.caller("acme").tenant_id or 0
        with books.shard.env.read() as txn:
            pid = next(iter(books.driver.logged("books")))[1].pids.tolist()[0]
            assert txn.get(vector_key(acme, pid))
        far = np.full(D, 1000, "<f4")
        books.driver.write("books", lambda group: group.txn.put(vector_key(acme, pid), far.tobytes()))
        del books.points["acme", point_id]
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index"
        assert books.driver.found("acme", "books", far, 1) != [point_id]
