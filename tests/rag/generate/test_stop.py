"""Calls that nobody waits for any more end wherever they wait, and the upstream connection with them."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.rag.generate.chats import ASKED, DONE, TEXT, WHOLE, asking, chunks, event, streamed
from tests.rag.model_server import Request, Say, serving
from vdb.errors import InvalidArgument, ModelUnavailable
from vdb.rag.connection import address_of
from vdb.rag.generate import upstream as module
from vdb.rag.generate.base import Backend, Cancelled, Stop
from vdb.rag.generate.openai import BackendOptions, OpenAIBackend
from vdb.rag.generate.tokens import ByteBound
from vdb.rag.generate.upstream import StreamPatience, Upstream

LONG_S = 60.0
"""Nothing here lasts as long: what takes so long was not ended."""


class Call:
    """One call on a thread of its own."""

    def __init__(self, backend: Backend, emit: Callable[[str], None] = lambda _: None) -> None:
        self.stop, self.pieces = Stop(), list[str]()
        self.ended: Any = None
        self._backend, self._emit = backend, emit
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.ended = self._backend.generate(ASKED, self._taken, self.stop)
        except BaseException as exc:
            self.ended = exc

    def _taken(self, piece: str) -> None:
        self.pieces.append(piece)
        self._emit(piece)

    def result(self) -> Any:
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()
        return self.ended


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_stop_while_the_first_byte_is_waited_for_closes_the_connection() -> None:
    never = threading.Event()
    with asking(streamed(never), timeout_s=LONG_S) as (backend, server):
        call = Call(backend)
        wait_until(lambda: len(server.asked) == 1)
        call.stop.request()
        assert isinstance(call.result(), Cancelled)
        assert server.left.wait(LONG_S), "the server is told at once"
        assert backend.load == 0.0


def test_a_stop_between_two_pieces_closes_the_connection() -> None:
    never, heard = threading.Event(), threading.Event()
    with asking(streamed(*chunks()[:2], never), timeout_s=LONG_S) as (backend, server):
        call = Call(backend, lambda _: heard.set())
        assert heard.wait(LONG_S)
        call.stop.request()
        call.stop.request()
        assert isinstance(call.result(), Cancelled)
        assert server.left.wait(LONG_S) and call.pieces == [TEXT.partition(" is")[0]]


def test_nothing_is_emitted_after_a_stop() -> None:
    with asking(WHOLE) as (backend, _):
        stop = Stop()
        pieces: list[str] = []

        def emit(piece: str) -> None:
            pieces.append(piece)
            stop.request()

        with pytest.raises(Cancelled):
            backend.generate(ASKED, emit, stop)
        assert len(pieces) == 1


def test_a_stop_while_a_place_is_waited_for_leaves_the_others_alone() -> None:
    go_on = threading.Event()
    with asking(streamed(*chunks()[:2], go_on, *chunks()[2:], DONE), concurrency=1, timeout_s=LONG_S) as (
        backend,
        server,
    ):
        first = Call(backend)
        wait_until(lambda: len(server.asked) == 1)
        second, third = Call(backend), Call(backend)
        wait_until(lambda: backend.load == 3.0)
        second.stop.request()
        assert isinstance(second.result(), Cancelled)
        assert len(server.asked) == 1
        go_on.set()
        assert (first.result().text, third.result().text, backend.load) == (TEXT, TEXT, 0.0)


def test_a_stop_in_a_pause_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 29.0)
    with asking(Say({}, 503), n_retries=5, timeout_s=10 * LONG_S) as (backend, server):
        call = Call(backend)
        wait_until(lambda: backend.n_retries == 1)
        call.stop.request()
        assert isinstance(call.result(), Cancelled)
        assert len(server.asked) == 1


def test_a_stop_ends_an_attempt_to_connect() -> None:
    """A listener whose queue is full takes no connection, and says nothing either."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        patience = StreamPatience(connect_timeout_s=10 * LONG_S, timeout_s=10 * LONG_S, n_retries=0)
        upstream = Upstream("backend 'b'", address_of(f"http://127.0.0.1:{port}/", "url"), patience)
        backend = OpenAIBackend("b", BackendOptions("m", 1000, 100), upstream, ByteBound())
        call = Call(backend)
        wait_until(lambda: backend.load > 0.0)
        time.sleep(0.05)
        call.stop.request()
        assert isinstance(call.result(), Cancelled)
        backend.close()
        for filler in fillers:
            filler.close()


def test_a_close_ends_calls_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 29.0)
    never = threading.Event()

    def script(request: Request, number: int) -> Say:
        return Say({}, 500) if number else streamed(*chunks()[:2], never)

    with asking(script, n_retries=2, timeout_s=LONG_S, concurrency=2) as (backend, _):
        reading = Call(backend)
        wait_until(lambda: len(reading.pieces) == 1)
        pausing = Call(backend)
        wait_until(lambda: backend.n_retries == 1)
        waiting = Call(backend)
        wait_until(lambda: backend.load == 1.5)
        backend.close()
        for call in (reading, pausing, waiting):
            ended = call.result()
            assert isinstance(ended, ModelUnavailable) and "shutting down" in str(ended)
        with pytest.raises(ModelUnavailable, match="shutting down"):
            backend.generate(ASKED, lambda _: None, Stop())


