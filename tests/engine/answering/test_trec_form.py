"""Answers as records of the TREC 2024 RAG track."""

from typing import Any

import msgspec
import pytest

from tests.engine.answering.world import QUESTION, Scripted, World
from vdb.errors import InvalidArgument, VdbError
from vdb.rag.trec import validate


def test_an_answer_in_the_form_of_trec_passes_its_rules(made: World) -> None:
    made.use(Scripted("So it is [2]. " + "word " * 500 + "[1]. And more [3]."))
    record: Any = made.ask(format="trec_rag", topic_id="2024-1", run_id="ours")
    told = msgspec.to_builtins(record)
    assert validate(told) == []
    assert (told["topic"], told["topic_id"], told["run_id"]) == (QUESTION, "2024-1", "ours")
    assert told["response_length"] == 400 and told["answer"][0]["citations"] == [0]


def test_an_answer_that_is_none_passes_the_rules_too(made: World) -> None:
    record: Any = made.ask("Which emperor built the wall?", format="trec_rag", threshold=1.0)
    assert validate(msgspec.to_builtins(record)) == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [({"format": "trec_rag", "stream": True}, "/stream"), ({"topic_id": "1"}, "/topic_id"),
     ({"run_id": "r"}, "/run_id"), ({"format": "trec_rag", "run_id": " "}, "/run_id")],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(made: World, given: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        made.ask(**given)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_an_error_is_the_error_in_any_form(made: World) -> None:
    with pytest.raises(VdbError) as caught:
        made.ask(format="trec_rag", backend="nobody")
    assert caught.value.code == "model_not_found"
