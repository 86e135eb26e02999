"""A collection's tier is changed while it is written to and searched: nothing is lost, whatever comes between."""

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import wait_until
from tests.engine.indexed.books import FROM, Books, indexed_books, opened_books
from tests.engine.indexed.tuning_calls import ended
from vdb.engine import build_stages, disk_kind, index_files, list_files, ram_kind
from vdb.errors import StorageFailure
from vdb.index.curator import index as curator_index
from vdb.index.spann import index as spann_index
from vdb.protocol.requests import Tune
from vdb.storage.check import check_directory
from vdb.types import Tier

BOTH_WAYS = [(Tier.HYBRID, Tier.DISK), (Tier.DISK, Tier.HYBRID), (Tier.DISK, Tier.MEMORY)]

pytestmark = pytest.mark.usefixtures("small_folds")


@pytest.fixture(autouse=True)
def small_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)


def files_of(books: Books) -> set[str]:
    return {path.name for path in (books.shard.env.path / "index").iterdir()} - {"tuning.vdb"}


def points_of(tier: Tier) -> Any:
    """The module that reads the points for an index of a tier."""
    return build_stages if tier is Tier.DISK else ram_kind


def check_lies(books: Books, tier: Tier) -> None:
    """The index is of this tier, and there are no files of another."""
    assert books.index.tier is tier and books.path_of() == "index"
    assert files_of(books) == ({"disk"} if tier is Tier.DISK else {"layout.vdb", "vectors.vdb"})


@pytest.mark.parametrize(("old", "new"), BOTH_WAYS)
def test_a_tier_changes_and_changes_back(tmp_path: Path, rng: np.random.Generator, old: Tier, new: Tier) -> None:
    with indexed_books(tmp_path / "data", rng, tier=old) as books:
        for tier in (new, old, new):
            for _ in range(10):
                books.change()
            books.move(tier)
            assert books.work()
            check_lies(books, tier)
            books.check()
        assert books.index.n_builds == 4
        while books.work():
            pass
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        check_lies(books, new)
        assert books.index.n_builds == 0
    assert check_directory(tmp_path / "data") == []


@pytest.mark.parametrize(("old", "new"), BOTH_WAYS)
def test_what_is_written_while_it_changes_is_in_it(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, old: Tier, new: Tier
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=old) as books:
        module: Any = disk_kind if new is Tier.DISK else ram_kind
        name = "write_lists" if new is Tier.DISK else "write_index"
        write, reads = getattr(module, name), points_of(new)
        read_points = reads.read_points

        def busy(do: Any) -> Any:
            def done(*given: Any) -> Any:
                for _ in range(15):
                    books.change()
                    books.check()
                assert books.path_of() == "index" and books.index.tier is old and books.index.state == "ready"
                return do(*given)

            return done

        with monkeypatch.context() as patched:
            patched.setattr(module, name, busy(write))
            patched.setattr(reads, "read_points", busy(read_points))
            books.move(new)
            assert books.work()
        check_lies(books, new)
        books.check()
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        books.check()
        check_lies(books, new)


def test_tiers_change_beside_writers_and_searches(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, tier=Tier.HYBRID) as books:
        faults: list[BaseException] = []
        ends = threading.Event()

        def work() -> None:
            try:
                while not ends.is_set():
                    books.work()
            except BaseException as exc:
                faults.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for tier in (Tier.DISK, Tier.MEMORY, Tier.DISK, Tier.HYBRID):
                books.move(tier)
                for _ in range(30):
                    books.change()
                    books.check()
        finally:
            ends.set()
            thread.join()
        assert not faults and books.index.n_builds > 1
        books.check(100)


