"""The open-loop client: everything due is sent, waits count from the schedule, answers are told apart."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.noisy.openloop import Outcome, Player, every

REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def answer(status: str, body: bytes = b"{}") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def served(answers: list[bytes], gate: threading.Event | None = None) -> Iterator[int]:
    """A server that gives these answers over one connection, in turn, the first once `gate` is set; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for found in answers:
                if not connection.recv(1 << 16):
                    return
                if gate is not None:
                    gate.wait(20)
                connection.sendall(found[:10])
                connection.sendall(found[10:])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(20)
        listener.close()


def played(port: int, due_s: list[float]) -> Outcome:
    player = Player(port, 1)
    try:
        return player.play([REQUEST], due_s)
    finally:
        player.close()


def test_answers_are_counted_by_what_they_say() -> None:
    statuses = ["200 OK", "429 Too Many Requests", "201 Created", "503 Unavailable", "500 Oh", "404 Not Found"]
    bodies = [b"", b"{}", b"x" * 300_000, b"y", b"z", b""]
    with served([answer(*pair) for pair in zip(statuses, bodies, strict=True)]) as port:
        outcome = played(port, [0.0] * 6)
    assert (len(outcome.latencies_s), outcome.n_refused, outcome.n_failed, outcome.n_unanswered) == (2, 2, 2, 0)
    assert outcome.n_sent == 6


def test_a_request_that_waits_for_a_connection_counts_from_when_it_was_due() -> None:
    gate = threading.Event()
    with served([answer("200 OK")] * 3, gate) as port:
        began = time.perf_counter()
        threading.Timer(0.05, gate.set).start()
        outcome = played(port, [0.0] * 3)
        took_s = time.perf_counter() - began
    first, _, last = outcome.latencies_s
    assert outcome.latencies_s == sorted(outcome.latencies_s)
    assert first <= last <= took_s and last - first < first, "each was due at once, and waited for the first"


def test_percentiles_are_those_of_the_sorted_answers() -> None:
    outcome = Outcome([0.004, 0.001, 0.003, 0.002])
    assert [outcome.percentile_ms(share) for share in (0.01, 0.5, 0.75, 0.99, 1.0)] == [1.0, 2.0, 3.0, 4.0, 4.0]


def test_a_schedule_is_evenly_spaced() -> None:
    assert every(4.0, 1.0, 2.0) == [2.0, 2.25, 2.5, 2.75]
