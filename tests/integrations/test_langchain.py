"""The cache of LangChain's models over vdb: what it finds again, what it keeps apart, what it never loads."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import Generation

import vdb
from tests.client.scripted import problem, serving
from vdb.client import Client
from vdb.errors import Unavailable
from vdb.integrations.langchain import VdbCache
from vdb.integrations.langchain_prompts import prompt_of
from vdb.local import Database

NEAREST: dict[str, Any] = {"threshold": 0.9, "explore": 0.0, "guard": False}
VECTORS = {"Who are you?": [1.0, 0.0], "Who are you, please?": [0.99, 0.1], "What is it?": [0.0, 1.0]}
PROMPT_TEMPLATE = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "prompts", "prompt", "PromptTemplate"],
    "kwargs": {"template": "", "input_variables": []},
}
LLM = "[('model', 'large-2')]"


def embed(text: str) -> list[float]:
    return VECTORS[text]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with vdb.open(tmp_path / "data", compile_kernels=False) as opened:
        opened.create_cache("answers", 2)
        opened.cache("answers").put_policy("chat", **NEAREST)
        yield opened


@pytest.fixture
def cache(database: Database) -> VdbCache:
    return VdbCache(database.cache("answers", tenant="acme"), embed, category="chat")


def _model(cache: VdbCache, *answers: str) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]), cache=cache)


def test_a_chat_model_is_asked_once(cache: VdbCache) -> None:
    model = _model(cache, "I am a model.", "Something else.")
    said = [model.invoke(question).content for question in ("Who are you?", "Who are you?", "Who are you, please?")]
    assert said == ["I am a model."] * 3
    assert model.invoke("What is it?").content == "Something else."


def test_a_chat_model_is_asked_once_by_coroutines(cache: VdbCache) -> None:
    model = _model(cache, "I am a model.")

    async def ask() -> list[Any]:
        return [(await model.ainvoke(question)).content for question in ("Who are you?", "Who are you, please?")]

    assert asyncio.run(ask()) == ["I am a model."] * 2


def test_a_plain_model_is_asked_once(cache: VdbCache) -> None:
    model = FakeListLLM(responses=["one", "two"], cache=cache)
    assert [model.invoke(text) for text in ("Who are you?", "Who are you, please?", "What is it?")] == [
        "one",
        "one",
        "two",
    ]


def test_system_messages_and_parameters_keep_answers_apart(cache: VdbCache) -> None:
    model = _model(cache, "plain", "kind", "stopped")
    question = HumanMessage("Who are you?")
    assert model.invoke([question]).content == "plain"
    assert model.invoke([SystemMessage("Be kind."), question]).content == "kind"
    assert model.invoke([SystemMessage("Be kind."), question]).content == "kind"
    assert model.invoke([question], stop=["."]).content == "stopped"


def test_earlier_turns_are_looked_up_only_where_the_policy_says_so(database: Database, cache: VdbCache) -> None:
    turns = [HumanMessage("Hello"), AIMessage("Hi."), HumanMessage("Who are you?")]
    model = _model(cache, "one", "two", "three", "four")
    assert [model.invoke(turns).content for _ in range(2)] == ["one", "two"]
    database.cache("answers").put_policy("chat", **NEAREST, turns="equal")
    assert [model.invoke(turns).content for _ in range(2)] == ["three", "three"]
    assert model.invoke("Who are you?").content == "four"


def test_scopes_and_tenants_keep_answers_apart(database: Database, cache: VdbCache) -> None:
    mine = [Generation(text="mine")]
    cache.update("Who are you?", LLM, mine)
    assert cache.lookup("Who are you?", LLM) == mine
    assert cache.lookup("Who are you?", "another model") is None
    for tenant, scope in (("globex", ""), ("acme", "user-1")):
        handle = database.cache("answers", tenant=tenant)
        handle.store(None, "x", text="make the tenant")
        assert VdbCache(handle, embed, category="chat", scope=scope).lookup("Who are you?", LLM) is None


def test_what_no_question_is_found_only_if_it_is_equal(cache: VdbCache) -> None:
    image = [HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])]
    assert not prompt_of(dumps(image), LLM).is_text
    model = _model(cache, "a picture", "none")
    assert [model.invoke(image).content for _ in range(2)] == ["a picture"] * 2
    assert prompt_of("[not messages", LLM).text == "[not messages"
    assert prompt_of(dumps([HumanMessage([{"type": "text", "text": "a"}, "b"])]), LLM).text == "a\nb"


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        {"langchain_generations": "x"},
        {"langchain_generations": []},
        {"langchain_generations": [PROMPT_TEMPLATE]},
        {"langchain_generations": [{"lc": 1, "type": "secret", "id": ["PATH"]}]},
        {"langchain_generations": [{"text": "a dict is no generation"}]},
    ],
)  # fmt: skip
def test_an_answer_that_is_not_ours_is_a_miss(database: Database, cache: VdbCache, answer: Any) -> None:
    asked = prompt_of("Who are you?", LLM)
    handle = database.cache("answers", tenant="acme")
    handle.store(None, answer, text=asked.text, category="chat", fingerprint=asked.fingerprint)
    assert handle.lookup(asked.text, category="chat", fingerprint=asked.fingerprint).hit == "exact"
    assert cache.lookup("Who are you?", LLM) is None


def test_fresh_answers_are_compared_with_the_candidates(database: Database) -> None:
    database.cache("answers").put_policy("chat", mode="shadow", guard=False)
    handle = database.cache("answers", tenant="acme")
    cache = VdbCache(handle, embed, category="chat", is_same=lambda one, other: one == other)
    for question, answer in (("Who are you?", "I."), ("Who are you, please?", "I."), ("What is it?", "That.")):
        assert cache.lookup(question, LLM) is None
        cache.update(question, LLM, [Generation(text=answer)])
    (row,) = [row for row in handle.stats().categories if row.category == "chat"]
    assert (row.labels_right, row.labels_wrong) == (1, 1)


def test_clear_removes_the_category_only(database: Database, cache: VdbCache) -> None:
    cache.update("Who are you?", LLM, [Generation(text="I.")])
    handle = database.cache("answers", tenant="acme")
    handle.store(None, "kept", text="Who are you?")
    cache.clear()
    assert cache.lookup("Who are you?", LLM) is None
    assert [entry.category for entry in handle.entries()] == ["unknown"]


def test_a_cache_that_is_down_is_a_miss() -> None:
    with serving(problem(503, "shutting_down")) as script, Client(script.url, "key", n_retries=0) as client:
        model = _model(VdbCache(client.cache("answers"), embed), "I.", "again")
        assert model.invoke("Who are you?").content == "I."
        strict = VdbCache(client.cache("answers"), embed, fails_open=False)
        with pytest.raises(Unavailable):
            strict.lookup("Who are you?", LLM)


def test_a_prompt_too_large_for_the_cache_is_a_miss(database: Database) -> None:
    cache = VdbCache(database.cache("answers", tenant="acme"), category="chat", fails_open=False)
    assert cache.lookup("a" * 70_000, LLM) is None
    cache.update("a" * 70_000, LLM, [Generation(text="I.")])
