"""Answers as server-sent events: what is sent, and what becomes of those who leave, read slowly, or ask at the end."""

import itertools
import json
import logging
import signal
import threading
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from tests.api.served import Emit, ScriptedEngine, events_of, served, until_stopped
from tests.api.test_api_server import started
from vdb.errors import ModelUnavailable, QueueFull, RateLimited, SequenceTimeout
from vdb.protocol.answer_answers import (
    CitationsEvent,
    CitedAnswer,
    Context,
    DeltaEvent,
    DoneEvent,
    FromCache,
    RetrievalEvent,
    Sentence,
    Timings,
    TokenUsage,
    UsageEvent,
)
from vdb.rag.generate.base import Stop
from vdb_api import streaming

ASKED = {"collection": "notes", "question": "Who?", "stream": True}
WHOLE = {"collection": "notes", "question": "Who?"}
CONTEXT = Context(passages=1, tokens=3, budget_tokens=10)
CACHE = FromCache(hit=None, reason="off")
RETRIEVAL = RetrievalEvent(passages=[], context=CONTEXT, cache=CACHE, sequence=7)
ANSWER = CitedAnswer(
    answer=[Sentence(text="It is I.", citations=[])],
    text="It is I.\r\nEvent: forged\n\ndata: x",
    references=[],
    found=True,
    support=0.5,
    threshold=0.1,
    finish_reason="stop",
    backend="scripted",
    model="scripted-1",
    template="default@1",
    sequence=7,
    usage=TokenUsage(prompt_tokens=5, completion_tokens=3),
    context=CONTEXT,
    cache=CACHE,
    timings=Timings(),
)


def whole(emit: Emit, stop: Stop) -> CitedAnswer:
    emit(RETRIEVAL)
    for piece in ("It ", "is I.", "\r\nEvent: forged\n\ndata: x"):
        emit(DeltaEvent(text=piece))
    emit(CitationsEvent(answer=ANSWER.answer, references=[], found=True, support=0.5))
    emit(UsageEvent(usage=ANSWER.usage, timings=ANSWER.timings))
    emit(DoneEvent(answer=ANSWER))
    return ANSWER


def begun_then_stopped(emit: Emit, stop: Stop) -> CitedAnswer:
    emit(RETRIEVAL)
    until_stopped(stop)
    return ANSWER


def only_stopped(emit: Emit, stop: Stop) -> CitedAnswer:
    until_stopped(stop)
    return ANSWER


