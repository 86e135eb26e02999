"""What one search costs over HTTP: server CPU beyond the kernel, for JSON and binary bodies; CPU of the SDK.

One tenant of `--n` points, one kept-alive connection, 10 hits with payloads; every point is compared, or with `--index`
the shared index answers; keys, limits, metrics and the access log are on. Server CPU is what the process itself is
charged for all of its threads. The kernel is timed in this process in the same run: the same search over the same data,
CPU time of the thread; nothing else passes through the caches there, so the server's own scan, which `explain` times,
takes longer. The SDK's CPU is that of the client's process.
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
from bench.http.kernel import Search, flat, indexed
from bench.server import Server
from vdb.client import Client

LIMIT = 10
JSON_BAR_MS, BINARY_BAR_MS, SDK_BAR_MS = 0.25, 0.20, 0.20
_BATCH = 1000
_QUIET_S, _TIMEOUT_S = 5.0, 300.0
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
    by_index: list[float]
    """Share of a repetition's searches that the index answered."""


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("http", __doc__)
    parser.add_argument("--n", type=int, default=10_000, help="points of the tenant")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--requests", type=int, default=4_000, help="searches of each leg of a repetition")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions")
    parser.add_argument("--index", action="store_true", help="with the shared index, whatever the number of points")
    given = parser.parse_args(arguments)
    vectors = samples.unit_vectors(given.n, given.dim, given.seed)
    queries = samples.unit_vectors(_N_QUERIES, given.dim, given.seed + 1)
    from_points = min(_BATCH, given.n) if given.index else 0
    with (
        tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder,
        Server(Path(folder), index_from_points=from_points) as server,
    ):
        key = _load(server, vectors)
        server.await_kernels()
        if given.index:
            _await_index(server)
        runs = _measure(server, key, vectors, queries, given.requests, given.repeat)
    return report.publish("http", arguments, given.results, _figures(runs))


def _load(server: Server, vectors: NDArray[np.float32]) -> str:
    server.make_collection(_NAME, vectors.shape[1])
    key = server.make_key("acme")
    with server.connect() as connection:
        for first in range(0, len(vectors), _BATCH):
            connection.exchange(samples.binary_upsert(_NAME, key, first, vectors[first : first + _BATCH]))
    return key


def _await_index(server: Server) -> None:
    """Until the collection has an index that was measured and has been left alone for a while."""
    until, before, since = time.monotonic() + _TIMEOUT_S, None, time.monotonic()
    with server.connect() as connection:
        while time.monotonic() < until:
            index = connection.ask("GET", f"/v1/collections/{_NAME}/stats", server.admin_key)["index"]
            if index != before:
                before, since = index, time.monotonic()
            elif index["state"] == "ready" and time.monotonic() - since > _QUIET_S:
                return
            time.sleep(0.2)
    raise TimeoutError("the index was not made in time")


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
    runs = _Runs([], [], [], [], [], [], [])
    with server.connect() as connection, Client(f"http://127.0.0.1:{server.port}", key) as client:
        notes = client.collection(_NAME)

        def ask(request: bytes) -> object:
            return connection.exchange(request)

        def search(query: NDArray[np.float32]) -> object:
            return notes.search(query, LIMIT)

        _cpu_ms(server, ask, in_json + in_binary, n_requests // 4)
        _cpu_ms(server, search, asked, n_requests // 4)
        how = json.loads(connection.exchange(explained[0]))["explain"]
        search_here = indexed(vectors, how, LIMIT) if how["path"] == "index" else flat(vectors, LIMIT)
        for _ in range(n_repeats):
            runs.kernel.append(_kernel_ms(search_here, queries))
            scan_ms, by_index = _scan(connection, explained)
            runs.scan.append(scan_ms)
            runs.by_index.append(by_index)
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


def _scan(connection: Connection, requests: Sequence[bytes]) -> tuple[float, float]:
    """Median milliseconds of the scan as the server itself states them: wall time, the call around the kernel too; and
    the share of the searches that the index answered."""
    explained = [json.loads(connection.exchange(request))["explain"] for request in requests]
    scan_us: list[float] = [one["scan_us"] for one in explained]
    by_index = [one["path"] == "index" for one in explained]
    return statistics.median(scan_us) / 1e3, sum(by_index) / len(by_index)


def _kernel_ms(search: Search, queries: NDArray[np.float32]) -> float:
    """Median CPU milliseconds of the server's own search over the same rows."""
    times = []
    for query in queries:
        began = time.thread_time()
        search(query)
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
        report.median("searches by the index", runs.by_index, ""),
    ]
