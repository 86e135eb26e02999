"""OpenAI's own client, unchanged, asks a real engine whose backends are scripted."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.api.served import Served, served
from tests.engine.answering.test_with_a_cache import with_cache
from tests.engine.answering.world import QUESTION, Scripted, World, failing, world
from vdb.errors import ModelUnavailable
from vdb.protocol.requests import CreateKey, TenantRate, UpdateCollection, UpdateTenant
from vdb.rag.generate.base import Asked, Cancelled, Stop
from vdb.types import Role

ASKED: Any = [{"role": "user", "content": QUESTION}]


@dataclass
class Surface:
    """An engine that is served, and clients of it."""

    made: World
    app: Served

    def key(self, tenant: str | None = "acme", role: Role = Role.READ) -> str:
        return str(self.made.driver.run("create_key", None, (), CreateKey(role=role, tenant=tenant)).key)

    def client(self, tenant: str = "acme", **given: Any) -> OpenAI:
        made: dict[str, Any] = {"api_key": self.key(tenant), "max_retries": 0, "base_url": f"{self.app.url}/v1"}
        return OpenAI(**(made | given))

    def aclient(self, tenant: str = "acme") -> AsyncOpenAI:
        return AsyncOpenAI(api_key=self.key(tenant), max_retries=0, base_url=f"{self.app.url}/v1")


@pytest.fixture
def surface(tmp_path: Path) -> Iterator[Surface]:
    with world(tmp_path) as made:
        made.use(Scripted("Five days [1]. Or [2] a week."))
        with served(made.engine) as app:
            yield Surface(made, app)


def test_a_chat_is_answered_with_citations(surface: Surface) -> None:
    answer = surface.client().chat.completions.create(model="notes", messages=ASKED, extra_body={"rag": {"limit": 2}})
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.model == "notes"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Five days [1]. Or [2] a week.")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 3, 13)
    rag: Any = answer.model_extra["rag"] if answer.model_extra else None
    assert [sentence["citations"] for sentence in rag["answer"]] == [[0], [1]]
    assert len(rag["references"]) == 2
    assert (rag["found"], rag["backend"], rag["model"]) == (True, "scripted", "scripted-1")


def test_a_stream_is_the_same_answer_in_pieces(surface: Surface) -> None:
    options: Any = {"include_usage": True}
    with surface.client().chat.completions.create(
        model="notes", messages=ASKED, stream=True, stream_options=options
    ) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    *told, last = chunks
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == "Five days [1]. Or [2] a week."
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["stop"]
    assert last.choices == [] and last.usage is not None and last.usage.total_tokens == 13
    assert all(chunk.usage is None for chunk in told)
    rags: list[Any] = [(chunk.model_extra or {}).get("rag") for chunk in told]
    assert [set(rag) for rag in rags if rag] == [{"retrieval"}, {"citations"}]
    assert rags[0] and rags[-1]
    assert rags[-1]["citations"]["answer"][1]["citations"] == [1]


def test_without_the_option_a_stream_has_no_usage(surface: Surface) -> None:
    chunks = list(surface.client().chat.completions.create(model="notes", messages=ASKED, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_the_asynchronous_client_gets_the_same(surface: Surface) -> None:
    async def ask() -> tuple[str | None, str]:
        async with surface.aclient() as client:
            whole = await client.chat.completions.create(model="notes", messages=ASKED)
            stream = await client.chat.completions.create(model="notes", messages=ASKED, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            models = [model.id async for model in client.models.list()]
            assert "notes/extractive" in models
            return whole.choices[0].message.content, "".join(pieces)

    whole, streamed = asyncio.run(ask())
    assert whole == streamed == "Five days [1]. Or [2] a week."


def test_models_are_collections_with_backends(surface: Surface) -> None:
    client = surface.client()
    models = client.models.list().data
    assert [model.id for model in models] == ["notes", "notes/extractive"]
    assert {(model.object, model.owned_by) for model in models} == {("model", "vdb")}
    assert client.models.retrieve("notes/extractive") == models[1]
    assert client.models.retrieve("notes") == models[0]


def test_a_hidden_model_is_one_that_does_not_exist(surface: Surface) -> None:
    surface.made.put("globex", {"other": "Nothing."})  # so that the tenant exists
    update = UpdateCollection(tenants=["globex"])
    surface.made.driver.run("update_collection", None, ("notes",), update)
    client, said = surface.client(), []
    assert [model.id for model in client.models.list().data] == []
    for model in ("notes", "notes/extractive", "notes/none", "absent", "absent/extractive", "../limits", "notes/"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(model)
        said.append(caught.value.body)
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=model, messages=ASKED)
        said.append(caught.value.body)
    assert all(one == said[0] for one in said)
    assert said[0] == {
        "message": "there is no such model, or the key may not use it",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert surface.client("globex").models.retrieve("notes").id == "notes"


def test_a_wrong_key_is_an_authentication_error(surface: Surface) -> None:
    client = surface.client(api_key="vdb_wrong")
    for ask in (client.models.list, lambda: client.chat.completions.create(model="notes", messages=ASKED)):
        with pytest.raises(openai.AuthenticationError) as caught:
            ask()
        assert (caught.value.code, caught.value.type) == ("unauthenticated", "authentication_error")
        assert caught.value.response.headers["www-authenticate"] == "Bearer"


def test_a_service_key_names_its_tenant(surface: Surface) -> None:
    key = surface.key(None, Role.SERVICE)
    with pytest.raises(openai.BadRequestError) as caught:
        surface.client(api_key=key).chat.completions.create(model="notes", messages=ASKED)
    assert caught.value.code == "tenant_required"
    client = surface.client(api_key=key, default_headers={"Vdb-Tenant": "acme"})
    assert client.chat.completions.create(model="notes", messages=ASKED).choices[0].message.content


def test_a_rate_limit_is_tried_again_when_it_says(surface: Surface) -> None:
    rate = TenantRate(reads_per_s=1.0)
    surface.made.driver.run("update_tenant", None, ("acme",), UpdateTenant(rate=rate))
    patient, hasty = surface.client(max_retries=5), surface.client()
    refused: list[openai.RateLimitError] = []
    for _ in range(10):
        try:
            hasty.chat.completions.create(model="notes", messages=ASKED)
        except openai.RateLimitError as exc:
            refused.append(exc)
    assert refused and refused[0].code == "rate_limited"
    assert int(refused[0].response.headers["retry-after"]) >= 1
    surface.made.driver.run("update_tenant", None, ("acme",), UpdateTenant(rate=TenantRate(reads_per_s=5.0)))
    assert patient.chat.completions.create(model="notes", messages=ASKED).choices[0].message.content


def test_a_backend_that_is_down_is_tried_again(surface: Surface) -> None:
    n_failed = 0

    def at_first(asked: Asked, emit: Any, stop: Stop) -> str:
        nonlocal n_failed
        if n_failed < 2:
            n_failed += 1
            raise ModelUnavailable("the backend does not answer", retry_after_s=0.01)
        emit("Five days [1].")
        return "Five days [1]."

    surface.made.use(Scripted(at_first))
    with pytest.raises(openai.InternalServerError) as caught:
        surface.client().chat.completions.create(model="notes", messages=ASKED, stream=True)
    assert (caught.value.status_code, caught.value.code) == (503, "model_unavailable")
    assert caught.value.response.headers["retry-after"]
    stream = surface.client(max_retries=2).chat.completions.create(model="notes", messages=ASKED, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Five days [1]."
    assert n_failed == 2


def test_a_backend_that_breaks_off_ends_the_stream_with_an_error(surface: Surface) -> None:
    surface.made.use(Scripted(failing(ModelUnavailable("the backend broke off"), after="Five ")))
    stream = surface.client().chat.completions.create(model="notes", messages=ASKED, stream=True)
    pieces: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        pieces += [chunk.choices[0].delta.content or "" for chunk in stream]
    assert caught.value.message == "the backend broke off"
    body: Any = caught.value.body
    assert body["code"] == "model_unavailable"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_goes_stops_the_backend(surface: Surface, is_streamed: bool) -> None:
    stopped = threading.Event()

    def endless(asked: Asked, emit: Any, stop: Stop) -> str:
        stop.ends(stopped.set)
        emit("Five days and some more. ")
        assert stopped.wait(20)
        raise Cancelled

    backend = Scripted(endless)
    surface.made.use(backend)
    if is_streamed:
        with surface.client().chat.completions.create(model="notes", messages=ASKED, stream=True) as stream:
            assert next(iter(stream)).choices[0].delta.role == "assistant"
            assert not stopped.is_set()
    else:
        with pytest.raises(openai.APITimeoutError):
            surface.client(timeout=0.5).chat.completions.create(model="notes", messages=ASKED)
    assert stopped.wait(20)
    assert len(backend.asked) == 1


def test_raw_responses_say_the_request_id(surface: Surface) -> None:
    raw = surface.client().chat.completions.with_raw_response.create(
        model="notes", messages=ASKED, extra_headers={"X-Request-Id": "mine-1"}
    )
    assert (raw.status_code, raw.headers["x-request-id"]) == (200, "mine-1")
    assert raw.parse().choices[0].message.content
    with pytest.raises(openai.NotFoundError) as caught:
        surface.client().chat.completions.create(model="x", messages=ASKED, extra_headers={"X-Request-Id": "mine-2"})
    assert caught.value.request_id == "mine-2"


def test_what_else_clients_send_is_ignored(surface: Surface) -> None:
    backend = Scripted("Yes [1].")
    surface.made.use(backend)
    answer = surface.client().chat.completions.create(
        model="notes",
        messages=ASKED,
        user="u1",
        store=False,
        metadata={"a": "b"},
        presence_penalty=0.1,
        parallel_tool_calls=False,
        reasoning_effort="low",
        extra_body={"top_k": 5, "response_format": {"type": "text"}, "n": 1, "tools": [], "tool_choice": "none"},
    )
    assert answer.choices[0].message.content == "Yes [1]."


def test_what_steers_the_backend_reaches_it(surface: Surface) -> None:
    backend = Scripted("Yes [1].")
    surface.made.use(backend)
    surface.client().chat.completions.create(
        model="notes",
        messages=ASKED,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["END", "\n\n"],
        max_tokens=5,
        max_completion_tokens=6,
    )
    (asked,) = backend.asked
    assert (asked.temperature, asked.top_p, asked.seed, asked.stop) == (0.5, 0.9, 7, ("END", "\n\n"))
    assert asked.max_tokens == 6


def test_the_cache_answers_the_same_chat_again_in_either_form(surface: Surface) -> None:
    with_cache(surface.made)
    backend = Scripted("Five days [1].")
    surface.made.use(backend)
    client = surface.client(api_key=surface.key("acme", Role.WRITE))

    def ask(*before: Any, **given: Any) -> Any:
        return client.chat.completions.create(model="notes", messages=[*before, *ASKED], **given)

    assert ask().rag["cache"]["hit"] is None
    again = ask()
    assert again.rag["cache"]["hit"] == "exact"
    assert again.choices[0].message.content == "Five days [1]."
    chunks = list(ask(stream=True))
    assert chunks[0].rag["retrieval"]["cache"]["hit"] == "exact"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Five days [1]."
    assert chunks[-1].rag["citations"]["references"] == again.rag["references"]
    assert len(backend.asked) == 1
    other: Any = {"role": "system", "content": "In verse."}
    assert ask(other).rag["cache"]["hit"] is None, "what was said before is a part of the question"
    assert ask(extra_body={"rag": {"cache": "off"}}).rag["cache"]["reason"] == "off"
    assert len(backend.asked) == 3


def test_nobody_is_answered_from_what_another_tenant_has(surface: Surface) -> None:
    with_cache(surface.made)
    surface.made.put("globex", {"pumps": "The pump leaks at the valve."})
    acme, globex = (surface.client(api_key=surface.key(name, Role.WRITE)) for name in ("acme", "globex"))
    anyhow: Any = {"rag": {"threshold": 0}}
    mine: Any = acme.chat.completions.create(model="notes", messages=ASKED, extra_body=anyhow)
    theirs: Any = globex.chat.completions.create(model="notes", messages=ASKED, extra_body=anyhow)
    assert theirs.rag["cache"]["hit"] is None
    assert {reference["owner"] for reference in mine.rag["references"]} == {"acme"}
    assert {reference["owner"] for reference in theirs.rag["references"]} == {"globex"}
