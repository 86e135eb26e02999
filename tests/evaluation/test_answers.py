"""Answers of a collection beside those that are right: files of questions, figures, the report."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import vdb
from vdb.errors import InvalidArgument
from vdb.evaluation import AnsweredQuestion, evaluate_answers, read_questions, write_answers_report
from vdb.evaluation.answers import plain
from vdb.local import Database

TEXTS = {
    "refunds": "Refunds take five days. Ask again after a week.",
    "returns": "Print the label. Hand the parcel in at any shop.",
    "pumps": "The pump leaks at the valve. Close the valve first.",
}
QUESTIONS = [
    AnsweredQuestion("q1", "How many days do refunds take?", ("Five days",), ("refunds",), "acme"),
    AnsweredQuestion("q2", "Where does the pump leak?", ("at the valve", "the valve"), ("returns",), "acme"),
    AnsweredQuestion("q3", "Who painted the ceiling of the chapel?", (), (), "acme"),
    AnsweredQuestion("q4", "How many days do refunds take?", ("five",), (), "globex"),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data") as database:
        database.create_collection("notes", 32, text={}, embedding={"model": "lexical", "version": "1"})
        documents = [{"id": name, "text": text} for name, text in TEXTS.items()]
        database.as_tenant("acme").collection("notes").put_documents(documents)
        database.as_tenant("globex").collection("notes").put_documents([{"id": "x", "text": "Nothing of the kind."}])
        yield database


def test_answers_are_measured_by_what_they_say_and_cite(database: Database) -> None:
    told: list[tuple[int, int]] = []
    found = evaluate_answers(
        database, "notes", QUESTIONS, by="document", told=lambda n_done, n: told.append((n_done, n))
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (found.n_answerable, found.n_unanswerable, found.backend, found.threshold) == (3, 1, "extractive", 0.5)
    by_id = {one.id: one for one in found.judged}
    assert by_id["q1"].is_found and by_id["q1"].in_first == 1.0 and by_id["q1"].cited == 1.0
    assert by_id["q1"].exact == 0.0 and 0.3 < by_id["q1"].f1 < 1.0
    assert by_id["q2"].in_first == 1.0 and by_id["q2"].cited == 0.0
    assert not by_id["q3"].is_found and (by_id["q3"].exact, by_id["q3"].in_first) == (1.0, None)
    assert not by_id["q4"].is_found and (by_id["q4"].f1, by_id["q4"].in_first, by_id["q4"].cited) == (0.0, 0.0, None)
    assert found.means["decided"] == 0.75 and found.means["refused"] == 1.0
    assert found.means["lost"] == pytest.approx(1 / 3) and found.means["cited"] == 0.5
    assert found.tenants["globex"]["lost"] == 1.0 and "refused" not in found.tenants["globex"]


def test_the_curve_says_what_each_threshold_loses_and_refuses(database: Database) -> None:
    found = evaluate_answers(database, "notes", QUESTIONS, options={"threshold": 1.0})
    assert found.threshold == 1.0 and found.means["lost"] == 1.0
    assert found.curve[0] == (0.0, 0.0, 0.0) and found.curve[-1][0] == 1.0
    assert found.curve[25] == (0.5, 1 / 3, 1.0), "as if the threshold were that"
    assert evaluate_answers(database, "notes", QUESTIONS[:1]).curve[3][2] is None


def test_the_report_holds_the_figures_and_the_threshold(database: Database, tmp_path: Path) -> None:
    found = evaluate_answers(database, "notes", QUESTIONS)
    files = write_answers_report(tmp_path / "out", found)
    assert [path.name for path in files] == ["report.md", "report.html", "plot.svg"]
    text = files[0].read_text()
    assert "threshold 0.5" in text and "| answerable, not found | 0.3333 |" in text and "## Threshold" in text
    ElementTree.fromstring(files[2].read_text())
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in write_answers_report(tmp_path / "out", found)] == before


def test_what_cannot_be_asked_is_refused(database: Database) -> None:
    with pytest.raises(InvalidArgument):
        evaluate_answers(database, "notes", [])
    with pytest.raises(InvalidArgument):
        evaluate_answers(database, "notes", QUESTIONS, by="chapter")


def test_texts_are_compared_without_case_articles_and_punctuation() -> None:
    assert plain("The  cat, an Apple-pie!") == "cat applepie"


def test_questions_are_read_from_lines(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"id": 7, "question": "Who?", "answers": ["I", "me"], "relevant": "a", "tenant": "acme", "vector": [1, 2]},
        {"text": "What?", "answers": [], "more": 1},
    ]
    path = tmp_path / "questions.jsonl.gz"
    path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, lines)).encode()))
    assert read_questions(path) == [
        AnsweredQuestion("7", "Who?", ("I", "me"), ("a",), "acme", (1.0, 2.0)),
        AnsweredQuestion("3", "What?", ()),
    ]


def test_questions_are_read_from_squad(tmp_path: Path) -> None:
    asked = [
        {"id": "a", "question": "Who?", "answers": [{"text": "I", "answer_start": 0}, {"text": "I"}]},
        {"id": "b", "question": "What?", "answers": [], "is_impossible": True},
    ]
    path = tmp_path / "dev.json"
    path.write_text(
        json.dumps({"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": "", "qas": asked}]}]})
    )
    assert read_questions(path) == [AnsweredQuestion("a", "Who?", ("I",)), AnsweredQuestion("b", "What?", ())]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no questions"),
        ('{"answers": []}', "line 1: a question needs"),
        ('{"question": "a"}\n[]', "line 2"),
        ('{"question": "a", "answers": [1]}', "line 1"),
        ('{"question": "a", "id": "x"}\n{"question": "b", "id": "x"}', "one id"),
        ('{"question": "\udcff"}', "line 1"),
    ],
)
def test_files_that_hold_no_questions_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidArgument, match=message):
        read_questions(path)
    with pytest.raises(InvalidArgument, match="cannot read"):
        read_questions(tmp_path / "missing")
