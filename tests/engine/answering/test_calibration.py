"""The threshold of a collection, calibrated: by what each tenant sees, for all of them, kept only where it is borne."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.client import Collection
from vdb.engine.answering.calibrating import MAX_QUESTIONS
from vdb.errors import EmptyBatch, Forbidden, InvalidArgument, TenantNotFound, TenantRequired, TooLarge, VdbError
from vdb.local import Database

TEXTS = {
    "refunds": "Refunds take five days. Ask again after a week.",
    "returns": "Print the label. Hand the parcel in at any shop.",
    "pumps": "The pump leaks at the valve. Close the valve first.",
}
OWN = ("How many days do refunds take?", "Where do I hand in the parcel?", "Why does the pump leak at the valve?")
OTHERS = ("Who painted the ceiling of the chapel?", "What does an enzyme do?")


def asked(n: int = 20, **given: Any) -> list[dict[str, Any]]:
    """Answerable questions, 3 x `n`, and half as many others."""
    own = [{"text": text, "answerable": True} | given for text in OWN * n]
    return own + [{"text": text, "answerable": False} | given for text in OTHERS * (n // 2)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data") as database:
        database.create_collection("notes", 32, text={}, embedding={"model": "lexical", "version": "1"})
        notes = database.as_tenant("acme").collection("notes")
        notes.put_documents([{"id": name, "text": text} for name, text in TEXTS.items()])
        yield database


@pytest.fixture
def admin(database: Database) -> Collection:
    return database.as_tenant("acme", "admin").collection("notes")


def test_a_threshold_parts_the_two_kinds_and_is_kept(database: Database, admin: Collection) -> None:
    told = admin.calibrate_answers(asked(), dry_run=True)
    assert not told.kept and database.get_collection("notes").answering is None
    found = admin.calibrate_answers(asked())
    assert found.kept and found.threshold == told.threshold
    assert (found.n_answerable, found.n_unanswerable, found.needed) == (60, 20, 45)
    assert (found.lost, found.refused) == (0.0, 1.0) and 0 < found.lost_bound <= 0.05
    answering = database.get_collection("notes").answering
    assert answering is not None and answering.threshold == found.threshold


def test_the_rest_of_what_a_collection_says_of_its_answers_stays(database: Database, admin: Collection) -> None:
    database.update_collection("notes", answering={"limit": 7, "threshold": 0.9})
    found = admin.calibrate_answers(asked())
    answering = database.get_collection("notes").answering
    assert answering is not None and (answering.limit, answering.threshold) == (7, found.threshold)


def test_few_questions_change_nothing(database: Database, admin: Collection) -> None:
    database.update_collection("notes", answering={"threshold": 1.0})
    found = admin.calibrate_answers(asked(10))
    assert (found.kept, found.threshold, found.n_answerable) == (False, 1.0, 30)
    assert (found.lost, found.lost_bound) == (1.0, 1.0), "measured at the threshold that holds"
    answering = database.get_collection("notes").answering
    assert answering is not None and answering.threshold == 1.0


def test_each_question_is_asked_by_the_tenant_it_names(database: Database, admin: Collection) -> None:
    database.as_tenant("globex").collection("notes").put_documents([{"id": "art", "text": "Bob painted the chapel."}])
    own = admin.calibrate_answers(asked(), dry_run=True)
    theirs = database.as_tenant("acme", "admin").collection("notes").calibrate_answers
    other = theirs(asked(tenant="globex"), dry_run=True)
    assert own.refused == 1.0 and other.threshold < own.threshold
    with pytest.raises(TenantNotFound) as refused:
        theirs([*asked(1), {"text": "Who?", "answerable": True, "tenant": "nobody"}])
    assert refused.value.problems[0].pointer == "/questions/3/tenant"


def test_a_collection_without_a_text_index_is_calibrated_by_vectors(database: Database) -> None:
    database.create_collection("plain", 3)
    points = database.as_tenant("acme").collection("plain")
    points.upsert(list(TEXTS), [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [{"text": text} for text in TEXTS.values()])
    admin = database.as_tenant("acme", "admin").collection("plain")
    found = admin.calibrate_answers(asked(vector=[1.0, 0.0, 0.0]))
    assert found.kept and found.refused == 1.0
    with pytest.raises(InvalidArgument):
        admin.calibrate_answers(asked())


BAD: list[tuple[Any, dict[str, Any], type[VdbError], str]] = [
    ([], {}, EmptyBatch, "/questions"),
    ([{"text": "a", "answerable": True}] * (MAX_QUESTIONS + 1), {}, TooLarge, "/questions"),
    ([{"text": "a", "answerable": False}], {}, InvalidArgument, "/questions"),
    (asked(1), {"max_lost": 0.0}, InvalidArgument, "/max_lost"),
    (asked(1), {"max_lost": 1.5}, InvalidArgument, "/max_lost"),
    ([*asked(1), {"text": " ", "answerable": True}], {}, InvalidArgument, "/questions/3/text"),
    ([{"text": "a", "answerable": True, "vector": [1.0]}], {}, InvalidArgument, "/questions/0/vector"),
]


@pytest.mark.parametrize(("questions", "given", "kind", "pointer"), BAD)
def test_what_cannot_be_is_refused(
    admin: Collection, questions: Any, given: dict[str, Any], kind: type[VdbError], pointer: str
) -> None:
    with pytest.raises(kind) as refused:
        admin.calibrate_answers(questions, **given)
    assert refused.value.problems[0].pointer == pointer


def test_only_an_admin_calibrates_and_someone_has_to_ask(database: Database) -> None:
    with pytest.raises(Forbidden):
        database.as_tenant("acme").collection("notes").calibrate_answers(asked(1))
    with pytest.raises(TenantRequired):
        database.collection("notes").calibrate_answers(asked(1))
