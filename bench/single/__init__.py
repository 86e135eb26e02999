"""Latency of durable 1-point upserts by 16 clients into a tenant of 1,000,000 points, while searches run.

Four phases of `--seconds` each, every client asking again as soon as it is answered: one client searches alone
(quiet); one client writes alone, which gives the commit time of this machine and run; one writes while one searches,
which tells waiting for a core from waiting for other writers; then 16 write while one searches.
Writes are new points with a payload, in binary; each is acknowledged once it is on disk. The 16 are threads of two
processes.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench import report, samples
from bench.clients import run_processes, run_threads
from bench.connection import Connection, binary_search
from bench.server import Server

P50_BAR, P99_BAR = 2.0, 2.0
_NAME = "notes"
_BATCH = 1000
_N_PROCESSES = 2
_N_QUERIES = 64
_FIRST = 100_000_000
_FRESH = 1_000_000
"""Where the ids of writing clients begin, and how far apart: all have nine digits, so a prepared request fits any."""


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("single", __doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="points of the tenant")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--clients", type=int, default=16, help="writing clients (an even number)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        key = _load(server, given.n, given.dim, given.seed)
        server.await_kernels()
        figures = _measure(server, key, given.dim, given.clients, given.seconds)
    return report.publish("single", arguments, given.results, figures)


def _load(server: Server, n: int, dimension: int, seed: int) -> str:
    server.make_collection(_NAME, dimension)
    key = server.make_key("acme")
    with server.connect() as connection:
        for first in range(0, n, _BATCH):
            vectors = samples.unit_vectors(min(_BATCH, n - first), dimension, seed + first)
            connection.exchange(samples.binary_upsert(_NAME, key, first, vectors))
        connection.exchange(binary_search(_NAME, key, vectors[0]))
    return key


def _measure(server: Server, key: str, dimension: int, n_clients: int, seconds: float) -> list[report.Figure]:
    port = server.port
    quiet = np.array(run_processes(1, _searcher, port, key, dimension, seconds)[1][0])
    alone = np.array(run_processes(1, _writers, port, key, dimension, seconds, _FIRST, 1)[1][0])
    _, beside = run_processes(2, _mixed, port, key, dimension, seconds, _FIRST + _FRESH, 1)
    cpu_s = server.cpu_s()
    n_each = max(1, n_clients // _N_PROCESSES)
    first = _FIRST + 3 * _FRESH
    _, found = run_processes(_N_PROCESSES + 1, _mixed, port, key, dimension, seconds, first, n_each)
    busy, together = np.array(found[0]), np.concatenate(found[1:])
    cpu_s = server.cpu_s() - cpu_s
    return [
        report.Figure("commit p50, 1 client", _p(alone, 50), "ms"),
        report.Figure("commit p99, 1 client", _p(alone, 99), "ms"),
        report.Figure("commit p50, 1 client and a search", _p(np.array(beside[1]), 50), "ms"),
        report.Figure(f"commit p50, {n_clients} clients", _p(together, 50), "ms"),
        report.Figure(f"commit p99, {n_clients} clients", _p(together, 99), "ms"),
        report.Figure("p50 of many / p50 of one", _p(together, 50) / _p(alone, 50), "x", P50_BAR),
        report.Figure("writes", len(together) / seconds, "per s"),
        report.Figure("search p50, quiet", _p(quiet, 50), "ms"),
        report.Figure("search p99, quiet", _p(quiet, 99), "ms"),
        report.Figure("search p50, with writes", _p(busy, 50), "ms"),
        report.Figure("search p99, with writes", _p(busy, 99), "ms"),
        report.Figure("search p99 with writes / quiet", _p(busy, 99) / _p(quiet, 99), "x", P99_BAR),
        report.Figure("searches with writes", len(busy) / seconds, "per s"),
        report.Figure("server CPU with writes", cpu_s / seconds, "cores"),
    ]


def _mixed(
    number: int, port: int, key: str, dimension: int, seconds: float, first: int, n_each: int
) -> Callable[[], list[float]]:
    """Process 0 searches, the others write."""
    if number == 0:
        return _searcher(number, port, key, dimension, seconds)
    return _writers(number, port, key, dimension, seconds, first, n_each)


def _searcher(number: int, port: int, key: str, dimension: int, seconds: float) -> Callable[[], list[float]]:
    """One client that searches; returns its latencies in ms."""
    queries = samples.unit_vectors(_N_QUERIES, dimension, seed=number)
    requests = [binary_search(_NAME, key, query) for query in queries]
    connection = Connection(port)
    connection.exchange(requests[0])
    return lambda: _ask(connection, lambda i: requests[i % len(requests)], seconds)


def _writers(
    number: int, port: int, key: str, dimension: int, seconds: float, first: int, n_clients: int
) -> Callable[[], list[float]]:
    """Clients that write points, each its own, in threads of this process; returns their latencies in ms."""
    vectors = samples.unit_vectors(_N_QUERIES, dimension, seed=number)

    def client(k: int) -> Callable[[], list[float]]:
        connection = Connection(port)
        start = first + (number * n_clients + k) * _FRESH
        templates = [_template(key, start, vector) for vector in vectors]
        place = b"p%d" % start

        def upsert(i: int) -> bytes:
            return templates[i % _N_QUERIES].replace(place, b"p%d" % (start + i), 1)

        return lambda: _ask(connection, upsert, seconds)

    calls = [client(k) for k in range(n_clients)]
    return lambda: [latency for latencies in run_threads(calls) for latency in latencies]


def _template(key: str, number: int, vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> bytes:
    """A prepared upsert of one point; ids of equal length can be put in the place of its own."""
    return samples.binary_upsert(_NAME, key, number, vector[np.newaxis])


def _ask(connection: Connection, request_of: Callable[[int], bytes], seconds: float) -> list[float]:
    """Ask again and again for `seconds`; the latency of each answer in ms."""
    latencies: list[float] = []
    with connection:
        ends = time.perf_counter() + seconds
        while (prepared := request_of(len(latencies))) and (began := time.perf_counter()) < ends:
            connection.exchange(prepared)
            latencies.append((time.perf_counter() - began) * 1e3)
    return latencies


def _p(latencies: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", percent: float) -> float:
    return float(np.percentile(latencies, percent))
