"""Answers in every way to reach the engine: whole, as events, what is refused; and the models that may be asked."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.contract.ways import World

LEXICAL = {"model": "lexical", "version": "1"}
REFUNDS = "Refunds take five days. Ask again after a week."
QUESTION = "How long do refunds take?"


@pytest.fixture
def guides(world: World) -> Any:
    """A collection of two texts that can be searched by words and by vectors, as acme sees it."""
    world.admin.create_collection(world.name("guides"), 32, embedding=LEXICAL, text={"fields": {"text": 1}})
    guides = world.points("guides", "acme")
    guides.put_documents([{"id": "refunds", "text": REFUNDS}, {"id": "pumps", "text": "The pump leaks at the valve."}])
    return guides


def told(answer: Any) -> Any:
    """As JSON data, whatever way it came."""
    return msgspec.to_builtins(answer)


def test_an_answer_has_sentences_with_citations(world: World, guides: Any) -> None:
    answer = told(guides.answer(QUESTION))
    assert answer["found"] is True
    assert "five days" in answer["answer"][0]["text"]
    assert answer["answer"][0]["citations"] == [0]
    assert answer["references"][0]["id"] == "refunds#0"
    assert answer["references"][0]["document"] == "refunds"
    assert "text" not in answer["references"][0]
    assert "[1]" in answer["text"]
    assert (answer["backend"], answer["finish_reason"]) == ("extractive", "stop")


def test_options_reach_the_answer(world: World, guides: Any) -> None:
    vector = np.ones(32, np.float32)
    answer = told(guides.answer(QUESTION, vector=vector, limit=1, with_texts=True, context={"whole": False}))
    assert [reference["text"] for reference in answer["references"]] == [REFUNDS]
    assert answer["context"]["passages"] == 1
    nothing = told(guides.answer(QUESTION, filter={"field": "document", "eq": "none"}))
    assert (nothing["found"], nothing["references"]) == (False, [])
    assert told(guides.answer(QUESTION, backend="extractive", cache="off"))["found"] is True


def test_events_come_in_order_and_end_with_the_same_answer(world: World, guides: Any) -> None:
    events = [told(event) for event in guides.answer_stream(QUESTION)]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "retrieval"
    assert kinds[-3:] == ["citations", "usage", "done"]
    assert set(kinds[1:-3]) == {"delta"}
    whole = events[-1]["answer"]
    assert "".join(event["text"] for event in events if event["event"] == "delta") == whole["text"]
    assert events[-3]["references"] == whole["references"]
    assert world.plain(whole) == world.plain(guides.answer(QUESTION))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"backend": "absent"}, "model_not_found"),
        ({"context": {"tokens": 1, "whole": False}}, "budget_too_small"),
        ({"limit": 0}, "invalid_argument"),
        ({"temperature": 3.0}, "invalid_argument"),
        ({"limits": 5}, "unknown_field"),
        ({"vector": [1.0]}, "dimension_mismatch"),
        ({"min_sequence": 10**9, "timeout_s": 0.0}, "sequence_timeout"),
    ],
)
def test_what_is_refused_is_the_same_error_whole_and_streamed(
    world: World, guides: Any, given: dict[str, Any], code: str
) -> None:
    assert world.code(guides.answer, QUESTION, **given) == code
    assert world.code(lambda: list(guides.answer_stream(QUESTION, **given))) == code


def test_a_sequence_that_is_not_reached_is_waited_for_no_longer_than_timeout_s(
    world: World, guides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process it was as long as an answer may take: up to a minute."""
    pauses: list[float] = []
    monkeypatch.setattr("vdb.local.LocalTransport.sleep", lambda self, seconds: pauses.append(seconds))
    assert world.code(guides.answer, QUESTION, min_sequence=10**9, timeout_s=0.0) == "sequence_timeout"
    assert not pauses


def test_a_hidden_collection_answers_like_none(world: World, guides: Any) -> None:
    world.tenant("globex")
    world.admin.update_collection(world.name("guides"), tenants=[world.name("globex")])
    absent = world.points("absent", "acme")
    for ask in (guides.answer, absent.answer):
        assert world.code(ask, QUESTION) == "collection_not_found"
    for stream in (guides.answer_stream, absent.answer_stream):
        assert world.code(lambda ask=stream: list(ask(QUESTION))) == "collection_not_found"
    assert world.code(guides.answer, "") == "collection_not_found"


def test_models_are_the_collections_of_the_key_with_their_backends(world: World, guides: Any) -> None:
    name = world.name("guides")
    acme = world.tenant("acme")
    models = [model for model in told(acme.models()) if model["id"].partition("/")[0] == name]
    assert [model["id"] for model in models] == [name, f"{name}/extractive"]
    assert world.plain(acme.get_model(f"{name}/extractive")) == {
        "id": "guides/extractive",
        "object": "model",
        "owned_by": "vdb",
    }
    for absent in (f"{name}/absent", world.name("absent"), f"{name}/../x", "..", f"{name}/extractive/"):
        assert world.code(acme.get_model, absent) == "model_not_found"
