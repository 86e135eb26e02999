"""Load replay: traces are read and scaled, burst statistics are right, latency counts from when a request was due."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench import replay
from bench.replay import default_trace
from bench.replay.asked import chunks, drawn, parts_of, requests
from bench.replay.bursts import bursts, dispersion
from bench.replay.place import BadAddress, there_already
from bench.replay.player import BROKEN, TIMED_OUT, Outcome, Player
from bench.replay.summary import burst_figures, figures, jain
from bench.replay.trace import BadTrace, Trace, generated, read

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:05.4799600,110,27

2023-11-16 18:17:04.4799600,3180,8
"""
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def _trace(at_s: list[float]) -> Trace:
    return Trace("a test", np.array(at_s), np.full(len(at_s), 500), np.full(len(at_s), 20))


@contextmanager
def _served(answer: Callable[[int], bytes | None], wait_s: float = 0.0) -> Iterator[int]:
    """A server that gives `answer` of each request's number after a wait, each connection in turn; its port.

    None: it says nothing any more on that connection; empty: it ends it.
    """
    listener, lock, n = socket.create_server(("127.0.0.1", 0)), threading.Lock(), iter(range(10**6))

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(1 << 16):
                with lock:  # one at a time, as by one core
                    time.sleep(wait_s)
                    found = answer(next(n))
                if found == b"":
                    return
                if found is not None:
                    connection.sendall(found)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _played(port: int, due_s: list[float], n_connections: int, timeout_s: float) -> Outcome:
    player = Player(port, n_connections, timeout_s)
    try:
        return player.play([REQUEST] * len(due_s), np.array(due_s))
    finally:
        player.close()


def test_a_trace_in_the_form_of_azure_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "code.csv"
    path.write_text(AZURE)
    trace = read(path)
    np.testing.assert_allclose(trace.at_s, [0, 0.5, 1.5], atol=1e-5)
    assert trace.context.tolist() == [4808, 3180, 110] and trace.generated.tolist() == [10, 8, 27]
    assert trace.source == "code.csv" and trace.per_s == pytest.approx(2 / 1.5)


