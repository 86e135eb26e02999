"""What an index is tuned by: recorded queries, the choice of its encoding, and its profile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.driver import opened
from tests.engine.indexed.books import Books, D, indexed_books, opened_books
from tests.engine.indexed.tuning_calls import COSTS, ask, explained, stats, tuned
from vdb.engine.choosing import Wish, tried
from vdb.engine.tuner import LOOK_EVERY, MORE_RECORDED, Ticket, typical_reading
from vdb.engine.tuning import Tuning, read_tuning, write_tuning
from vdb.errors import InvalidArgument
from vdb.index.curator import index as curator_index
from vdb.index.curator.choice import Candidate, candidates
from vdb.index.curator.costs import Costs
from vdb.index.curator.model import Encoding, Form
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import CreateCollection, Empty, Tune, TuneEncoding
from vdb.storage.keyspace import EVERYONE_ID

pytestmark = pytest.mark.usefixtures("measures_small_collections")


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
    ask(books, 250)
    assert books.work() and not books.work()
    ask(books, 250)
    assert not books.work()
    monkeypatch.setattr("vdb.engine.tuner.residual_class", lambda residual: 7)
    ask(books, 250)
    assert books.work()
    assert not books.work()


def test_a_profile_of_rows_alone_is_measured_by_queries_once_there_are_enough(books: Books) -> None:
    """Queries are harder than rows: a target was missed until somebody tuned, or the collection doubled."""
    assert books.work() and not books.work()
    assert books.index.tuner.tuning.n_recorded == 0
    ask(books, LOOK_EVERY)
    assert books.work() and not books.work()
    n_first = books.index.tuner.tuning.n_recorded
    assert n_first >= LOOK_EVERY
    for _ in range(MORE_RECORDED - 2):
        ask(books, n_first)
    assert not books.work()
    ask(books, n_first)
    assert books.work() and not books.work()
    assert books.index.tuner.tuning.n_recorded >= MORE_RECORDED * n_first


def test_the_first_queries_unlike_any_measured_are_called_extrapolated(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Where all that was measured is of one residual class, no residual was asked for, and all queries were of it."""
    with opened_books(tmp_path / "data", rng) as books:
        drawn = np.concatenate([rng.standard_normal((300, 3)), 0.05 * rng.standard_normal((300, D - 3))], axis=1)
        books.driver.upsert("acme", "books", [str(i) for i in range(300)], drawn.astype(np.float32))
        assert books.work()
        encoding = TuneEncoding(form="lvq8", dimension=3)
        assert tuned(books, Tune(queries="rows", encoding=encoding)).state == "done"
        profile = books.index.tuner.profile
        assert profile is not None and profile.residual_classes == (0,)

        def asked(direction: int) -> Any:
            query = np.eye(D, dtype=np.float32)[direction]
            return books.driver.run("search", "acme", ("books",), SearchHead(limit=3, explain=True), query).explain

        like, unlike = asked(0), asked(D - 1)
        assert not like.extrapolated and unlike.extrapolated
        assert unlike.budget > like.budget and unlike.candidates > like.candidates


def test_a_profile_that_cannot_be_measured_is_not_tried_for_ever(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **more: Any) -> Any:
        raise ValueError("no")

    with monkeypatch.context() as failing:
        failing.setattr("vdb.engine.tuner.measure", fail)
        with pytest.raises(ValueError, match="no"):
            books.work()
        assert not books.work() and books.index.tuner.profile is None
        for _ in range(3):  # it was tried again with every 200 recorded queries, as none had been measured
            ask(books, LOOK_EVERY)
            assert not books.work()
    assert not books.work()
    books.add(books.index.current.n_live + 1)  # type: ignore[union-attr]
    assert books.work() and stats(books).profile_levels > 0
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


def test_an_index_that_is_dropped_and_loaded_again_knows_each_query_once(books: Books) -> None:
    ask(books, 250)
    assert books.work()
    before, tuning = np.sort(books.index.tuner.recorded.rows, axis=0), books.index.tuner.tuning
    books.index.drop()
    assert books.index.take() is not None and books.index.tuner.tuning is tuning
    assert np.array_equal(np.sort(books.index.tuner.recorded.rows, axis=0), before)


def test_a_model_that_was_given_up_leaves_nothing_behind(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout that trained nothing took over how the encoding of the abandoned model had been chosen."""
    tuner = books.index.tuner
    before, state = tuner.tuning, books.in_ram.state
    tuner.ticket = Ticket(1, Wish("rows", Candidate(Encoding(Form.FLOAT32, D))))
    tuner.retrainer(state, lambda: None)(books.rng.standard_normal((60, D)).astype(np.float32), 60, state.model)
    tuner.ticket = None
    monkeypatch.setattr(curator_index, "LEAST_CHANGES", 20)
    for _ in range(30):
        books.change()
    assert books.work() and books.index.n_layouts == 1
    assert tuner.tuning == before
    books.check()


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
    assert found["vdb_index_cells"][0][1] >= 1


def test_recorded_queries_count_as_memory_of_the_index(books: Books) -> None:
    """They were in no figure."""
    books.check()
    index, recorded = books.index.current, books.index.tuner.recorded
    assert index is not None and len(recorded) > 0
    n_bytes = index.nbytes + recorded.nbytes
    found = {name: samples for name, _, _, samples in books.driver.engine.metrics()}
    assert found["vdb_index_bytes"][0][1] == n_bytes
    told = books.driver.run("collection_stats", None, ("books",), Empty())
    assert told.memory.index_bytes == n_bytes


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