def test_a_place_is_waited_for_no_longer_than_an_answer_may_take() -> None:
    never = threading.Event()
    with asking(streamed(never), concurrency=1, timeout_s=0.3) as (backend, server):
        first = Call(backend)
        wait_until(lambda: len(server.asked) == 1)
        second = Call(backend)
        assert isinstance(first.result(), ModelUnavailable)
        assert isinstance(second.result(), ModelUnavailable)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_keeps_failing_is_asked_by_one_call_at_a_time() -> None:
    clock = Clock()
    go_on = threading.Event()

    def script(request: Request, number: int) -> Say:
        return Say({}, 500) if number < 5 else streamed(*chunks()[:2], go_on, *chunks()[2:], DONE)

    with asking(script, clock=clock, timeout_s=LONG_S) as (backend, server):
        for _ in range(5):
            assert backend.load == 0.0
            with pytest.raises(ModelUnavailable, match="answered 500"):
                backend.generate(ASKED, lambda _: None, Stop())
        assert backend.load == float("inf")
        with pytest.raises(ModelUnavailable, match="not asked for a while") as caught:
            backend.generate(ASKED, lambda _: None, Stop())
        assert (caught.value.retry_after_s, len(server.asked)) == (1.0, 5)
        clock.now += 1.0
        assert backend.load == 0.0
        probe = Call(backend)
        wait_until(lambda: len(server.asked) == 6)
        assert backend.load == float("inf")
        with pytest.raises(ModelUnavailable, match="not asked for a while"):
            backend.generate(ASKED, lambda _: None, Stop())
        go_on.set()
        assert probe.result().text == TEXT and backend.load == 0.0
        assert backend.generate(ASKED, lambda _: None, Stop()).text == TEXT


def test_a_call_that_found_out_nothing_lets_the_next_one_try() -> None:
    clock = Clock()
    never = threading.Event()

    def script(request: Request, number: int) -> Say:
        return Say({}, 500) if number < 5 else streamed(never) if number == 5 else WHOLE

    with asking(script, clock=clock, timeout_s=LONG_S) as (backend, server):
        for _ in range(5):
            with pytest.raises(ModelUnavailable):
                backend.generate(ASKED, lambda _: None, Stop())
        clock.now += 1.0
        probe = Call(backend)
        wait_until(lambda: len(server.asked) == 6)
        probe.stop.request()
        assert isinstance(probe.result(), Cancelled)
        assert backend.generate(ASKED, lambda _: None, Stop()).text == TEXT


@pytest.mark.parametrize(
    "say",
    [
        Say({"error": {"code": "bad"}}, 400),
        Say({"error": {"code": "model_not_found"}}, 400),
        streamed(*chunks([""]), DONE),
        streamed(*chunks(finish="content_filter"), DONE),
        streamed({"choices": [{"delta": {"tool_calls": [{}]}}]}),
    ],
    ids=["a refusal", "another refusal", "an empty answer", "a filter", "a tool"],
)
def test_what_a_question_brings_about_does_not_close_the_server_to_others(say: Say) -> None:
    with asking(say) as (backend, server):
        for _ in range(8):
            with pytest.raises((InvalidArgument, ModelUnavailable)):
                backend.generate(ASKED, lambda _: None, Stop())
        assert (backend.load, len(server.asked)) == (0.0, 8)


def test_an_answer_that_takes_too_long_does_not_close_the_server_to_others() -> None:
    never = threading.Event()
    with asking(streamed(*chunks()[:2], never), timeout_s=0.4) as (backend, server):
        for _ in range(6):
            with pytest.raises(ModelUnavailable, match="did not finish in time"):
                backend.generate(ASKED, lambda _: None, Stop())
        assert (backend.load, len(server.asked)) == (0.0, 6)


@pytest.mark.parametrize("say", [streamed(b"data: {\n\n"), Say({}, 404), Say(b"<html>"), streamed(*chunks()[:2])])
def test_garbage_closes_it_for_a_while(say: Say) -> None:
    with asking(say) as (backend, _):
        for _ in range(5):
            with pytest.raises(ModelUnavailable):
                backend.generate(ASKED, lambda _: None, Stop())
        assert backend.load == float("inf")


def test_a_stop_ends_a_handshake_and_a_stream_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    never, heard = threading.Event(), threading.Event()
    silent = socket.create_server(("127.0.0.1", 0))
    with serving(lambda *_: Say(parts=[event(chunks()[1]), never]), context) as server, silent:
        for url in (server.url, f"https://localhost:{silent.getsockname()[1]}/"):
            patience = StreamPatience(connect_timeout_s=10 * LONG_S, timeout_s=10 * LONG_S, n_retries=0)
            upstream = Upstream("backend 'b'", address_of(url, "url", str(tmp_path / "ca.pem")), patience)
            backend = OpenAIBackend("b", BackendOptions("m", 1000, 100), upstream, ByteBound())
            call = Call(backend, lambda _: heard.set())
            if url == server.url:
                assert heard.wait(LONG_S)
            else:
                connection, _ = silent.accept()
                connection.recv(1)  # the handshake has begun
            call.stop.request()
            assert isinstance(call.result(), Cancelled)
            backend.close()
        never.set()
        connection.close()


def test_kept_connections_that_the_server_closed_cost_no_attempt() -> None:
    with asking(WHOLE) as (backend, server):
        backend.generate(ASKED, lambda _: None, Stop())
        server.drop_connections()
        assert backend.generate(ASKED, lambda _: None, Stop()).text == TEXT
        assert (server.n_connections, backend.n_retries) == (2, 0)
