"""Answers: what comes of a question, event by event, and what stands in it."""

import pytest
from msgspec import UNSET

from tests.engine.answering.world import QUESTION, TEXTS, Scripted, World
from tests.engine.driver import WAIT_S
from vdb.protocol.answer_answers import DeltaEvent, DoneEvent, RetrievalEvent
from vdb.protocol.answering import Answering
from vdb.protocol.requests import EmbeddingModel, UpdateCollection
from vdb.rag.extractive import DEFAULT_THRESHOLD
from vdb.rag.prompt import DEFAULT_TEMPLATE


def test_a_question_is_answered_with_what_it_was_written_from(made: World) -> None:
    answer = made.ask()
    assert answer.found and "five days" in answer.text
    assert answer.references[0].document == "refunds"
    assert answer.answer[0].citations == [0]
    assert answer.sequence == 3 and answer.context.passages >= 1
    assert answer.backend == "extractive" and answer.finish_reason == "stop"


def test_events_come_in_order_and_end_with_the_whole_answer(made: World) -> None:
    running, events = made.begin()
    answer = running.future.result(WAIT_S)
    names = [type(event).__name__ for event in events]
    n = names.count("DeltaEvent")
    assert n >= 1
    assert names == ["RetrievalEvent", *["DeltaEvent"] * n, "CitationsEvent", "UsageEvent", "DoneEvent"]
    assert "".join(event.text for event in events if isinstance(event, DeltaEvent)) == answer.text
    assert isinstance(events[-1], DoneEvent) and events[-1].answer is answer


def test_a_tenant_without_points_is_told_that_nothing_was_found_and_no_backend_is_asked(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.put("globex", {"other": "A text."})
    made.driver.create("empty", embedding=EmbeddingModel(model="lexical", version="1"), dimension=32)
    running, events = made.begin(tenant="globex", collection="empty")
    answer = running.future.result(WAIT_S)
    assert not answer.found and answer.references == [] and answer.support == 0.0
    assert QUESTION not in answer.text and backend.asked == []
    assert [type(event).__name__ for event in events] == [
        "RetrievalEvent",
        "DeltaEvent",
        "CitationsEvent",
        "UsageEvent",
        "DoneEvent",
    ]


def test_points_without_text_are_no_passages(made: World) -> None:
    made.driver.create("bare", dimension=2)
    made.driver.upsert("acme", "bare", ["a", "b"], [[1.0, 0.0], [0.0, 1.0]])
    answer = made.ask(collection="bare", vector=[1.0, 0.0])
    assert not answer.found


def test_citations_are_numbered_by_first_citation_and_unknown_ones_dropped(made: World) -> None:
    backend = Scripted("First this [2]. Then that [9]. Both [1][2]. ")
    made.use(backend)
    answer = made.ask()
    passages = backend.asked[0].passages
    assert [reference.id for reference in answer.references] == [passages[1].id, passages[0].id]
    assert [sentence.citations for sentence in answer.answer] == [[0], [], [0, 1]]
    assert answer.text.strip() == "First this [1]. Then that. Both [2][1]."
    assert answer.unknown_citations == 1


def test_an_answer_that_cites_nothing_is_given_without_references(made: World) -> None:
    made.use(Scripted("Five days."))
    answer = made.ask()
    assert answer.found and answer.references == [] and answer.answer[0].citations == []


def test_references_say_their_texts_only_if_asked(made: World) -> None:
    made.use(Scripted("Yes [1]."))
    plain, told = made.ask(), made.ask(with_texts=True)
    assert "text" not in plain.references[0].__struct_encode_fields__ or not isinstance(plain.references[0].text, str)
    assert told.references[0].text in TEXTS.values()


def test_what_a_backend_is_asked_holds_the_question_last(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    made.ask(max_tokens=17, temperature=0.5, seed=3)
    (asked,) = backend.asked
    assert asked.question == QUESTION and QUESTION in asked.messages[-1].content
    assert asked.messages[0].role == "system" and TEXTS["refunds"] in asked.messages[0].content
    assert (asked.max_tokens, asked.temperature, asked.seed) == (17, 0.5, 3)


def test_a_stream_says_which_passages_before_the_first_word(made: World) -> None:
    made.use(Scripted())
    running, events = made.begin()
    running.future.result(WAIT_S)
    assert isinstance(events[0], RetrievalEvent)
    assert sorted(passage.document for passage in events[0].passages) == sorted(TEXTS)


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_the_reason_why_an_answer_ended_is_told(made: World, reason: str) -> None:
    made.use(Scripted(finish_reason=reason))
    assert made.ask().finish_reason == reason


def test_what_it_took_is_told_and_counted(made: World) -> None:
    made.use(Scripted())
    answer = made.ask()
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.counted) == (10, 3, False)
    figures = made.services.answers
    assert figures.outcomes["found"] == 1
    assert {stage: sum(counts) for stage, counts, _ in figures.stages}["generation"] == 1
    assert answer.timings.total_ms >= answer.timings.generation_ms >= answer.timings.first_token_ms


def test_a_question_of_another_subject_is_not_answered_and_no_backend_is_asked(made: World) -> None:
    backend = Scripted()
    made.use(backend)
    answer = made.ask("Which emperor built the northern wall?", threshold=UNSET)
    assert not answer.found and backend.asked == [] and answer.references == []
    assert answer.support is not None and answer.threshold == DEFAULT_THRESHOLD > answer.support
    assert answer.text == DEFAULT_TEMPLATE.not_found
    assert made.services.answers.outcomes["not_found"] == 1


def test_the_threshold_is_the_questions_else_the_collections_else_the_default(made: World) -> None:
    made.use(Scripted())
    stated = UpdateCollection(answering=Answering(threshold=0.9999))
    made.driver.run("update_collection", None, ("notes",), stated)
    refused = made.ask(threshold=UNSET)
    assert not refused.found and refused.threshold == 0.9999
    answered = made.ask(threshold=0.0)
    assert answered.found and answered.threshold == 0.0 and answered.support == refused.support


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_backend_that_writes_nothing_has_not_found_it(made: World, text: str) -> None:
    made.use(Scripted(text))
    answer = made.ask()
    assert not answer.found and answer.text == DEFAULT_TEMPLATE.not_found
