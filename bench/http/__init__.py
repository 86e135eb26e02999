"""What one search costs over HTTP: server CPU beyond the kernel, for JSON and binary bodies; CPU of the SDK.

One tenant of `--n` points, one kept-alive connection, 10 hits with payloads; keys, limits, metrics and the access log
are on. Server CPU is what the process itself is charged for all of its threads. The kernel is timed in this process in
the same run: the same scan over the same data, CPU time of the thread; nothing else passes through the caches there, so
the server's own scan, which `explain` times, takes longer. The SDK's CPU is that of the client's process.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench import report, samples
from bench.connection import Connection, binary_request, binary_search, json_search
from bench.server import Server
from vdb import kernels
from vdb.client import Client
from vdb.index.flat import FlatSegment
from vdb.types import Metric

LIMIT = 10
JSON_BAR_MS, BINARY_BAR_MS, SDK_BAR_MS = 0.25, 0.20, 0.20
_BATCH = 1000
_N_QUERIES = 256
_NAME = "notes"
_SEARCH = f"/v1/collections/{_NAME}/search"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Runs:
    """CPU per request in ms, one number per repetition."""

    kernel: list[float]
    scan: list[float]
    by_json: list[float]
    by_binary: list[float]
    sdk: list[float]
    sdk_server: list[float]


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("http", __doc__)
    parser.add_argument("--n", type=int, default=10_000, help="points of the tenant")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--requests", type=int, default=4_000, help="searches of each leg of a repetition")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions")
    given = parser.parse_args(arguments)
    vectors = samples.unit_vectors(given.n, given.dim, given.seed)
    queries = samples.unit_vectors(_N_QUERIES, given.dim, given.seed + 1)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        key = _load(server, vectors)
        server.await_kernels()
        runs = _measure(server, key, vectors, queries, given.requests, given.repeat)
    return report.publish("http", arguments, given.results, _figures(runs))


def _load(server: Server, vectors: NDArray[np.float32]) -> str:
    server.make_collection(_NAME, vectors.shape[1])
    key = server.make_key("acme")
    with server.connect() as connection:
        for first in range(0, len(vectors), _BATCH):
            connection.exchange(samples.binary_upsert(_NAME, key, first, vectors[first : first + _BATCH]))
    return key


def _measure(
    server: Server,
    key: str,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    n_requests: int,
    n_repeats: int,
) -> _Runs:
    """All legs, one after the other in each repetition, so that a slow moment of the machine meets all of them."""
    in_json = [json_search(_NAME, key, query, LIMIT) for query in queries]
    in_binary = [binary_search(_NAME, key, query, LIMIT) for query in queries]
    explained = [binary_request(_SEARCH, key, {"limit": LIMIT, "explain": True}, query) for query in queries]
    asked = list(queries)
    runs = _Runs([], [], [], [], [], [])
    with server.connect() as connection, Client(f"http://127.0.0.1:{server.port}", key) as client:
        notes = client.collection(_NAME)

        def ask(request: bytes) -> object:
            return connection.exchange(request)

        def search(query: NDArray[np.float32]) -> object:
            return notes.search(query, LIMIT)

        _cpu_ms(server, ask, in_json + in_binary, n_requests // 4)
        _cpu_ms(server, search, asked, n_requests // 4)
        for _ in range(n_repeats):
            runs.kernel.append(_kernel_ms(vectors, queries))
            runs.scan.append(_scan_ms(connection, explained))
            runs.by_json.append(_cpu_ms(server, ask, in_json, n_requests)[0])
            runs.by_binary.append(_cpu_ms(server, ask, in_binary, n_requests)[0])
            server_ms, client_ms = _cpu_ms(server, search, asked, n_requests)
            runs.sdk.append(client_ms)
            runs.sdk_server.append(server_ms)
    return runs


def _cpu_ms(server: Server, call: Callable[[T], object], inputs: Sequence[T], n: int) -> tuple[float, float]:
    """CPU milliseconds per call, of the server and of this process, over `n` calls that go round the inputs."""
    server_s, client_s = server.cpu_s(), time.process_time()
    for i in range(n):
        call(inputs[i % len(inputs)])
    client_s = time.process_time() - client_s
    return (server.cpu_s() - server_s) * 1e3 / n, client_s * 1e3 / n


def _scan_ms(connection: Connection, requests: Sequence[bytes]) -> float:
    """Median milliseconds of the scan as the server itself states them: wall time, the call around the kernel too."""
    answers = [json.loads(connection.exchange(request)) for request in requests]
    scan_us: list[float] = [answer["explain"]["scan_us"] for answer in answers]
    return statistics.median(scan_us) / 1e3


def _kernel_ms(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
    """Median CPU milliseconds of the server's own scan over the same rows."""
    kernels.warm(background=False)
    pids = np.arange(len(vectors), dtype=np.uint32)
    ages = np.zeros(len(vectors), dtype=np.int64)
    segment = FlatSegment.bulk(vectors.shape[1], Metric.COSINE, pids, pids, ages, ages, vectors, 0)
    rows = segment.state
    of_rows = (rows.vectors, rows.scales, rows.pids, rows.versions, rows.dead_at, rows.expires_at)
    no_mask, distance, row = np.zeros(0, np.uint8), np.empty(LIMIT, np.float32), np.empty(LIMIT, np.int64)
    how = (no_mask, rows.n_rows, 1, 1, kernels.METRIC_NUMBER[Metric.COSINE])
    scan, times = kernels.current().scan_rows, []
    for query in queries:
        began = time.thread_time()
        scan(query, *of_rows, *how, distance, row)
        times.append(time.thread_time() - began)
    return statistics.median(times) * 1e3


def _figures(runs: _Runs) -> list[report.Figure]:
    beyond_json = [whole - kernel for whole, kernel in zip(runs.by_json, runs.kernel, strict=True)]
    beyond_binary = [whole - kernel for whole, kernel in zip(runs.by_binary, runs.kernel, strict=True)]
    return [
        report.median("kernel", runs.kernel, "ms"),
        report.median("scan, as the server explains it", runs.scan, "ms"),
        report.median("server, JSON", runs.by_json, "ms"),
        report.median("server, binary", runs.by_binary, "ms"),
        report.median("server, called by the SDK", runs.sdk_server, "ms"),
        report.median("beyond the kernel, JSON", beyond_json, "ms", JSON_BAR_MS),
        report.median("beyond the kernel, binary", beyond_binary, "ms", BINARY_BAR_MS),
        report.median("SDK, sync", runs.sdk, "ms", SDK_BAR_MS),
    ]
