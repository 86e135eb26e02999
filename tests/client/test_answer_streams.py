"""Events of an answer as both clients and a local database read them: order, errors, retries, and leaving early."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.served import served
from tests.api.test_streaming import ANSWER, RETRIEVAL
from tests.client.scripted import Reply, problem, serving
from tests.engine.answering.world import QUESTION, Scripted, World, world
from vdb.client import AsyncClient, Client
from vdb.client.sse import EventReader
from vdb.client.sync import Operations
from vdb.errors import InvalidArgument, ModelUnavailable, TransportError
from vdb.local import LocalTransport
from vdb.protocol.answer_answers import DeltaEvent, DoneEvent
from vdb.protocol.requests import CreateKey
from vdb.rag.generate.base import Asked, Cancelled, Stop
from vdb.types import Role

STREAM = {"Content-Type": "text/event-stream"}
DELTA = DeltaEvent(text="It is I.")
DONE = DoneEvent(answer=ANSWER)
FAILED = {"status": 503, "code": "model_unavailable", "detail": "it broke off"}


def frame(event: Any, name: str = "") -> bytes:
    raw = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return b"event: %s\ndata: %s\n\n" % ((name or event.__struct_config__.tag).encode(), raw)


def body(*events: Any) -> Reply:
    return Reply(body=b"".join(events), headers=STREAM)


WHOLE = body(b": \n\n", frame(RETRIEVAL), frame(b"{}", "later"), frame(DELTA), b": \n\n", frame(DONE))

Read = Callable[..., tuple[list[Any], Exception | None]]


def _sync(url: str, **options: Any) -> tuple[list[Any], Exception | None]:
    events: list[Any] = []
    with Client(url, "key", **options) as client:
        try:
            events.extend(client.collection("docs").answer_stream("Who?"))  # extend keeps what came before an error
        except Exception as exc:
            return events, exc
    return events, None


def _async(url: str, **options: Any) -> tuple[list[Any], Exception | None]:
    events: list[Any] = []

    async def run() -> Exception | None:
        async with AsyncClient(url, "key", **options) as client:
            try:
                async for event in client.collection("docs").answer_stream("Who?"):
                    events.append(event)
            except Exception as exc:
                return exc
        return None

    return events, asyncio.run(run())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Any:
    """All events of a stream, and what ended it."""
    return request.param


def test_events_are_those_of_the_server_and_others_are_left_out(read: Read) -> None:
    with serving(WHOLE) as script:
        events, error = read(script.url)
    assert error is None
    assert events == [RETRIEVAL, DELTA, DONE]
    asked = msgspec.json.decode(script.asked[0].body)
    assert asked == {"collection": "docs", "question": "Who?", "stream": True}


def test_an_error_event_is_raised_after_what_came_before_it(read: Read) -> None:
    with serving(body(frame(RETRIEVAL), frame(DELTA), frame(msgspec.json.encode(FAILED), "error"))) as script:
        events, error = read(script.url)
    assert events == [RETRIEVAL, DELTA]
    assert isinstance(error, ModelUnavailable) and error.detail == "it broke off"
    assert len(script.asked) == 1, "nothing is sent again once events came"


@pytest.mark.parametrize(
    "first",
    [
        problem(503, "model_unavailable", retry_after="0"),
        problem(429, "rate_limited", retry_after="0"),
        body(frame(msgspec.json.encode(FAILED), "error")),
        Reply(hangs_up=True),
        body(b": \n\n"),
    ],
)
def test_before_the_first_event_a_stream_is_sent_again(read: Read, first: Reply) -> None:
    with serving(first, WHOLE) as script:
        events, error = read(script.url)
    assert (events, error) == ([RETRIEVAL, DELTA, DONE], None)
    assert len(script.asked) == 2


def test_a_fault_of_the_caller_is_not_sent_again(read: Read) -> None:
    with serving(problem(400, "invalid_argument")) as script:
        events, error = read(script.url)
    assert events == [] and isinstance(error, InvalidArgument)
    assert len(script.asked) == 1


def test_a_stream_that_breaks_off_is_a_transport_error(read: Read) -> None:
    cut = Reply(body=frame(RETRIEVAL) + frame(DELTA)[:-5], headers=STREAM, claimed_bytes=10_000)
    ended = body(frame(RETRIEVAL), frame(DELTA))
    for reply in (cut, ended):
        with serving(reply) as script:
            events, error = read(script.url, n_retries=0)
        assert events[0] == RETRIEVAL
        assert isinstance(error, TransportError)


def test_an_event_that_cannot_be_read_is_a_transport_error(read: Read) -> None:
    with serving(body(frame(RETRIEVAL), frame(b"{", "delta"))) as script:
        events, error = read(script.url)
    assert events == [RETRIEVAL]
    assert isinstance(error, TransportError)


def test_a_whole_stream_leaves_its_connection_for_the_next_call() -> None:
    with serving(WHOLE) as script, Client(script.url, "key") as client:
        for _ in range(2):
            with client.collection("docs").answer_stream("Who?") as stream:
                assert list(stream) == [RETRIEVAL, DELTA, DONE]
            assert stream.answer == ANSWER
    assert len({asked.port for asked in script.asked}) == 1


def test_a_stream_that_was_left_is_over() -> None:
    with serving(WHOLE) as script, Client(script.url, "key") as client:
        with client.collection("docs").answer_stream("Who?") as stream:
            assert next(stream) == RETRIEVAL
        stream.close()
        assert list(stream) == []
        assert stream.answer is None


@given(st.lists(st.integers(1, 200), max_size=12), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_the_same_however_their_bytes_are_cut(cuts: list[int], line_end: bytes) -> None:
    raw = b': \n\nevent: delta\ndata: {"a": 1}\n\ndata:x\ndata: y\nid: 5\n\nevent: none\n\n'.replace(b"\n", line_end)
    reader, found, start = EventReader(), [], 0
    for cut in (*cuts, len(raw)):
        found += reader.feed(raw[start : start + cut])
        start += cut
    assert found == [("delta", b'{"a": 1}'), ("message", b"x\ny")]


def endless(stopped: threading.Event) -> Any:
    def write(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        stop.ends(stopped.set)
        emit("Five days and some more. ")
        assert stopped.wait(20)
        raise Cancelled

    return write


def _leave_local(made: World) -> None:
    acme = Operations(LocalTransport(made.engine, Role.ADMIN), "acme")
    with acme.collection("notes").answer_stream(QUESTION) as stream:
        assert [type(next(stream)).__name__ for _ in range(2)] == ["RetrievalEvent", "DeltaEvent"]


def _key(made: World) -> str:
    return str(made.driver.run("create_key", None, (), CreateKey(role=Role.READ, tenant="acme")).key)


def _leave_sync(made: World) -> None:
    with served(made.engine) as app, Client(app.url, _key(made)) as client:
        with client.collection("notes").answer_stream(QUESTION) as stream:
            next(stream)
            next(stream)
        app.until(lambda: app.service.streams.outcomes["left"] == 1)


def _leave_async(made: World) -> None:
    async def leave(url: str) -> None:
        client = AsyncClient(url, _key(made))
        async with client, client.collection("notes").answer_stream(QUESTION) as stream:
            async for event in stream:
                if isinstance(event, DeltaEvent):
                    break

    with served(made.engine) as app:
        asyncio.run(leave(app.url))
        app.until(lambda: app.service.streams.outcomes["left"] == 1)


@pytest.mark.parametrize("leave", [_leave_local, _leave_sync, _leave_async])
def test_leaving_a_stream_stops_its_backend(tmp_path: Path, leave: Callable[[World], None]) -> None:
    stopped = threading.Event()
    with world(tmp_path) as made:
        made.use(Scripted(endless(stopped)))
        leave(made)
        assert stopped.wait(20)


def test_in_process_nothing_is_tried_again_once_the_retrieval_was_told(tmp_path: Path) -> None:
    n_failed = 0

    def at_first(asked: Asked, emit: Callable[[str], None], stop: Stop) -> str:
        nonlocal n_failed
        n_failed += 1
        raise ModelUnavailable("later")

    with world(tmp_path) as made:
        made.use(Scripted(at_first))
        acme = Operations(LocalTransport(made.engine, Role.ADMIN), "acme")
        with pytest.raises(ModelUnavailable), acme.collection("notes").answer_stream(QUESTION) as stream:
            list(stream)
    assert n_failed == 1
