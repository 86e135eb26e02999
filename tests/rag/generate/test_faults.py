"""Servers that are not quite compatible, and such as fail in the middle: each fault is scripted."""

import json
import threading
from typing import Any

import pytest

from tests.rag.generate.chats import (
    ASKED,
    DONE,
    PIECES,
    TEXT,
    WHOLE,
    asking,
    body,
    chunk,
    chunks,
    event,
    streamed,
    usage,
)
from tests.rag.model_server import Request, Say
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.generate import upstream as module
from vdb.rag.generate.base import Asked, ContextTooLong, Generated, Stop


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_GRACE_S", 0.2)


def answered(say: Say, asked: Asked = ASKED, **given: Any) -> tuple[Generated, list[str]]:
    pieces: list[str] = []
    with asking(say, **given) as (backend, _):
        return backend.generate(asked, pieces.append, Stop()), pieces


FORMS = {
    "no [DONE]": streamed(*chunks(), usage()),
    "no [DONE], no length": streamed(*chunks(), usage(), is_chunked=False),
    "held open after the end": streamed(*chunks(), usage(), threading.Event()),
    "broken off after the end": streamed(*chunks(), usage(), breaks_off=True),
    "usage in the last chunk of text": streamed(*chunks()[:-1], chunk(finish="stop", usage=usage()["usage"]), DONE),
    "usage null until the last": streamed(*(part | {"usage": None} for part in chunks()), usage(), DONE),
    "CRLF": streamed(*(event(part, "\r\n") for part in (*chunks(), usage())), b"data: [DONE]\r\n\r\n"),
    "CR": streamed(*(event(part, "\r") for part in (*chunks(), usage())), b"data: [DONE]\r\r"),
    "comments and fields": streamed(
        b": ping\n\n", b"event: message\nid: 5\nretry: 3\n", *chunks(), b":\n", usage(), b":keep\n\n", DONE
    ),
    "a mark of byte order": streamed(b"\xef\xbb\xbf", *chunks(), usage(), DONE),
    "no space": streamed(*(event(part).replace(b"data: ", b"data:") for part in (*chunks(), usage())), DONE),
    "no empty lines": streamed(*(event(part)[:-1] for part in (*chunks(), usage())), b"data: [DONE]\n"),
    "no last line": streamed(*chunks(), event(usage())[:-2], is_chunked=False),
    "data in several lines": streamed(
        *(b"data: " + json.dumps(part, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n" for part in chunks()),
        usage(),
        DONE,
    ),
    "content null, missing, empty": streamed(
        chunk({"content": None}), chunk({}), chunk(None), chunk({"content": ""}), *chunks(), usage(), DONE
    ),
    "content of parts": streamed(
        *(chunk({"content": [{"type": "text", "text": piece}]}) for piece in PIECES), *chunks()[-1:], usage(), DONE
    ),
    "reasoning": streamed(
        chunk({"reasoning_content": "Hm. "}), chunk({"reasoning": "So."}), *chunks(), usage(), DONE
    ),
    "the whole message in a chunk": streamed(
        {"model": "m", "choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}, usage(), DONE
    ),
    "other events": streamed({"type": "ping"}, *chunks(), usage(), DONE),
    "a body of JSON": Say(body()),
    "a body of JSON that says it is events": Say(body(), headers={"Content-Type": "text/event-stream"}),
    "events that say they are JSON": Say(
        b"".join(map(event, (*chunks(), usage()))) + DONE, headers={"Content-Type": "application/json"}
    ),
    "content of parts in a body": Say(
        body() | {"choices": [{"message": {"content": [{"type": "text", "text": TEXT}]}, "finish_reason": "stop"}]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_answer_is_understood(form: str) -> None:
    made, pieces = answered(FORMS[form])
    assert made.text == "".join(pieces) == TEXT
    assert (made.finish_reason, made.model) == ("stop", "m")
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.is_counted) == (40, 9, False)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_bytes_may_come_in_packets_of_any_size(size: int) -> None:
    text = "Zürich – 東京 😀\r\nline\u2028[1]"
    data = b"".join(event(part, "\r\n") for part in (*chunks([text]), usage())) + DONE
    packets = [data[first : first + size] for first in range(0, len(data), size)]
    made, _ = answered(streamed(*packets))
    assert made.text == text


def test_pieces_go_on_as_they_come() -> None:
    heard = threading.Event()
    say = streamed(chunks()[1], heard, *chunks()[2:], DONE)
    with asking(say) as (backend, _):
        made = backend.generate(ASKED, lambda _: heard.set(), Stop())
    assert made.text == TEXT


def test_without_usage_tokens_are_counted() -> None:
    made, _ = answered(streamed(*chunks(), DONE), message_tokens=5)
    n_prompt = sum(len(message.content) for message in ASKED.messages) + 2 * 5
    assert made.usage.is_counted
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (n_prompt, len(TEXT))


@pytest.mark.parametrize("told", [None, 5, {}, {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 1.5},
                                  {"prompt_tokens": True, "completion_tokens": 1}, {"prompt_tokens": 0}])  # fmt: skip
def test_usage_that_makes_no_sense_is_counted_here(told: Any) -> None:
    made, _ = answered(streamed(*chunks(), chunk(usage=told), DONE))
    assert made.usage.is_counted and made.usage.completion_tokens == len(TEXT)


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "length"), ("max_tokens", "length"), ("eos", "stop"), ("end_turn", "stop")]
)
def test_why_an_answer_ended_is_told(reason: str, said: str) -> None:
    made, _ = answered(streamed(*chunks(finish=reason), DONE))
    assert made.finish_reason == said


def test_another_model_than_was_asked_for_is_told_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    say = streamed(*(part | {"model": "llama-7b"} for part in chunks()), DONE)
    with asking(say, model="gpt-9") as (backend, server):
        models = {backend.generate(ASKED, lambda _: None, Stop()).model for _ in range(2)}
        assert (models, backend.model, server.asked[0].body["model"]) == ({"llama-7b"}, "gpt-9", "gpt-9")
    (record,) = caplog.records
    assert record.getMessage() == "model 'b': 'gpt-9' was asked for, 'llama-7b' answers"


GARBAGE = {
    "a page": Say(b"<!DOCTYPE html><p>502 Bad Gateway", headers={"Content-Type": "text/html"}),
    "a page as events": streamed(b"<html>sorry</html>"),
    "no JSON": streamed(b"data: {nothing\n\n"),
    "not a number": streamed(b'data: {"choices": [{"delta": {"content": "x"}, "logprobs": NaN}]}\n\n'),
    "half a surrogate": streamed(b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n'),
    "no UTF-8": streamed(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    "a list": Say([1, 2]),
    "a list as an event": streamed([1]),
    "an object of something else": Say({"object": "list", "data": []}),
    "choices that are none": streamed({"choices": 5}),
    "choices of numbers": streamed({"choices": [5]}),
    "a delta that is none": streamed({"choices": [{"delta": 5}]}),
    "content that is no text": streamed(chunk({"content": 5})),
    "content of parts that are none": streamed(chunk({"content": [{"text": 5}]})),
    "nested too deep": streamed(b"data: " + b"[" * 100_000 + b"\n\n"),
    "a tool": streamed(chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]})),
    "a tool's end": streamed(*chunks([" "], finish="tool_calls"), DONE),
    "a filter": streamed(*chunks([""], finish="content_filter"), DONE),
    "an empty answer": streamed(*chunks([""]), DONE),
    "white space": streamed(*chunks(["\n", " \n"]), DONE),
    "reasoning without an answer": streamed(chunk({"reasoning_content": "Hm."}), chunk(finish="length"), DONE),
    "an empty body": Say(body("")),
    "nothing": Say(b""),
    "nothing but [DONE]": streamed(DONE),
    "a line without an end": streamed(*[b"data: " + b"x" * 100_000] * 15),
    "an event without an end": streamed(*[b"data: " + b"x" * 100_000 + b"\n"] * 15),
    "an error": streamed({"error": {"message": "text", "code": "bad_thing"}}),
    "an error in a body": Say({"error": {"message": "text", "type": "bad_thing"}}),
    "an error of a word": Say({"error": "text"}),
    "an error of old vLLM": Say({"object": "error", "message": "text", "code": 400}),
    "no stream to the end": Say(b'data: {"choices":', headers={"Content-Length": "500"}, is_last=True),
    "204": Say(b"", 204),
}  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_answer_is_unavailable(garbage: str) -> None:
    pieces: list[str] = []
    with asking(GARBAGE[garbage]) as (backend, _), pytest.raises(ModelUnavailable, match=r"^backend 'b' \w") as caught:
        backend.generate(ASKED, pieces.append, Stop())
    assert not "".join(pieces).strip()
    said = str(caught.value)
    assert "text" not in said.replace("that is no text", "") and "sorry" not in said and "localhost" not in said
    assert said.count("backend") == 1


def test_an_answer_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    with asking(streamed(*chunks()[:2], never), idle_timeout_s=0.1) as (backend, server):
        with pytest.raises(ModelUnavailable, match="did not answer in time"):
            backend.generate(ASKED, lambda _: None, Stop())
        assert server.left.wait(10)
    pings = streamed(*[b": ping\n\n"] * 20, never)
    with asking(pings, timeout_s=0.2) as (backend, _), pytest.raises(ModelUnavailable, match="not finish in time"):
        backend.generate(ASKED, lambda _: None, Stop())
    long = streamed(*chunks(["x" * 1000] * 100))
    with asking(long, max_stream_bytes=50_000) as (backend, _), pytest.raises(ModelUnavailable, match="than 50000 b"):
        backend.generate(ASKED, lambda _: None, Stop())
    monkeypatch.setattr("vdb.rag.generate.stream.MAX_TEXT_BYTES", 5000)
    with asking(long) as (backend, _), pytest.raises(ModelUnavailable, match="without an end"):
        backend.generate(ASKED, lambda _: None, Stop())


@pytest.mark.parametrize(
    "fault",
    [
        Say({}, 500),
        Say({}, 429, {"Retry-After": "0"}),
        Say(b"", cut=-1),
        streamed(breaks_off=True),
        streamed(chunk({"role": "assistant", "content": ""}), breaks_off=True),
        streamed({"error": {"message": "text", "code": 503}}),
        Say({"error": {"message": "text", "type": "overloaded_error"}}),
    ],
    ids=["500", "429", "nothing", "broken", "broken after the role", "error 503", "overloaded"],
)  # fmt: skip
def test_before_the_first_piece_it_is_tried_again(fault: Say) -> None:
    def script(request: Request, number: int) -> Say:
        return fault if number < 2 else WHOLE

    pieces: list[str] = []
    with asking(script, n_retries=2) as (backend, server):
        assert backend.generate(ASKED, pieces.append, Stop()).text == "".join(pieces) == TEXT
        assert (len(server.asked), backend.n_retries) == (3, 2)
    with asking(script, n_retries=1) as (backend, server):
        with pytest.raises(ModelUnavailable, match="backend 'b'"):
            backend.generate(ASKED, pieces.append, Stop())
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "silence", [streamed(), streamed(chunk({"role": "assistant"})), streamed(b": ping\n\n"), Say(b"")]
)
def test_a_stream_that_says_nothing_is_asked_for_without_streaming(silence: Say) -> None:
    """llama-cpp-python answers so to a prompt that is too long, and says why only where no stream is asked for."""
    too_long = Say({"error": {"code": "context_length_exceeded", "message": ""}}, 400)
    for plain, n_retries in ((Say(body()), 0), (too_long, 0), (silence, 1)):

        def script(request: Request, number: int, plain: Say = plain) -> Say:
            return silence if request.body.get("stream") else plain

        with asking(script, n_retries=n_retries) as (backend, server):
            if plain is too_long:
                with pytest.raises(ContextTooLong):
                    backend.generate(ASKED, lambda _: None, Stop())
            elif plain is silence:
                with pytest.raises(ModelUnavailable, match="answered nothing"):
                    backend.generate(ASKED, lambda _: None, Stop())
            else:
                assert backend.generate(ASKED, lambda _: None, Stop()).text == TEXT
            streams = [request.body.get("stream", False) for request in server.asked]
            assert streams == [True, False] + [False] * n_retries
            assert ("stream_options" in server.asked[1].body, backend.n_retries) == (False, n_retries)


