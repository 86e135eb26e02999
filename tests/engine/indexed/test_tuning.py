"""What an index is tuned by: recorded queries, the choice of its encoding, its profile, and tuning on demand."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened, wait_until
from tests.engine.indexed.books import Books, D, indexed_books, opened_books
from vdb.engine import shard_index
from vdb.engine.choosing import tried
from vdb.engine.shard_index import Indexing
from vdb.engine.tuner import typical_reading
from vdb.engine.tuning import Tuning, read_tuning, write_tuning
from vdb.errors import InvalidArgument, NoIndex, VdbError
from vdb.index.curator import upkeep
from vdb.index.curator.choice import candidates
from vdb.index.curator.costs import Costs
from vdb.index.curator.model import Form
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import CreateCollection, Empty, Tune, TuneEncoding
from vdb.storage.keyspace import EVERYONE_ID

COSTS = Costs(D, 5.0, 1e-4, 0.01, 0.1, dict.fromkeys(Form, ((1, 0.001), (10000, 1.0))))


@pytest.fixture(autouse=True)
def measures_small_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collections of a few rows are tuned, by costs that are not timed."""
    monkeypatch.setattr("vdb.engine.choosing.measured_costs", lambda *_: COSTS)

    def least(*given: Any) -> Indexing:
        return replace(Indexing(*given), least_tuned=50)

    monkeypatch.setattr("vdb.engine.engine.Indexing", least)


@pytest.fixture
def books(tmp_path: Path, rng: np.random.Generator) -> Iterator[Books]:
    with indexed_books(tmp_path / "data", rng) as books:
        yield books


def ask(books: Books, n: int, tenant: str = "acme", limit: int = 3) -> None:
    """So many queries in one request."""
    block = books.rng.standard_normal((n, D)).astype(np.float32)
    books.driver.run("search", tenant, ("books",), SearchHead(limit=limit, n_queries=n), block)


def tuned(books: Books, request: Tune) -> Any:
    """The job of a request, once the indexer's step is done."""
    job = books.driver.run("tune", None, ("books",), request)
    wait_until(lambda: books.index.tuner.wanted is not None)
    with suppress(VdbError):
        books.work()
    return ended(books, job.id)


def ended(books: Books, job_id: str) -> Any:
    def job() -> Any:
        return books.driver.run("get_job", None, (job_id,), Empty())

    wait_until(lambda: job().state in ("done", "failed"))
    return job()


def explained(books: Books, **given: Any) -> Any:
    block = books.rng.standard_normal(D).astype(np.float32)
    return books.driver.run("search", "acme", ("books",), SearchHead(limit=3, explain=True, **given), block).explain


def stats(books: Books) -> Any:
    return books.driver.run("collection_stats", None, ("books",), Empty()).index


def test_an_encoding_is_chosen_at_the_build(books: Books) -> None:
    assert books.index.tuner.tuning.origin == "rows"
    told = stats(books)
    assert told.chosen_by == "rows" and 0 < told.expected_recall <= 1 and told.expected_cost_us > 0
    assert told.encoding == explained(books).encoding
    books.check()


