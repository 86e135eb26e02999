"""Which questions are checked at once: those of a collection at hand, with nothing in them that may take long."""

from typing import Any

import pytest

from tests.engine.answering.world import QUESTION, World
from tests.engine.driver import Driver
from vdb.protocol.answer_requests import Answer, AnswerCache, AnswerOptions
from vdb.protocol.cache_requests import CreateCache
from vdb.protocol.chat_requests import Chat, Turn


def quick(driver: Driver, collection: str = "notes", **given: Any) -> bool:
    request = Answer(collection=collection, question=QUESTION, **given)
    return bool(driver.engine.is_quick("answer", driver.caller("acme"), (), request))


def test_a_question_of_a_collection_at_hand_is_checked_at_once(made: World) -> None:
    assert quick(made.driver)
    assert quick(made.driver, collection="unknown")  # which is said at once
    assert not quick(made.driver, filter={"field": "lang", "eq": "en"})


def test_a_chat_is_checked_at_once_as_its_question_is(made: World) -> None:
    caller = made.driver.caller("acme")
    turns = [Turn(role="user", content=QUESTION)]
    assert made.engine.is_quick("chat", caller, (), Chat(model="notes/extractive", messages=turns))
    filtered = AnswerOptions(filter={"field": "lang", "eq": "en"})
    assert not made.engine.is_quick("chat", caller, (), Chat(model="notes", messages=turns, rag=filtered))


def test_a_question_whose_collection_or_cache_has_to_be_opened_is_not(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.driver.run("create_cache", None, (), CreateCache(name="faq", dimension=32))
    by_name: dict[str, Any] = {"cache": AnswerCache(name="faq")}
    assert not quick(made.driver, **by_name)
    assert quick(made.driver, cache="off")
    made.ask(**by_name)
    assert quick(made.driver, **by_name)
    monkeypatch.setattr(made.services.shards, "peek", lambda _: None)
    assert not quick(made.driver)