def test_an_answer_comes_as_named_events_in_order() -> None:
    with served(ScriptedEngine(whole)) as app:
        reply = app.ask("/v1/answer", ASKED)
        events = events_of(reply.read())
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
    assert (reply.headers["Cache-Control"], reply.headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert reply.headers["X-Request-Id"]
    assert [name for name, _ in events] == ["retrieval", *["delta"] * 3, "citations", "usage", "done"]
    assert all(data["event"] == name for name, data in events)
    assert "".join(data["text"] for name, data in events if name == "delta") == ANSWER.text
    assert events[-1][1]["answer"]["text"] == ANSWER.text, "line ends in a text part no events"


def test_without_stream_the_same_answer_comes_whole() -> None:
    with served(ScriptedEngine(whole)) as app:
        reply = app.ask("/v1/answer", WHOLE)
        answer = json.loads(reply.read())
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert answer["text"] == ANSWER.text


def test_events_that_come_before_the_engine_returns_are_kept() -> None:
    class Early(ScriptedEngine):
        def stream(self, name: str, caller: Any, path: Any, request: Any, emit: Emit | None) -> Any:
            assert emit is not None
            emit(RETRIEVAL)
            return super().stream(name, caller, path, request, emit)

    with served(Early(whole)) as app:
        events = events_of(app.ask("/v1/answer", ASKED).read())
    assert [name for name, _ in events][:3] == ["retrieval", "retrieval", "delta"]


@pytest.mark.parametrize("asked", [ASKED, WHOLE])
def test_what_fails_before_the_first_event_is_an_ordinary_error(asked: dict[str, Any]) -> None:
    def fails(emit: Emit, stop: Stop) -> CitedAnswer:
        raise ModelUnavailable("the backend is down", retry_after_s=7.0)

    with served(ScriptedEngine(fails)) as app:
        reply = app.ask("/v1/answer", asked)
        problem = json.loads(reply.read())
    assert (reply.status, reply.headers["Retry-After"]) == (503, "7")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == "model_unavailable"


def test_what_fails_later_is_an_error_event_and_the_last() -> None:
    def fails(emit: Emit, stop: Stop) -> CitedAnswer:
        emit(RETRIEVAL)
        emit(DeltaEvent(text="It"))
        raise ModelUnavailable("the backend broke off")

    with served(ScriptedEngine(fails)) as app:
        reply = app.ask("/v1/answer", ASKED)
        events = events_of(reply.read())
        app.until(lambda: app.service.streams.outcomes["error"] == 1)
    assert [name for name, _ in events] == ["retrieval", "delta", "error"]
    error = events[-1][1]
    assert (error["status"], error["code"], error["detail"]) == (503, "model_unavailable", "the backend broke off")
    assert error["request_id"] == reply.headers["X-Request-Id"]


@pytest.mark.parametrize("asked", [ASKED, WHOLE])
def test_a_bug_is_an_internal_error_that_tells_nothing(asked: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    def fails(emit: Emit, stop: Stop) -> CitedAnswer:
        emit(RETRIEVAL)
        raise RuntimeError("the secret of acme")

    with caplog.at_level(logging.ERROR, "vdb_api"), served(ScriptedEngine(fails)) as app:
        raw = app.ask("/v1/answer", asked).read()
    assert b"internal_error" in raw
    assert b"secret" not in raw
    assert "request failed" in caplog.text


@pytest.mark.parametrize("script", [begun_then_stopped, only_stopped])
def test_a_client_that_leaves_stops_its_stream(script: Any) -> None:
    engine = ScriptedEngine(script)
    with served(engine) as app:
        connection = app.open("/v1/answer", ASKED)
        assert engine.begun.wait(20)
        if script is begun_then_stopped:
            assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()
        assert engine.stopped.wait(20)
        app.until(lambda: bool(app.log))
    (line,) = app.log
    if script is begun_then_stopped:
        assert (line["status"], line["stream"]) == (200, "left")
    else:
        assert line["status"] == 499


def test_a_client_that_leaves_stops_an_answer_that_is_not_streamed() -> None:
    engine = ScriptedEngine(only_stopped)
    with served(engine) as app:
        connection = app.open("/v1/answer", WHOLE)
        assert engine.begun.wait(20)
        connection.close()
        assert engine.stopped.wait(20)
        app.until(lambda: bool(app.log))
        assert b'status="499"' in app.call(app.service.scrape_freely).body
    assert app.log[0]["status"] == 499


def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.01)
    go_on = threading.Event()

    def waits(emit: Emit, stop: Stop) -> CitedAnswer:
        assert go_on.wait(20)
        return whole(emit, stop)

    with served(ScriptedEngine(waits)) as app:
        reply = app.ask("/v1/answer", ASKED)  # the head comes although there is no event yet
        assert reply.readline() == b": \n"
        go_on.set()
        events = events_of(reply.read())
    assert events[0][0] == "retrieval"


def test_a_slow_reader_holds_a_bounded_part_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_BACKLOG_BYTES", 1 << 20)
    monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.5)
    n_emitted = 0

    def floods(emit: Emit, stop: Stop) -> CitedAnswer:
        nonlocal n_emitted
        emit(RETRIEVAL)
        while not stop.is_requested:
            emit(DeltaEvent(text="x" * 10_000))
            n_emitted += 1
            assert n_emitted < 100_000, "nobody stopped the flood"
        until_stopped(stop)
        return ANSWER

    engine = ScriptedEngine(floods)
    with served(engine) as app:
        connection = app.open("/v1/answer", ASKED)
        assert engine.stopped.wait(20)
        app.until(lambda: app.service.streams.outcomes["slow"] == 1)
        app.until(lambda: not app.service.streams.n_streaming)
        connection.close()
    assert app.log[0]["stream"] == "slow"


def test_a_reader_that_was_too_slow_and_goes_on_reading_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_BACKLOG_BYTES", 1 << 20)

    def floods(emit: Emit, stop: Stop) -> CitedAnswer:
        while not stop.is_requested:
            emit(DeltaEvent(text="x" * 10_000))
        until_stopped(stop)
        return ANSWER

    engine = ScriptedEngine(floods)
    with served(engine) as app:
        reply = app.ask("/v1/answer", ASKED)
        assert engine.stopped.wait(20)
        events = events_of(reply.read())
    assert [name for name, _ in events[-2:]] == ["delta", "error"]
    assert events[-1][1]["code"] == "unavailable"


def test_the_end_of_the_server_ends_streams_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "GRACE_S", 0.1)
    engine = ScriptedEngine(begun_then_stopped)
    with served(engine) as app:
        reply = app.ask("/v1/answer", ASKED)
        late = app.open("/v1/answer", WHOLE)
        app.until(lambda: len(engine.requests) == 2)
        app.call(app.service.streams.end_soon)
        events = events_of(reply.read())
        answered = HTTPResponse(late, method="POST")
        answered.begin()
        problem = json.loads(answered.read())
        app.until(lambda: app.service.streams.outcomes["ended"] == 1)
    assert [name for name, _ in events] == ["retrieval", "error"]
    assert (events[-1][1]["code"], events[-1][1]["status"]) == ("shutting_down", 503)
    assert (answered.status, problem["code"]) == (503, "shutting_down")


