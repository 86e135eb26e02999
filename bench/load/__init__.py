"""How fast points are stored: 4 client processes, batches of 1,000, every answer durable, JSON and binary bodies.

Each repetition loads a new collection, one tenant's, over one kept-alive connection per client. Bodies are built before
the clock starts, in processes of their own. Afterwards the points are counted and one is searched for.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench import report, samples
from bench.clients import run_processes
from bench.connection import Connection, binary_search
from bench.server import Server

JSON_BAR, BINARY_BAR = 20_000, 50_000
_BUILD: Final = {"json": samples.json_upsert, "binary": samples.binary_upsert}


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("load", __doc__)
    parser.add_argument("--clients", type=int, default=4, help="client processes")
    parser.add_argument("--batches", type=int, default=25, help="requests of each client")
    parser.add_argument("--batch", type=int, default=1000, help="points of a request")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions")
    given = parser.parse_args(arguments)
    rates: dict[str, list[float]] = {form: [] for form in _BUILD}
    costs: dict[str, list[float]] = {form: [] for form in _BUILD}
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        server.await_kernels()
        for repetition in range(given.repeat):
            for form in _BUILD:
                rate, cost = _load(
                    server, f"{form}-{repetition}", form, given.clients, given.batches, given.batch, given.dim
                )
                rates[form].append(rate)
                costs[form].append(cost)
    figures = [
        report.median("JSON", rates["json"], "points/s", JSON_BAR, at_least=True),
        report.median("binary", rates["binary"], "points/s", BINARY_BAR, at_least=True),
        report.median("server CPU, JSON", costs["json"], "us/point"),
        report.median("server CPU, binary", costs["binary"], "us/point"),
    ]
    return report.publish("load", arguments, given.results, figures)


def _load(
    server: Server, name: str, form: str, n_clients: int, n_batches: int, n_batch: int, dimension: int
) -> tuple[float, float]:
    """Fill a new collection; returns points per second and server CPU microseconds per point."""
    server.make_collection(name, dimension)
    key = server.make_key("acme")
    cpu_s = server.cpu_s()
    took_s, _ = run_processes(n_clients, _client, server.port, key, name, form, n_batches, n_batch, dimension)
    n_points = n_clients * n_batches * n_batch
    cpu_s = server.cpu_s() - cpu_s
    _check(server, key, name, n_points, dimension)
    return n_points / took_s, cpu_s * 1e6 / n_points


def _client(
    number: int, port: int, key: str, name: str, form: str, n_batches: int, n_batch: int, dimension: int
) -> Callable[[], None]:
    """One client: its batches as prepared requests, sent one after the other."""
    vectors = samples.unit_vectors(n_batches * n_batch, dimension, seed=number)
    first = number * len(vectors)
    starts = range(0, len(vectors), n_batch)
    requests = [_BUILD[form](name, key, first + i, vectors[i : i + n_batch]) for i in starts]
    connection = Connection(port)

    def run() -> None:
        with connection:
            for request in requests:
                connection.exchange(request)

    return run


def _check(server: Server, key: str, name: str, n_points: int, dimension: int) -> None:
    """Everything is there, and found."""
    first = samples.unit_vectors(1, dimension, seed=0)[0]
    with server.connect() as connection:
        count = connection.ask("POST", f"/v1/collections/{name}/points/count", key, {})["count"]
        found = connection.exchange(binary_search(name, key, first, 1))
    if count != n_points or b'"p0"' not in found:
        raise AssertionError(f"{count} of {n_points} points are there; the first search found {found[:200]!r}")
