"""An index is made in the background, kept up, laid out, loaded and given up, and searches are right."""

import mmap
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened, wait_until
from tests.engine.indexed.books import FROM, TENANTS, Books, indexed_books, opened_books
from vdb.engine import choosing, index_files, indexer, ram_kind, shard_index, tuner
from vdb.engine.shard_index import ShardIndex
from vdb.index.curator import index as curator_index
from vdb.index.curator import upkeep
from vdb.index.curator.index import CuratorIndex
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import Empty
from vdb.storage.changes import count_changes
from vdb.storage.check import check_directory


def n_logged(books: Books) -> int:
    with books.shard.env.read() as txn:
        return count_changes(txn)


def test_a_collection_starts_exact_and_becomes_indexed(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(FROM - 1)
        assert not books.work() and books.path_of() == "exact" and books.index.state == "absent"
        books.add(1)
        assert books.work() and books.path_of() == "index" and books.index.state == "ready"
        assert books.index.n_builds == 1 and not books.work()
        books.check()


def test_writes_of_every_kind_are_found_by_the_index(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(60):
            books.change()
            books.check()
        assert books.path_of() == "index" and books.index.n_builds == 1


def test_layouts_happen_between_writes(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(60):
            books.change()
            books.work()
            books.check()
        assert books.index.n_layouts > 2 and books.index.n_builds == 1
        assert n_logged(books) < 60


def test_what_is_written_during_a_build_is_in_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(100)
        write_index = index_files.write_index

        def busy(*given: Any) -> None:
            for _ in range(20):
                books.change()
                books.check()
            assert books.path_of() == "exact" and books.index.state == "building"
            write_index(*given)

        monkeypatch.setattr(ram_kind, "write_index", busy)
        assert books.work() and books.path_of() == "index"
        books.check()


def test_a_build_holds_no_transaction_while_it_trains(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its end the file would grow by what is written, and could not get a larger map."""
    with opened_books(tmp_path / "data", rng) as books:
        books.add(100)
        trained = choosing.trained

        def looked(*given: Any) -> Any:
            with books.shard.env._gate.exclusive():  # nobody is inside
                return trained(*given)

        monkeypatch.setattr(tuner, "trained", looked)
        assert books.work() and books.path_of() == "index"


def test_what_is_written_during_a_layout_is_in_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(20):
            books.change()
        laid_out = upkeep.laid_out

        def busy(*given: Any) -> Any:
            for _ in range(10):
                books.change()
            outcome = laid_out(*given)
            for _ in range(10):
                books.change()
                books.check()
            return outcome

        monkeypatch.setattr(ram_kind, "laid_out", busy)
        assert books.work() and books.index.n_layouts == 1
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index" and books.index.n_builds == 0


def test_a_restart_loads_and_takes_up_what_was_written_since(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(40):
            books.change()
        points = books.points
    for _ in range(3):
        with opened_books(tmp_path / "data", rng, points) as books:
            books.check()
            assert books.path_of() == "index" and books.index.n_builds == 0
            for _ in range(10):
                books.change()
                books.check()
    assert check_directory(tmp_path / "data") == []


def test_a_deleted_tenant_is_gone_from_a_loaded_index(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        books.driver.finish_job(books.driver.run("delete_tenant", None, ("initech",), Empty()))
        books.points = {key: value for key, value in books.points.items() if key[0] != "initech"}
        gone = [name for name in TENANTS if name != "initech"]
        for tenant in gone:
            assert {hit.owner for hit in books.driver.search(tenant, "books", [0] * 6, 200)} <= {"acme", "globex"}
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        assert books.path_of() == "index"
        for tenant in gone:
            hits = books.driver.search(tenant, "books", [0] * 6, 300)
            assert {(hit.owner, hit.id) for hit in hits} == set(books.seen_by(tenant))


def test_the_log_is_trimmed_after_a_layout(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        assert n_logged(books) == 0
        for _ in range(50):
            books.add(1)
        assert n_logged(books) == 50
        assert books.work() and n_logged(books) == 0


def test_a_collection_that_shrinks_gives_its_index_up(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        for tenant in TENANTS:
            mine = [point_id for owner, point_id in books.points if owner == tenant]
            books.delete(tenant, mine[5:])
        books.check()
        assert books.work() and books.path_of() == "exact" and books.index.state == "absent"
        books.check()
        books.add(3)
        assert n_logged(books) == 0 and not books.work()
        assert list((books.shard.env.path / "index").iterdir()) == []
        books.add(FROM)
        assert books.work() and books.path_of() == "index"
        books.check()


def test_a_server_without_indexes_keeps_no_log_for_one(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        points = books.points
    with opened_books(tmp_path / "data", rng, points, index_from_points=0) as books:
        books.check()
        assert books.path_of() == "exact"
        assert books.work() and not books.work()
        books.add(5)
        assert n_logged(books) == 0
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.work() and books.index.n_builds == 1
        books.check()


def test_an_index_that_misses_many_writes_is_loaded_before_it_is_searched(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_index, "MOST_MISSED", 30)
    with indexed_books(tmp_path / "data", rng) as books:
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.add(30)
        assert not books.work() and books.index.is_loadable
        books.add(1)
        assert books.work() and books.index.current is not None
        books.check()


def test_an_index_rests_on_its_file_however_it_came_about(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a build or a layout left in memory took as much again as after a restart."""
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)

    def is_mapped(array: Any) -> bool:
        while isinstance(array, np.ndarray):
            array = array.base
        return isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap)

    def check_mapped(current: CuratorIndex) -> None:
        rows, directories, model = current.state.rows, current.state.directories, current.state.model
        arrays = [rows.codes, rows.pids, rows.slots, rows.owners, rows.cells, model.centroid]
        assert all(map(is_mapped, [*arrays, directories.listed, directories.spans]))

    with indexed_books(tmp_path / "data", rng) as books:
        check_mapped(books.in_ram)
        for _ in range(30):
            books.change()
        assert books.work() and books.index.n_layouts == 1
        check_mapped(books.in_ram)
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        check_mapped(books.in_ram)
        for _ in range(30):
            books.change()
            books.check()


def test_a_layout_of_an_index_that_was_dropped_meanwhile_is_not_saved(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(30):
            books.change()
        laid_out, saved = upkeep.laid_out, (books.shard.env.path / "index" / "layout.vdb").read_bytes()

        def dropped(*given: Any) -> Any:
            outcome = laid_out(*given)
            books.index.drop()
            return outcome

        with monkeypatch.context() as patched:
            patched.setattr(ram_kind, "laid_out", dropped)
            books.work()
        assert (books.shard.env.path / "index" / "layout.vdb").read_bytes() == saved
        books.check()
        assert books.path_of() == "index"


def test_a_layout_that_was_saved_and_never_answered_is_loaded(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(30):
            books.change()
        write_index = index_files.write_index

        def dropped(*given: Any) -> None:
            write_index(*given)
            books.index.drop()
            books.change()

        with monkeypatch.context() as patched:
            patched.setattr(ram_kind, "write_index", dropped)
            books.work()
        assert books.index.n_layouts == 0
        for _ in range(30):
            books.check()
            assert books.path_of() == "index"
            books.change()
        books.work()
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "index"


def test_a_collection_deleted_during_a_build_is_gone(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(100)
        services = books.driver.engine.services
        document = services.usable(books.driver.caller(None), "books")
        is_reading, may_go = threading.Event(), threading.Event()
        check = ShardIndex._check

        def slow(self: ShardIndex) -> None:
            is_reading.set()
            may_go.wait(10)
            check(self)

        monkeypatch.setattr(ShardIndex, "_check", slow)

        def build() -> None:
            with services.shards.use(document) as shard:
                assert not shard.index.work()

        builder = threading.Thread(target=build)
        builder.start()
        is_reading.wait(10)
        deleter = threading.Thread(target=books.driver.run, args=("delete_collection", None, ("books",), Empty()))
        deleter.start()
        wait_until(lambda: services.shards.peek(document.id) is None)
        may_go.set()
        builder.join(10)
        deleter.join(10)
        assert not builder.is_alive() and not deleter.is_alive()
        path = books.driver.engine._directory.collection_path(document.id)
        wait_until(lambda: not path.exists())


def test_a_copy_of_the_folder_without_the_index_is_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        books.change()
        points, folder = books.points, books.shard.env.path / "index"
    shutil.rmtree(folder)
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        assert books.path_of() == "exact" and books.work() and books.path_of() == "index"
        books.check()


def test_the_background_thread_makes_the_index(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(indexer, "INTERVAL_S", 0.01)
    with opened(tmp_path / "data", index_from_points=10, compile_kernels=True) as driver:
        driver.engine.await_kernels(60)
        driver.create("notes")
        driver.upsert("acme", "notes", [str(i) for i in range(20)], rng.standard_normal((20, 2)))
        wait_until(lambda: driver.run("collection_stats", None, ("notes",), Empty()).index.state == "ready")
        explained = driver.run("search", "acme", ("notes",), SearchHead(limit=3, explain=True), np.ones(2, np.float32))
        assert explained.explain.path == "index" and len(explained.hits) == 3