def test_a_signal_ends_a_server_that_streams() -> None:
    with started("-m", "tests.api.served") as (process, _, port):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/answer", json.dumps(ASKED), {"Authorization": "Bearer write"})
        answer = connection.getresponse()
        assert answer.readline() == b"event: delta\n"
        process.send_signal(signal.SIGTERM)
        events = events_of(answer.read())
        _, err = process.communicate(timeout=60)
    assert events[-1][0] == "error" and events[-1][1]["code"] == "shutting_down"
    assert process.returncode == 0
    assert "Traceback" not in err and "Cancel" not in err, "nothing had to be cut off"


def test_a_stream_is_metered_with_all_its_bytes() -> None:
    engine = ScriptedEngine(whole)
    with served(engine) as app:
        raw = app.ask("/v1/answer", ASKED).read()
        app.until(lambda: bool(app.log))
    n_body = len(json.dumps(ASKED))
    assert engine.meter.noted == [("admit", "answer", n_body), ("finish", "answer", 1, n_body, len(raw), len(raw))]
    (line,) = app.log
    assert (line["status"], line["bytes"], line["stream"], line["collection"]) == (200, len(raw), "done", "notes")


@pytest.mark.parametrize(
    ("error", "status"), [(RateLimited("slowly", retry_after_s=3.0), 429), (QueueFull("full"), 503)]
)
def test_a_refused_stream_is_counted_as_refused(error: Any, status: int) -> None:
    def full(emit: Emit, stop: Stop) -> CitedAnswer:
        raise error

    engine = ScriptedEngine(full)
    with served(engine) as app:
        reply = app.ask("/v1/answer", ASKED)
        reply.read()
    assert reply.status == status
    assert ("refuse", "answer") in engine.meter.noted


def test_a_stream_waits_for_a_sequence() -> None:
    n_asked = 0

    def not_yet(emit: Emit, stop: Stop) -> CitedAnswer:
        nonlocal n_asked
        n_asked += 1
        if n_asked < 3:
            raise SequenceTimeout("not yet")
        return whole(emit, stop)

    with served(ScriptedEngine(not_yet)) as app:
        events = events_of(app.ask("/v1/answer", ASKED | {"min_sequence": 9}).read())
    assert (n_asked, events[-1][0]) == (3, "done")


def test_large_bodies_leave_their_room_with_the_end_of_the_stream() -> None:
    go_on = threading.Event()

    def waits(emit: Emit, stop: Stop) -> CitedAnswer:
        emit(RETRIEVAL)
        assert go_on.wait(20)
        return ANSWER

    with served(ScriptedEngine(waits)) as app:
        reply = app.ask("/v1/answer", ASKED | {"question": "x" * 300_000})
        taken = app.call(lambda: app.service._large_bytes.n_taken)
        go_on.set()
        reply.read()
        app.until(lambda: app.service._large_bytes.n_taken == 0)
    assert taken > 300_000


def test_streams_stand_in_the_metrics() -> None:
    engine = ScriptedEngine(begun_then_stopped)
    with served(engine) as app:
        connection = app.open("/v1/answer", ASKED)
        app.until(lambda: app.service.streams.n_streaming == 1)
        during = app.call(app.service.scrape_freely).body
        connection.close()
        app.until(lambda: app.service.streams.n_streaming == 0)
        after = app.call(app.service.scrape_freely).body
    assert b"vdb_streams_in_flight 1\n" in during
    assert b"vdb_streams_in_flight 0\n" in after
    assert b'vdb_streams_total{outcome="left"} 1\n' in after


def test_many_clients_that_come_and_go_leave_nothing_behind() -> None:
    n_clients = 30
    n_begun = threading.Semaphore(0)

    numbers = itertools.count()

    def one_in_two(emit: Emit, stop: Stop) -> CitedAnswer:
        n_begun.release()
        if next(numbers) % 2:
            return begun_then_stopped(emit, stop)
        return whole(emit, stop)

    with served(ScriptedEngine(one_in_two)) as app:
        connections = [app.open("/v1/answer", ASKED if i % 3 else WHOLE) for i in range(n_clients)]
        for _ in range(n_clients):
            assert n_begun.acquire(timeout=20)
        for connection in connections:
            connection.close()
        app.until(lambda: not app.service.streams.n_open)
        app.until(lambda: len(app.log) == n_clients)
        assert app.call(lambda: (app.service.streams.n_streaming, app.service.metrics.n_in_flight)) == (0, 0)
