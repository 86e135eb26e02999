"""What of OpenAI's chats is taken, and what is refused, in their shape and at its place."""

from typing import Any

import msgspec
import pytest

from tests.api.served import ScriptedEngine, served
from tests.api.stub_engine import StubEngine, ask
from vdb.config import Limits, Settings
from vdb.engine.answering.chat import question_of_chat
from vdb.engine.answering.question import Question
from vdb.errors import DiskFull, InvalidArgument, NotOwner, RateLimited
from vdb.protocol.chat_requests import Chat
from vdb_api.errors import problem

USER = {"role": "user", "content": "Who?"}


def question(**given: Any) -> Question:
    return question_of_chat(msgspec.convert({"model": "notes", "messages": [USER], **given}, Chat))


def test_the_last_message_of_the_user_is_the_question() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "First"}, {"type": "text", "text": "part"}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": None},
        USER,
        {"role": "developer", "content": "In verse."},
    ]
    asked = question(messages=messages, model="notes/extractive")
    assert (asked.text, asked.collection, asked.backend) == ("Who?", "notes", "extractive")
    said = [(turn.role, turn.content) for turn in asked.history]
    assert said == [
        ("system", "Be brief."),
        ("system", "In verse."),
        ("user", "First\npart"),
        ("assistant", "Yes."),
    ]
    assert (asked.text_at, asked.options_at, asked.backend_at) == ("/messages/4/content", "/rag", "/model")


def test_nulls_stand_for_what_is_not_given() -> None:
    fields = ("max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options", "n", "tools", "rag")
    plain, nulls = question(), question(**dict.fromkeys(fields))
    assert nulls.options == plain.options
    assert msgspec.structs.asdict(nulls.options)["limit"] == msgspec.structs.asdict(plain.options)["limit"]
    assert (nulls.max_tokens, nulls.temperature, nulls.stop, nulls.backend) == (None, None, (), None)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "/messages"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}]}, "/messages/1"),
        ({"messages": [{"role": "user"}]}, "/messages/0/content"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}, USER]}, "/messages/0"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}, USER]}, "/messages/0"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "/messages/0/content/0/type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "/messages/0/content/0/text"),
        ({"n": 2}, "/n"),
        ({"n": 0}, "/n"),
        ({"logprobs": True}, "/logprobs"),
        ({"tools": [{"type": "function"}]}, "/tools"),
        ({"tool_choice": "required"}, "/tool_choice"),
        ({"functions": [{}]}, "/functions"),
        ({"function_call": {"name": "x"}}, "/function_call"),
        ({"modalities": ["text", "audio"]}, "/modalities"),
        ({"response_format": {"type": "json_object"}}, "/response_format"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "/stop"),
        ({"stop": ""}, "/stop"),
    ],
)
def test_what_is_not_done_here_is_refused_at_its_place(given: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        question(**given)
    assert [fault.pointer for fault in caught.value.problems] == [pointer]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b'{"model":"notes"}', "invalid_argument", "messages"),
        (b'{"model":"notes","messages":[{"role":"wizard","content":""}]}', "invalid_argument", "messages[0].role"),
        (b'{"model":"notes","messages":[{"role":"user","content":5}]}', "invalid_argument", "messages[0].content"),
        (b'{"model":"notes","messages":[],"rag":{"limits":5}}', "unknown_field", "rag.limits"),
        (b'{"model":"notes","model":"notes","messages":[]}', "duplicate_key", "model"),
    ],
)
def test_a_bad_body_is_told_in_openais_shape(body: bytes, code: str, param: str | None) -> None:
    answer = ask(StubEngine(), "POST", "/v1/chat/completions", body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    error = answer.json["error"]
    assert set(answer.json) == {"error"} and set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/notes/extractive", 405, "method_not_allowed"),
        ("POST", "/v1/chat/nothing", 404, "route_not_found"),
        ("POST", "/v1/embeddings", 404, "route_not_found"),
        ("POST", "/v1/responses", 404, "route_not_found"),
    ],
)
def test_routes_that_openais_clients_ask_answer_in_their_shape(method: str, path: str, status: int, code: str) -> None:
    answer = ask(StubEngine(), method, path)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert ("allow" in answer.headers) is (status == 405)


def test_refusals_before_the_body_have_the_same_shape() -> None:
    small = StubEngine(settings=Settings(limits=Limits(max_body_bytes=100)))
    for asked, status, code in (
        (ask(StubEngine(), "POST", "/v1/chat/completions", b"{}", key=None), 401, "unauthenticated"),
        (ask(small, "POST", "/v1/chat/completions", b" " * 101), 413, "body_too_large"),
        (
            ask(StubEngine(), "POST", "/v1/chat/completions", b"x", headers=[("content-type", "text/plain")]),
            415,
            "unsupported_media_type",
        ),
    ):
        assert (asked.status, asked.json["error"]["code"]) == (status, code)
    limited = StubEngine()
    limited.meter.error = RateLimited("slow down", retry_after_s=2.0)
    refused = ask(limited, "POST", "/v1/chat/completions", b"{}")
    assert (refused.status, refused.json["error"]["type"]) == (429, "rate_limit_error")
    assert refused.headers["retry-after"] == "2"


def test_kinds_of_errors_by_status() -> None:
    for error, kind in ((NotOwner("x"), b"permission_error"), (DiskFull("x"), b"server_error")):
        assert b'"type":"%s"' % kind in problem(error, "r", shape="openai").body


def test_a_bug_in_a_chat_tells_nothing() -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("the secret of acme")

    with served(ScriptedEngine(fails)) as app:
        reply = app.ask("/v1/chat/completions", {"model": "notes", "messages": [USER]})
        raw = reply.read()
    assert reply.status == 500
    assert b'"code":"internal_error"' in raw and b"secret" not in raw