def test_a_trace_in_the_form_of_mooncake_is_read_packed(tmp_path: Path) -> None:
    rows = [{"timestamp": at, "input_length": 10 * at, "output_length": 3, "hash_ids": [1]} for at in (40, 1040, 2540)]
    path = tmp_path / "calls.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    trace = read(path)
    np.testing.assert_allclose(trace.at_s, [0, 1, 2.5])
    assert trace.context.tolist() == [400, 10400, 25400]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column|no requests"),
        ("a,b\n1,2\n", "no column TIMESTAMP"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests"),
        (AZURE + "soon,1,2\n", "line 6"),
        (AZURE + "2023-11-16 18:17:03,1\n", "line 6"),
        (AZURE + "2023-11-16 18:17:03,1,-2\n", "line 6"),
        ('{"timestamp": 1, "input_length": 2}\n', "line 1"),
        ('{"timestamp": NaN, "input_length": 2, "output_length": 1}\n', "line 1"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(BadTrace, match=said):
        read(path)


def test_a_trace_is_sped_up_and_cut() -> None:
    trace = _trace([0.0, 1.0, 5.0, 10.0]).sped_up(2)
    assert trace.at_s.tolist() == [0, 0.5, 2.5, 5.0] and trace.per_s == pytest.approx(3 / 5)
    assert trace.first(2.5).at_s.tolist() == [0, 0.5, 2.5] and len(trace.first(2.5).context) == 3


def test_without_the_azure_trace_a_bursty_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_DATASETS", str(tmp_path))
    trace, again = default_trace(7), generated(7)
    np.testing.assert_array_equal(trace.at_s, again.at_s)
    assert trace.at_s[0] == 0 and (np.diff(trace.at_s) >= 0).all()
    found = bursts(trace.at_s)
    assert found.variation > 3 and found.dispersion_1s > 5 and found.dispersion_10s > found.dispersion_1s


def test_a_poisson_process_has_no_bursts_and_a_clock_has_less_than_none(rng: np.random.Generator) -> None:
    poisson = bursts(np.cumsum(rng.exponential(0.02, 100_000)))
    assert poisson.variation == pytest.approx(1, abs=0.02)
    assert poisson.dispersion_1s == pytest.approx(1, abs=0.12) and poisson.dispersion_10s == pytest.approx(1, abs=0.3)
    clock = bursts(np.arange(0, 50, 0.1) + 1e-9)
    assert clock.variation < 1e-6 and clock.dispersion_1s < 0.01 and clock.peak < 1.2


def test_requests_that_come_in_tens_are_ten_times_as_dispersed(rng: np.random.Generator) -> None:
    assert dispersion(np.repeat(np.cumsum(rng.exponential(0.1, 50_000)), 10), 1.0) == pytest.approx(10, rel=0.1)


def test_what_cannot_be_said_of_few_arrivals_is_left_out() -> None:
    assert burst_figures("played", np.array([0.0])) == []
    assert [figure.name for figure in burst_figures("played", np.array([0.0, 1.0, 2.0]))] == [
        "played: gaps, coefficient of variation"
    ]


def test_tenants_are_drawn_by_zipf_and_the_share_writes() -> None:
    trace = _trace(np.arange(40_000.0).tolist())
    found = drawn(trace, 50, 1.0, 0.25, seed=3)
    counts = np.bincount(found.tenants, minlength=50)
    expected = 1 / np.arange(1, 51)
    np.testing.assert_allclose(counts / len(trace), expected / expected.sum(), atol=0.01)
    assert float(found.is_write.mean()) == pytest.approx(0.25, abs=0.01)
    assert set(found.sizes[found.is_write].tolist()) == {1} and set(found.sizes[~found.is_write].tolist()) == {2}


def test_points_are_dealt_by_the_same_law_and_all_of_them() -> None:
    vectors = np.arange(1_000, dtype=np.float32)[:, None]
    parts = parts_of(vectors, 30, 1.0, seed=1)
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 1 and sizes[0] > 200
    assert sorted(np.concatenate(parts)[:, 0].tolist()) == vectors[:, 0].tolist()


def test_tokens_choose_how_many_hits_are_asked_for() -> None:
    assert chunks(np.array([0, 1, 256, 257, 4808, 10**6])).tolist() == [1, 1, 1, 2, 19, 100]
    trace = Trace("a test", np.zeros(2), np.array([4808, 0]), np.array([0, 300]))
    found = drawn(trace, 1, 1.0, 0.0, seed=1)
    made = requests(found, "notes", ["key"], np.ones((3, 4), np.float32), np.ones((5, 4), np.float32), seed=1)
    assert b'"limit":19' in made[0].replace(b" ", b"") and made[0].startswith(b"POST /v1/collections/notes/search")
    writing = drawn(trace, 1, 1.0, 1.0, seed=1)
    written = requests(writing, "notes", ["key"], np.ones((3, 4), np.float32), np.ones((5, 4), np.float32), seed=1)
    assert written[1].count(b'"p') >= 2 and b"p6" in written[1] and b"p5" in written[0], "ids that nothing has"


def test_latency_counts_from_when_a_request_was_due_not_from_when_it_was_sent() -> None:
    due_s = np.arange(0, 1, 0.05).tolist()
    with _served(lambda _: OK, wait_s=0.1) as port:  # half as fast as it is asked
        outcome = _played(port, due_s, 4, timeout_s=20)
    assert outcome.is_good.all()
    latencies, on_the_wire = outcome.done - outcome.due, outcome.done - outcome.sent
    last = int(outcome.done.argmax())  # whichever was served last: connections do not queue in order for the server
    assert latencies[last] >= 20 * 0.1 - due_s[last] - 0.01, "the queue that built up is in it"
    assert latencies[-1] > 1.5 * on_the_wire[-1], "what it waited for a connection is in it"
    assert (outcome.noticed >= outcome.due).all() and (outcome.sent >= outcome.noticed).all()


def test_requests_are_given_up_when_their_time_is_over_also_those_never_sent() -> None:
    with _served(lambda number: OK if number == 0 else None) as port:
        outcome = _played(port, [0.0, 0.1, 0.15], 1, timeout_s=0.3)
    assert outcome.status.tolist() == [200, TIMED_OUT, TIMED_OUT]
    assert np.isnan(outcome.sent[2]) or outcome.sent[2] - outcome.due[2] <= 0.3
    assert np.isnan(outcome.done[1:]).all()


def test_a_connection_that_ends_fails_its_request_and_the_next_has_a_new_one() -> None:
    with _served(lambda number: b"" if number == 0 else OK) as port:
        outcome = _played(port, [0.0, 0.05], 1, timeout_s=5)
    assert outcome.status.tolist() == [BROKEN, 200]


def test_what_was_refused_is_counted_apart_and_what_timed_out_counts_as_slow() -> None:
    due = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    nan = np.nan
    done = np.array([0.01, 1.03, 2.01, nan, 4.01])
    outcome = Outcome(due, due, due, done, np.array([200, 200, 429, TIMED_OUT, 500]))
    found = {figure.name: figure.value for figure in figures(outcome, np.zeros(5, np.int64), 1, timeout_s=2.0)}
    assert (found["timed out"], found["refused (429, 503)"], found["failed"]) == (1, 1, 1)
    assert found["latency, p50"] == pytest.approx(30) and found["latency, p99"] == pytest.approx(2_000)
    assert found["requests"] == 5 and found["offered"] == pytest.approx(1.25)


def test_latency_is_told_by_the_tenants_size() -> None:
    n, tenants = 4_000, np.arange(4_000) % 40
    due = np.arange(n, dtype=np.float64) / 1_000
    outcome = Outcome(due, due, due, due + (1 + tenants) * 1e-3, np.full(n, 200))
    found = {figure.name: figure.value for figure in figures(outcome, tenants, 40, timeout_s=10)}
    assert found["largest tenant, p99"] == pytest.approx(1)
    assert found["middle tenth of tenants, p50"] == pytest.approx(20, abs=1.01)
    assert found["smallest tenth of tenants, p99"] == pytest.approx(40)
    assert found["their p99, worst / median"] == pytest.approx(40 / 20.5)
    assert found["tenants with 20 requests or more"] == 40


def test_jains_index_is_one_for_equals_and_1_over_n_where_one_has_all() -> None:
    assert jain(np.array([3.0, 3.0, 3.0])) == pytest.approx(1)
    assert jain(np.array([4.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1/v1"])
def test_an_address_that_will_not_do_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadAddress, match="http://HOST:PORT"), there_already(url, tmp_path / "key", 1):
        pass


def test_the_command_says_what_will_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--trace", str(tmp_path / "none.csv")]) == 2
    assert "none.csv cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        replay.main(["--rate", "0"])
