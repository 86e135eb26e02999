"""The form of TREC RAG 2024: whatever is answered, its record keeps the rules, and what breaks one is found."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.protocol.answer_answers import CitedAnswer, Context, FromCache, Reference, Sentence, Timings, TokenUsage
from vdb.rag.trec import MOST_REFERENCES, MOST_WORDS, trec_rag, validate


def answered(sentences: list[tuple[str, list[int]]], ids: list[tuple[str, str]]) -> CitedAnswer:
    return CitedAnswer(
        answer=[Sentence(text=text, citations=cited) for text, cited in sentences],
        text=" ".join(text for text, _ in sentences),
        references=[Reference(id=name, owner=owner, version=1, score=1.0) for owner, name in ids],
        found=True,
        support=None,
        threshold=None,
        finish_reason="stop",
        backend="extractive",
        model="extractive",
        template="default@1",
        sequence=1,
        usage=TokenUsage(prompt_tokens=1, completion_tokens=1),
        context=Context(passages=1, tokens=1, budget_tokens=1),
        cache=FromCache(hit=None, reason="off"),
        timings=Timings(),
    )


def record(sentences: list[tuple[str, list[int]]], ids: list[tuple[str, str]]) -> dict[str, Any]:
    return trec_rag(answered(sentences, ids), "Who?", "2024-1", "run")


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[tuple[str, list[int]]], list[tuple[str, str]]]:
    ids = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30).map(str)), max_size=40, unique=True))
    texts = st.lists(st.sampled_from(["word", "ﷺ", "two words", "½", " "]), max_size=160).map(" ".join)
    places = st.lists(st.integers(0, len(ids) - 1), max_size=3, unique=True) if ids else st.just([])
    return draw(st.lists(st.tuples(texts, places), max_size=8)), ids


@given(answers())
def test_every_answer_becomes_a_valid_record(drawn: tuple[list[tuple[str, list[int]]], list[tuple[str, str]]]) -> None:
    assert validate(record(*drawn)) == []


def test_what_was_said_and_cited_stays_where_there_is_room() -> None:
    made = record([("One.", [1]), ("Two.", [1, 2])], [("a", "x"), ("a", "y"), ("a", "z")])
    assert made["references"] == ["y", "z"]
    assert made["answer"] == [{"text": "One.", "citations": [0]}, {"text": "Two.", "citations": [0, 1]}]
    assert made["response_length"] == 2
    assert (made["topic"], made["topic_id"], made["run_id"]) == ("Who?", "2024-1", "run")


def test_words_beyond_the_most_are_cut_from_the_end_with_what_they_cite() -> None:
    made = record([("word " * 300, [0]), ("word " * 300, [1]), ("End.", [2])], [("a", "x"), ("a", "y"), ("a", "z")])
    assert made["response_length"] == MOST_WORDS
    assert made["references"] == ["x", "y"]
    assert len(made["answer"]) == 2


def test_references_beyond_the_most_are_left_out() -> None:
    made = record([("So.", [place]) for place in range(25)], [("a", f"{place:02}") for place in range(25)])
    assert len(made["references"]) == MOST_REFERENCES
    assert [sentence["citations"] for sentence in made["answer"][18:22]] == [[18], [19], [], []]


def test_points_of_the_same_id_are_told_apart_by_their_owners() -> None:
    assert record([("So.", [0, 1])], [("a", "x"), ("b", "x")])["references"] == ["a/x", "b/x"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run_id": ""}, "run_id is empty"),
        ({"references": ["x", "x"]}, "a reference stands twice"),
        ({"references": [str(n) for n in range(21)]}, "21 references: at most 20"),
        ({"references": "x"}, "references is a list of ids, answer a list of sentences"),
        ({"answer": [{"text": "So.", "citations": [2]}]}, "sentence 0: 2 is no place of a reference"),
        ({"answer": [{"text": "So.", "citations": [-1]}]}, "sentence 0: -1 is no place of a reference"),
        ({"answer": [{"text": "So.", "citations": [True]}]}, "sentence 0: citations is a list of places"),
        ({"answer": [{"text": "So.", "citations": [0, 0]}]}, "sentence 0: cites a reference twice"),
        ({"answer": [{"text": " ", "citations": []}]}, "sentence 0: text is missing"),
        ({"answer": [{"text": "w " * 401, "citations": [0, 1]}]}, "401 words: at most 400"),
        ({"answer": [{"text": "So.", "citations": [0]}]}, "nothing cites reference 1"),
        ({"response_length": 7}, "response_length is not 1"),
    ],
)
def test_what_breaks_a_rule_is_found(change: dict[str, Any], said: str) -> None:
    valid = record([("So.", [0, 1])], [("a", "x"), ("a", "y")])
    assert validate(valid) == []
    assert said in validate({**deepcopy(valid), **change})


def test_missing_members_are_named() -> None:
    assert "answer is missing" in validate({})