def test_recorded_queries_choose_where_there_are_enough(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(80)
        for _ in range(3):
            ask(books, 100)
        assert books.work()
        assert books.index.tuner.tuning.origin == "recorded"
        books.check()


def test_a_small_collection_takes_the_default(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(45)
        assert books.work()
        assert books.index.tuner.tuning.origin == "default" and not books.work()
        assert stats(books).expected_recall is None


def test_a_choice_that_fails_leaves_the_default(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise np.linalg.LinAlgError("no")

    monkeypatch.setattr("vdb.engine.choosing.choose", fail)
    with indexed_books(tmp_path / "data", rng) as books:
        assert books.index.tuner.tuning.origin == "default"
        assert "the default is taken" in caplog.text
        books.check()


def test_a_choice_that_takes_too_long_is_given_up(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vdb.engine.choosing.LIMIT_S", -1.0)
    with indexed_books(tmp_path / "data", rng) as books:
        assert books.index.tuner.tuning.origin == "default"


def test_a_choice_ends_when_the_server_stops(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_books(tmp_path / "data", rng) as books:
        books.add(80)
        stopping = books.driver.engine.services.is_stopping

        def costs(*given: Any) -> Costs:
            stopping.set()
            return COSTS

        monkeypatch.setattr("vdb.engine.choosing.measured_costs", costs)
        assert not books.work() and books.index.current is None


def test_a_profile_is_measured_after_the_build_and_explains_searches(books: Books) -> None:
    assert explained(books).extrapolated and explained(books).reached
    assert books.work() and not books.work()
    told = explained(books)
    assert told.reached and not told.extrapolated and told.recall == 0.99
    assert stats(books).profile_levels > 0 and stats(books).profiled_rows == books.index.current.n_live  # type: ignore[union-attr]
    books.check()


def test_a_profile_is_measured_again_when_the_collection_has_doubled(books: Books) -> None:
    assert books.work() and not books.work()
    before = books.index.tuner.profile
    books.add(books.index.current.n_live + 1)  # type: ignore[union-attr]
    assert books.work() and books.index.tuner.profile is not before
    assert not books.work()


def test_queries_unlike_those_measured_have_the_profile_measured_again(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert books.work() and not books.work()
    ask(books, 250)
    assert not books.work()
    monkeypatch.setattr("vdb.engine.tuner.residual_class", lambda residual: 7)
    ask(books, 250)
    assert books.work()
    assert not books.work()


def test_a_profile_that_cannot_be_measured_is_not_tried_for_ever(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr("vdb.engine.tuner.measure", fail)
    with pytest.raises(ValueError, match="no"):
        books.work()
    assert not books.work() and books.index.tuner.profile is None
    books.check()


def test_a_profile_of_an_index_that_was_dropped_meanwhile_is_given_up(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropping(*given: Any, check: Any, **more: Any) -> Any:
        books.index.drop()
        check()

    monkeypatch.setattr("vdb.engine.tuner.measure", dropping)
    assert not books.work() and books.index.tuner.profile is None
    books.check()


def test_profile_choice_and_queries_are_there_after_a_restart(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        ask(books, 250)
        assert books.work()
        before, points = books.index.tuner.tuning, books.points
        ask(books, 150)
        n_recorded = len(books.index.tuner.recorded)
    with opened_books(tmp_path / "data", rng, points) as books:
        assert books.path_of() == "index"
        assert books.index.tuner.tuning == before
        assert len(books.index.tuner.recorded) in (n_recorded, n_recorded + 1)
        assert not books.work()
        books.check()


@pytest.mark.parametrize("damage", ["gone", "cut", "of another model", "not one"])
def test_without_its_file_all_is_measured_anew(tmp_path: Path, rng: np.random.Generator, damage: str) -> None:
    with indexed_books(tmp_path / "data", rng) as books:
        ask(books, 250)
        assert books.work()
        points = books.points
        path = books.index.tuner._files.tuning_path
        tuning, queries = books.index.tuner.tuning, books.index.tuner.recorded.rows
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "of another model":
        write_tuning(path, tuning, [9, 9, 9, 9], queries)
    else:
        path.write_bytes(b"something else")
    with opened_books(tmp_path / "data", rng, points) as books:
        assert books.path_of() == "index" and books.index.tuner.tuning == Tuning()
        assert (len(books.index.tuner.recorded) > 1) == (damage == "of another model")
        assert books.work() and books.index.tuner.profile is not None
        books.check()


def test_queries_of_another_dimension_are_not_taken_up(tmp_path: Path) -> None:
    write_tuning(tmp_path / "tuning.vdb", Tuning(), [9, 9, 9, 9], np.zeros((3, D), np.float32))
    tuning, queries = read_tuning(tmp_path / "tuning.vdb", [9, 9, 9, 9], D + 1)
    assert tuning == Tuning() and queries.shape == (0, D + 1)


def test_switched_off_no_query_is_recorded(tmp_path: Path, rng: np.random.Generator) -> None:
    with indexed_books(tmp_path / "data", rng, record_queries=False) as books:
        ask(books, 250)
        assert stats(books).recorded_queries == 0
        with pytest.raises(InvalidArgument, match="recorded"):
            books.driver.run("tune", None, ("books",), Tune(queries="recorded"))


def test_a_collection_that_never_gets_an_index_records_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    with opened_books(tmp_path / "data", rng, index_from_points=0) as books:
        books.add(5)
        ask(books, 250)
        assert len(books.index.tuner.recorded) == 0


def test_a_new_collection_of_the_name_knows_no_query_of_the_old(books: Books) -> None:
    ask(books, 250)
    books.driver.run("delete_collection", None, ("books",), Empty())
    books.driver.run("create_collection", None, (), CreateCollection(name="books", dimension=D))
    assert len(books.index.tuner.recorded) == 0


def test_tuning_takes_the_encoding_that_is_asked_for_and_keeps_it(books: Books) -> None:
    ask(books, 250)
    done = tuned(books, Tune(encoding=TuneEncoding(form="lvq4", dimension=4, for_queries=True)))
    assert (done.state, done.kind, done.collection) == ("done", "tune", "books")
    assert done.n_done == books.index.current.n_live  # type: ignore[union-attr]
    told = stats(books)
    assert (told.encoding, told.chosen_by, told.for_queries) == ("lvq4, 4 dimensions", "requested", True)
    assert told.profile_levels > 0 and told.layouts == 1
    books.check()
    model = books.index.current.state.model  # type: ignore[union-attr]
    retrained = books.index.tuner.retrainer(books.index.current.state, lambda: None)(  # type: ignore[union-attr]
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

    monkeypatch.setattr(shard_index, "laid_out", busy)
    assert tuned(books, Tune(queries="rows", encoding=TuneEncoding(form="lvq8", dimension=5))).state == "done"
    books.check()


def test_a_tuning_that_fails_says_so(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise VdbError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(shard_index, "laid_out", fail)
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


@pytest.mark.parametrize("dimension", [1, 6, 96, 384, 8192])
def test_few_dimensions_are_tried_whatever_there_are(dimension: int) -> None:
    for has_queries in (False, True):
        found = tried(dimension, has_queries)
        reduced = {one.encoding.dimension for one in found if one.encoding.dimension < dimension}
        assert len(reduced) <= 9 and set(found) <= {*candidates(dimension, has_queries)}
        assert {one.encoding.form for one in found if one.encoding.dimension == dimension} == set(Form)


def test_a_typical_reading_has_the_rows_of_everyone_too() -> None:
    assert typical_reading({EVERYONE_ID: 5, 1: 10, 2: 30}) == 25
    assert typical_reading({}) == 1


def test_metrics_tell_of_indexes(books: Books) -> None:
    found = {name: samples for name, _, _, samples in books.driver.engine.metrics()}
    assert found["vdb_index_rows"] == [({"collection": "books"}, books.index.current.n_rows)]  # type: ignore[union-attr]
    assert found["vdb_index_builds_total"][0][1] == 1 and found["vdb_index_layouts_total"][0][1] == 0
    assert found["vdb_index_bytes"][0][1] > 0 and found["vdb_index_cells"][0][1] >= 1


def test_logs_tell_of_builds_layouts_and_choices_but_no_text_and_no_vector(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with indexed_books(tmp_path / "data", rng) as books:
        assert books.work()
        assert tuned(books, Tune(queries="rows")).state == "done"
        points = books.points
    with opened(tmp_path / "data", index_from_points=40) as driver:
        assert Books(driver, rng, points).path_of() == "index"
    told = [record for record in caplog.records if record.name.startswith("vdb.engine.")]
    messages = " | ".join(record.getMessage() for record in told)
    for part in ("an index was built", "encoding chosen", "profile measured", "laid out anew", "an index was loaded"):
        assert part in messages
    assert all(not isinstance(value, np.ndarray) for record in told for value in vars(record).values())
