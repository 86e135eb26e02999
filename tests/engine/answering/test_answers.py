"""Answers: what comes of a question, event by event, and whose points it is written from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.answering.world import QUESTION, World, world
from tests.engine.driver import WAIT_S
from vdb.protocol.answer_answers import DeltaEvent
from vdb.protocol.requests import EmbeddingModel


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found:
        yield found


def test_a_question_is_answered_with_what_it_was_written_from(made: World) -> None:
    answer = made.ask()
    assert answer.found and "five days" in answer.text
    assert [reference.document for reference in answer.references] == ["refunds"]
    assert answer.answer[0].citations == [0]
    assert answer.sequence == 3 and answer.context.passages == 3 and answer.context.whole


def test_events_come_in_order_and_end_with_the_whole_answer(made: World) -> None:
    running, events = made.begin()
    answer = running.future.result(WAIT_S)
    names = [type(event).__name__ for event in events]
    n = names.count("DeltaEvent")
    assert n >= 1
    assert names == ["RetrievalEvent", *["DeltaEvent"] * n, "CitationsEvent", "UsageEvent", "DoneEvent"]
    assert "".join(event.text for event in events if isinstance(event, DeltaEvent)) == answer.text
    assert events[-1].answer is answer  # type: ignore[union-attr]


def test_a_tenant_without_points_is_told_that_nothing_was_found(made: World) -> None:
    made.put("globex", {"other": "A text."})
    made.driver.create("empty", text=None, embedding=EmbeddingModel(model="lexical", version="1"), dimension=32)
    answer = made.ask(tenant="globex", collection="empty")
    assert not answer.found and answer.references == [] and answer.support == 0.0
    assert QUESTION not in answer.text