@pytest.mark.parametrize(("old", "new"), BOTH_WAYS)
def test_a_crash_before_the_new_index_answers_leaves_either(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, old: Tier, new: Tier
) -> None:
    """Copies are what a crash leaves: half built, saved, with the old files beside the new ones."""
    copies: list[tuple[Path, dict[Any, Any]]] = []
    with indexed_books(tmp_path / "data", rng, tier=old) as books:

        def crash() -> None:
            path = tmp_path / f"crash-{len(copies)}"
            shutil.copytree(tmp_path / "data", path, ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
            copies.append((path, dict(books.points)))

        def crashing(do: Any) -> Any:
            def done(*given: Any, **named: Any) -> Any:
                crash()
                outcome = do(*given, **named)
                crash()
                books.change()
                return outcome

            return done

        module: Any = disk_kind if new is Tier.DISK else ram_kind
        with monkeypatch.context() as patched:
            name = "write_lists" if new is Tier.DISK else "write_index"
            for where, what in ((points_of(new), "read_points"), (module, name)):
                patched.setattr(where, what, crashing(getattr(where, what)))
            kinds: Any = books.index._kinds
            patched.setattr(kinds, "remove", crashing(kinds.remove))
            books.move(new)
            assert books.work()
        check_lies(books, new)
    assert len(copies) == 6
    for path, points in copies:
        with opened_books(path, rng, points) as books:
            books.check()
            assert books.path_of() == "index" and books.index.n_builds == 0
            for _ in range(10):
                books.change()
                books.work()
                books.check()
            books.work()
            check_lies(books, new)


@pytest.mark.parametrize(("old", "new"), BOTH_WAYS)
def test_a_change_that_fails_leaves_the_index_and_is_tried_again(
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    old: Tier,
    new: Tier,
) -> None:
    def fail(*given: Any) -> Any:
        raise StorageFailure("no")

    with indexed_books(tmp_path / "data", rng, tier=old) as books:
        books.move(new)
        with monkeypatch.context() as patched:
            patched.setattr(list_files if new is Tier.DISK else index_files, "save_arrays", fail)
            assert books.work()
        assert "a tier was not changed" in caplog.text and books.index.tier is old
        for _ in range(40):
            books.change()
            books.work()
            books.check()
        assert books.index.tier is old and books.index.n_layouts > 0, "the old index is laid out meanwhile"
        monkeypatch.setattr("vdb.engine.attempts.time", SimpleNamespace(monotonic=lambda: 1e12))
        while books.work():
            pass
        check_lies(books, new)
        books.check()


@pytest.mark.parametrize(("old", "new"), BOTH_WAYS)
def test_an_index_dropped_while_another_is_made_is_loaded(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, old: Tier, new: Tier
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=old) as books:
        books.move(new)
        module = points_of(new)
        read_points = module.read_points

        def dropped(*given: Any) -> Any:
            books.index.drop()
            books.change()
            books.check()
            assert books.path_of() == "exact"
            return read_points(*given)

        with monkeypatch.context() as patched:
            patched.setattr(module, "read_points", dropped)
            assert not books.work()
        books.check()
        assert books.path_of() == "index"
        books.work()
        check_lies(books, new)


def test_a_collection_on_its_way_to_another_tier_may_shrink(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, tier=Tier.HYBRID) as books:
        books.move(Tier.DISK)
        for owner in {owner for owner, _ in books.points}:
            books.delete(owner, [point_id for of, point_id in books.points if of == owner][3:])
        assert books.work() and books.path_of() == "exact" and files_of(books) == set()
        books.add(FROM)
        assert books.work()
        check_lies(books, Tier.DISK)


def test_vectors_count_as_memory_of_the_tier_that_keeps_them_there(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_asked = []
    monkeypatch.setattr("vdb.storage.vectors_file.VectorsFile.prefault", lambda self: n_asked.append(1))
    with indexed_books(tmp_path / "data", rng, tier=Tier.HYBRID) as books:
        assert not n_asked
        hybrid = books.shard.index_bytes
        books.move(Tier.MEMORY)
        assert books.work() and not books.work() and len(n_asked) == 1
        assert books.index.tier is Tier.MEMORY and books.index.n_builds == 1
        assert books.shard.index_bytes == hybrid + 4 * 6 * books.in_ram.n_slots
        assert books.driver.engine._memory.n_bytes == books.shard.index_bytes
        books.index.drop()
        books.check()
        assert len(n_asked) == 2
        books.move(Tier.HYBRID)
        assert books.work() and books.shard.index_bytes < hybrid + 4 * 6 * books.in_ram.n_slots


def test_writers_are_not_held_up_by_folds_that_wait_for_another_tier(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is folded meanwhile."""
    monkeypatch.setattr(spann_index, "FULL_FOLDS", 1)
    with indexed_books(tmp_path / "data", rng, tier=Tier.DISK) as books:
        books.move(Tier.HYBRID)
        write_index = ram_kind.write_index  # type: ignore[attr-defined]

        def busy(*given: Any) -> None:
            for _ in range(10):
                books.add(30)
            books.check()
            write_index(*given)

        with monkeypatch.context() as patched:
            patched.setattr(ram_kind, "write_index", busy)
            assert books.work()
        check_lies(books, Tier.HYBRID)
        books.check()


def test_who_waits_for_an_index_to_be_tuned_is_told_that_it_went_to_disk(
    tmp_path: Path, rng: np.random.Generator, measures_small_collections: None
) -> None:
    with indexed_books(tmp_path / "data", rng, tier=Tier.HYBRID) as books:
        job = books.driver.run("tune", None, ("books",), Tune(queries="rows"))
        wait_until(lambda: books.index.tuner.wanted is not None)
        books.move(Tier.DISK)
        while books.work():
            pass
        assert books.index.tier is Tier.DISK
        done = ended(books, job.id)
        assert done.state == "failed" and "disk" in done.error