@pytest.mark.parametrize(
    "fault",
    [
        streamed(*chunks()[:3], breaks_off=True),
        streamed(*chunks()[:3]),
        streamed(*chunks()[:3], is_chunked=False),
        streamed(*chunks()[:3], usage(), DONE),
        streamed(*chunks()[:3], {"error": {"message": "text", "code": 500}}),
        streamed(*chunks()[:3], b"data: {\n\n"),
        streamed(*chunks(finish="content_filter"), DONE),
    ],
    ids=["broken", "ended", "closed", "[DONE] without a reason", "an error", "garbage", "a filter"],
)  # fmt: skip
def test_after_the_first_piece_it_is_not(fault: Say) -> None:
    pieces: list[str] = []
    with asking(fault, n_retries=3) as (backend, server):
        with pytest.raises(ModelUnavailable, match=r"broke off|error|no JSON|ended with content_filter"):
            backend.generate(ASKED, pieces.append, Stop())
        assert len(server.asked) == 1 and TEXT.startswith("".join(pieces)) and pieces


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, InvalidArgument, "refused the text: 400 .bad_thing."),
        (422, InvalidArgument, "refused the text: 422"),
        (401, ModelUnavailable, "refuses the server's key"),
        (404, ModelUnavailable, "answered 404"),
        (307, ModelUnavailable, "redirects"),
    ],
)
def test_a_refusal_is_told_and_not_tried_again(status: int, error: type[Exception], said: str) -> None:
    with asking(Say({"error": {"message": "what was sent", "code": "bad_thing"}}, status), n_retries=3) as (
        backend,
        server,
    ):
        with pytest.raises(error, match=said) as caught:
            backend.generate(ASKED, lambda _: None, Stop())
        assert len(server.asked) == 1 and "what was sent" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [{"detail": "Server is pinned to '/models/a'; requested 'm'."}, {"error": {"code": "model_not_found"}},
     {"error": {"message": "The model `m` does not exist."}}, {"error": "model 'm' not found, try pulling it first"}],
)  # fmt: skip
def test_a_model_that_the_server_does_not_have_is_no_fault_of_the_question(said: Any) -> None:
    with asking(Say(said, 400)) as (backend, _), pytest.raises(ModelUnavailable, match="answered 400"):
        backend.generate(ASKED, lambda _: None, Stop())


def test_what_is_sent() -> None:
    asked = Asked("q", (), ASKED.messages, 50, 0.5, 0.9, 7, ("END",))
    with asking(WHOLE, temperature=0.1) as (backend, server):
        backend.generate(asked, lambda _: None, Stop())
        backend.generate(ASKED, lambda _: None, Stop())
        full, least = (request.body for request in server.asked)
        assert server.asked[0].headers["authorization"] == "Bearer secret-key"
        assert server.n_connections == 1, "the connection is kept"
    messages = [{"role": message.role, "content": message.content} for message in ASKED.messages]
    common = {"model": "m", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    chosen = {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["END"]}
    assert full == common | chosen and least == common | {"max_tokens": 100, "temperature": 0.1}
    with asking(WHOLE, has_stream_usage=False, max_tokens_field="max_completion_tokens") as (backend, server):
        backend.generate(ASKED, lambda _: None, Stop())
        (request,) = server.asked
    assert request.body == {"model": "m", "messages": messages, "stream": True, "max_completion_tokens": 100}
