"""What an index takes stays bounded: disk under replaced points, reads under failures, rounds under busy writers."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened, wait_until
from tests.engine.indexed.books import Books, indexed_books, opened_books
from vdb.engine import pace
from vdb.engine.attempts import Attempts
from vdb.errors import CorruptData, StorageFailure
from vdb.index.curator import index as curator_index
from vdb.storage.keyspace import vector_key


def work_off(books: Books) -> None:
    while books.work():
        pass


def n_blocks_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_vectors_of_replaced_points_do_not_stay_on_disk(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots were never given back, and vectors.vdb grew for ever."""
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 400)
    n, dimension = 500, 256
    ids = [f"p{i}" for i in range(n)]
    with opened(tmp_path / "data", index_from_points=100) as driver:
        driver.create_tenant("acme")
        driver.create("books", dimension)
        books = Books(driver, rng)
        for turn in range(16):
            vectors = rng.standard_normal((n, dimension)).astype(np.float32)
            driver.upsert("acme", "books", ids, vectors)
            work_off(books)
            assert driver.found("acme", "books", vectors[turn], 1) == [ids[turn]]
        index = books.index.current
        assert index is not None and books.index.n_layouts > 10
        assert index.n_slots <= 4 * n
        path = books.shard.env.path / "index" / "vectors.vdb"
        assert n_blocks_bytes(path) <= 4 * n * 4 * dimension + 8192


def test_deleted_points_give_their_disk_back(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    freed: list[int] = []
    monkeypatch.setattr("vdb.storage.vectors_file.VectorsFile.free", lambda self, slots: freed.extend(slots.tolist()))
    with indexed_books(tmp_path / "data", rng, index_from_points=40) as books:
        gone = [point_id for owner, point_id in books.points if owner == "acme"]
        books.delete("acme", gone)
        work_off(books)
        books.work()
        assert len(freed) == len(set(freed)) == len(gone)
        books.check()


def test_slots_that_a_search_still_reads_are_not_used_again(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    with indexed_books(tmp_path / "data", rng) as books:
        index = books.in_ram
        state, n_rows = index.state, index.n_rows
        before = np.array(state.vectors[state.rows.slots[:n_rows]])
        del index
        mine = [point_id for owner, point_id in books.points if owner == "acme"]
        for _ in range(6):
            books.put("acme", mine)
            work_off(books)
        np.testing.assert_array_equal(state.vectors[state.rows.slots[:n_rows]], before)
        n_slots = books.index.current.n_slots  # type: ignore[union-attr]
        del state
        for _ in range(6):
            books.put("acme", mine)
            work_off(books)
        assert books.index.current.n_slots <= n_slots + len(mine)  # type: ignore[union-attr]
        books.check()


def test_random_writes_with_reused_slots_are_found_through_layouts_drops_and_restarts(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 15)
    with indexed_books(tmp_path / "data", rng) as books:
        points = books.points
    for _ in range(4):
        with opened_books(tmp_path / "data", rng, points) as books:
            for step in range(60):
                books.change()
                books.work()
                if step % 10 == 9:
                    books.check()
                if step % 25 == 24:
                    books.index.drop()
            assert books.index.take() is not None
            index = books.in_ram
            live = index.state.rows.slots[: index.n_rows][index.state.rows.dead_at[: index.n_rows] == 0xFFFF_FFFF]
            assert len(np.unique(live)) == len(live)
            points = books.points


def test_a_failed_build_is_not_tried_again_at_once(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was tried every second, with a full read of the collection."""
    now = [1000.0]
    monkeypatch.setattr("vdb.engine.attempts.time", SimpleNamespace(monotonic=lambda: now[0]))
    n_read: list[int] = []

    def fail(*given: Any) -> None:
        n_read.append(1)
        raise StorageFailure("the disk does not answer")

    with opened_books(tmp_path / "data", rng) as books:
        books.add(60)
        with monkeypatch.context() as patched:
            patched.setattr("vdb.engine.index_files.save_arrays", fail)
            for wait_s in (5.0, 10.0, 20.0):
                with pytest.raises(StorageFailure):
                    books.work()
                now[0] += wait_s - 0.1
                assert not books.work()
                now[0] += 0.2
            assert len(n_read) == 3
            with pytest.raises(StorageFailure):
                books.work()
            books.add(60)
            with pytest.raises(StorageFailure):  # twice as many are another matter
                books.work()
            assert not books.work()
        now[0] += 1000.0
        assert books.work() and books.path_of() == "index"
        books.check()


def test_points_that_are_all_damaged_are_not_read_every_second(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(60)
        acme = books.driver.engine.services.catalog.tenant("acme")
        assert acme is not None
        keys = [vector_key(acme.id, pid) for pid in range(60)]

        def damage(group: Any) -> None:
            for key in keys:
                group.txn.put(key, b"\xff" * 24)

        books.driver.write("books", damage)
        with pytest.raises(CorruptData):
            books.work()
        assert not books.work() and books.index.state == "absent"


def test_waits_double_up_to_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("vdb.engine.attempts.time", SimpleNamespace(monotonic=lambda: now[0]))
    tries = Attempts()
    waits = []
    for _ in range(10):
        assert tries.are_due(100)
        tries.fail()
        began = now[0]
        while not tries.are_due(100):
            now[0] += 1
        waits.append(now[0] - began)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    tries.fail()
    assert not tries.are_due(199) and tries.are_due(200)
    tries.fail()
    tries.succeed()
    assert tries.are_due(200)


@pytest.mark.parametrize("what", ["build", "layout"])
def test_writers_that_outpace_an_index_in_the_making_are_held_back(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It ran after them for ever."""
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    monkeypatch.setattr(pace, "LEAST_PATIENCE", 20)
    monkeypatch.setattr(pace, "QUIET_REPLAY", 4)
    monkeypatch.setattr(pace, "STEP", 4)
    with opened_books(tmp_path / "data", rng) as books:
        books.add(100)
        if what == "layout":
            work_off(books)
            books.add(60)
        is_over = threading.Event()
        catch_up = pace.Pace.catch_up
        was_late = []

        def write() -> None:
            while not is_over.is_set():
                books.add(1)

        def chased(self: pace.Pace, n_waiting: Callable[[], int], do: Callable[[int], None]) -> None:
            def slow(n: int) -> None:
                enough = n_waiting() + 2 * n
                wait_until(lambda: self._is_late or n_waiting() >= enough)
                was_late.append(self._is_late)
                do(n)

            wait_until(lambda: n_waiting() > pace.QUIET_REPLAY)
            catch_up(self, n_waiting, slow)

        monkeypatch.setattr(pace.Pace, "catch_up", chased)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert books.index.work()
        finally:
            is_over.set()
            writer.join(20)
        assert was_late[0] is False and was_late[-1] is True
        books.check()
        assert books.path_of() == "index"
