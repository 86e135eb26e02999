"""A store or an index put back by hand to an older state, or left by a crash: one of another past is not used."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.books import Books, indexed_books, opened_books
from vdb.engine import attempts, ram_kind
from vdb.errors import StorageFailure
from vdb.index.curator import index as curator_index
from vdb.storage.arrays import load_arrays, save_arrays


@pytest.fixture(autouse=True)
def few_changes_lay_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)


def laid_out_anew(books: Books) -> None:
    """Enough writes for another layout, which is saved."""
    before = books.index.n_layouts
    books.add(60)
    while books.index.n_layouts == before:
        assert books.path_of() == "index" and books.work()


def folder_of(books: Books) -> Path:
    return books.shard.env.path


def store_of(folder: Path) -> bytes:
    return (folder / "data.mdb").read_bytes()


def test_an_older_store_beside_a_newer_index_does_not_use_it(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it had been written to up to the sequence of the layout, that was loaded and showed what never was."""
    with indexed_books(tmp_path / "data", rng) as books:
        folder = folder_of(books)
    store, points = store_of(folder), dict(books.points)
    with opened_books(tmp_path / "data", rng, books.points) as books:
        laid_out_anew(books)
    (folder / "data.mdb").write_bytes(store)
    with opened_books(tmp_path / "data", rng, points) as books:
        for _ in range(8):
            books.add(2)
        books.check()
        assert books.path_of() == "exact" and "an index is made anew" in caplog.text
        assert books.work() and books.path_of() == "index"
        books.check()


def test_store_and_index_put_back_together_are_loaded(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        folder = folder_of(books)
        for _ in range(5):
            books.change()
        points = dict(books.points)
    shutil.copytree(folder, tmp_path / "copy")
    with opened_books(tmp_path / "data", rng, books.points) as books:
        laid_out_anew(books)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with opened_books(tmp_path / "data", rng, points) as books:
        assert books.path_of() == "index" and books.index.n_builds == 0
        books.check()


def test_an_older_index_beside_a_newer_store_answers_right_or_not(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        folder = folder_of(books)
    shutil.copytree(folder / "index", tmp_path / "copy")
    with opened_books(tmp_path / "data", rng, books.points) as books:
        laid_out_anew(books)
        laid_out_anew(books)
    shutil.rmtree(folder / "index")
    shutil.copytree(tmp_path / "copy", folder / "index")
    with opened_books(tmp_path / "data", rng, books.points) as books:
        books.check()
        assert books.path_of() == "exact"


def test_an_index_saved_before_there_were_ids_is_made_anew(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        path = folder_of(books) / "index" / "layout.vdb"
    head, arrays = load_arrays(path)
    assert head.pop("epoch") > 0
    save_arrays(path, head, arrays)
    with opened_books(tmp_path / "data", rng, books.points) as books:
        books.check()
        assert books.path_of() == "exact" and "an index is made anew" in caplog.text
        assert books.work() and books.path_of() == "index"


def test_the_layout_that_a_failed_save_leaves_is_loaded(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has learnt of the layout that was to be by then; twice, so that it has forgotten none."""
    with indexed_books(tmp_path / "data", rng) as books:
        for _ in range(2):

            def fail(*given: Any) -> None:
                raise StorageFailure("no")

            with monkeypatch.context() as patch:
                patch.setattr(ram_kind, "write_index", fail)
                patch.setattr(attempts, "FIRST_WAIT_S", 0)
                books.add(60)
                with pytest.raises(StorageFailure):
                    books.work()
    with opened_books(tmp_path / "data", rng, books.points) as books:
        assert books.path_of() == "index" and books.index.n_builds == 0
        books.check()


def test_every_saved_layout_has_an_id_of_its_own(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        path, seen = folder_of(books) / "index" / "layout.vdb", set()
        for _ in range(3):
            seen.add(load_arrays(path)[0]["epoch"])
            laid_out_anew(books)
    assert len(seen) == 3
