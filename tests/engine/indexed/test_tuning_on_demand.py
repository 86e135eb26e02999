"""Tuning on demand: a job that the indexer does, while the collection answers and takes writes."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import wait_until
from tests.engine.indexed.books import Books, D, indexed_books, opened_books
from tests.engine.indexed.tuning_calls import ask, ended, stats, tuned
from vdb.engine import ram_kind
from vdb.errors import InvalidArgument, NoIndex, VdbError
from vdb.index.curator import upkeep
from vdb.protocol.requests import Empty, Tune, TuneEncoding

pytestmark = pytest.mark.usefixtures("measures_small_collections")


def test_tuning_takes_the_encoding_that_is_asked_for_and_keeps_it(books: Books) -> None:
    ask(books, 250)
    done = tuned(books, Tune(encoding=TuneEncoding(form="lvq4", dimension=4, for_queries=True)))
    assert (done.state, done.kind, done.collection) == ("done", "tune", "books")
    assert done.n_done == books.index.current.n_live  # type: ignore[union-attr]
    told = stats(books)
    assert (told.encoding, told.chosen_by, told.for_queries) == ("lvq4, 4 dimensions", "requested", True)
    assert told.profile_levels > 0 and told.layouts == 1
    books.check()
    model = books.in_ram.state.model
    retrained = books.index.tuner.retrainer(books.in_ram.state, lambda: None)(
        books.rng.standard_normal((90, D)).astype(np.float32), 90, model
    )
    assert retrained.encoding == model.encoding


@pytest.mark.parametrize("form", ["float32", "float16", "lvq8", "lvq4"])
def test_every_form_can_be_asked_for(books: Books, form: Any) -> None:
    assert tuned(books, Tune(queries="rows", encoding=TuneEncoding(form=form))).state == "done"
    assert stats(books).encoding == f"{form}, {D} dimensions"
    books.check()


def test_tuning_without_an_encoding_chooses_anew(books: Books) -> None:
    assert tuned(books, Tune(queries="rows", encoding=TuneEncoding(form="float32"))).state == "done"
    assert tuned(books, Tune(queries="rows")).state == "done"
    assert stats(books).chosen_by == "rows"
    ask(books, 60)
    assert tuned(books, Tune()).state == "done"
    assert stats(books).chosen_by == "recorded"
    books.check()


def test_what_is_written_while_it_is_tuned_is_there(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out = upkeep.laid_out

    def busy(*given: Any) -> Any:
        outcome = laid_out(*given)
        for _ in range(20):
            books.change()
            books.check()
        return outcome

    monkeypatch.setattr(ram_kind, "laid_out", busy)
    assert tuned(books, Tune(queries="rows", encoding=TuneEncoding(form="lvq8", dimension=5))).state == "done"
    books.check()


def test_a_tuning_that_fails_says_so(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise VdbError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(ram_kind, "laid_out", fail)
        failed = tuned(books, Tune(queries="rows"))
    assert (failed.state, failed.error) == ("failed", "no room")
    assert tuned(books, Tune(queries="rows")).state == "done"


def test_jobs_of_one_collection_go_one_after_the_other(books: Books) -> None:
    jobs = [books.driver.run("tune", None, ("books",), Tune(queries="rows")).id for _ in range(2)]
    for job in jobs:
        wait_until(lambda: books.index.tuner.wanted is not None)
        assert books.work()
        assert ended(books, job).state == "done"
    assert stats(books).layouts == 2


def test_a_job_goes_on_after_a_restart(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        job, points = books.driver.run("tune", None, ("books",), Tune(queries="rows")).id, books.points
        wait_until(lambda: books.index.tuner.wanted is not None)
    with opened_books(tmp_path / "data", rng, points) as books:
        wait_until(lambda: books.index.tuner.wanted is not None)
        assert books.work()
        assert ended(books, job).state == "done"
        books.check()


def test_a_job_of_a_deleted_collection_fails(books: Books) -> None:
    job = books.driver.run("tune", None, ("books",), Tune(queries="rows")).id
    books.driver.run("delete_collection", None, ("books",), Empty())
    assert ended(books, job).error == "the collection was deleted"


def test_other_jobs_do_not_wait_for_a_tuning(books: Books) -> None:
    first = books.driver.run("tune", None, ("books",), Tune(queries="rows")).id
    job = books.driver.run("delete_tenant", None, ("initech",), Empty()).id
    assert ended(books, job).state == "done"
    assert books.driver.run("get_job", None, (first,), Empty()).state == "running"


def test_without_an_index_there_is_nothing_to_tune(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(5)
        with pytest.raises(NoIndex, match="index_from_points"):
            books.driver.run("tune", None, ("books",), Tune())


def test_an_index_that_is_on_disk_only_is_loaded_to_be_tuned(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        points = books.points
    with opened_books(tmp_path / "data", rng, points) as books:
        assert tuned(books, Tune(queries="rows")).state == "done"


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        (Tune(queries="recorded"), "/queries"),
        (Tune(encoding=TuneEncoding(form="lvq8", dimension=3, for_queries=True)), "/encoding/for_queries"),
        (Tune(encoding=TuneEncoding(form="lvq8", dimension=0)), "/encoding/dimension"),
        (Tune(encoding=TuneEncoding(form="lvq8", dimension=D + 1)), "/encoding/dimension"),
        (Tune(encoding=TuneEncoding(form="float16", dimension=D - 1)), "/encoding/dimension"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(books: Books, request_: Tune, pointer: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        books.driver.run("tune", None, ("books",), request_)
    assert caught.value.problems[0].pointer == pointer


@pytest.mark.parametrize(
    "request_",
    [
        Tune(queries="rows", encoding=TuneEncoding(form="lvq8", dimension=3, for_queries=True)),
        Tune(encoding=TuneEncoding(form="lvq8", dimension=D, for_queries=True)),
    ],
)
def test_an_encoding_for_queries_needs_queries_and_a_choice(books: Books, request_: Tune) -> None:
    ask(books, 60)
    with pytest.raises(InvalidArgument) as caught:
        books.driver.run("tune", None, ("books",), request_)
    assert caught.value.problems[0].pointer == "/encoding/for_queries"


def test_searches_go_on_while_it_is_tuned(books: Books) -> None:
    ends, faults = threading.Event(), []

    def search() -> None:
        while not ends.is_set():
            try:
                books.driver.search("acme", "books", np.zeros(D, np.float32), 3)
            except Exception as exc:
                faults.append(exc)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        assert tuned(books, Tune(queries="rows", encoding=TuneEncoding(form="float16"))).state == "done"
    finally:
        ends.set()
        thread.join()
    assert not faults
