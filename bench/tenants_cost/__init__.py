"""What a small tenant costs: CPU to make, memory, disk, the restart, and its first search after it; 10,000 of them.

Over HTTP, 16 clients (threads of two processes): make a tenant, a key for it, and store 100 points with payloads
through that key, in binary; then search each tenant once, restart the server, and search untouched tenants one by one.
Memory is anonymous memory beyond an empty, warmed server's and beyond the vectors themselves; disk is what the data
directory occupies. After the restart the files are still in the system's page cache.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench import report, samples
from bench.clients import run_processes, run_threads
from bench.connection import Connection, binary_search
from bench.server import Server

CPU_BAR_MS, MEMORY_BAR_KB, DISK_BAR, READY_BAR_S, FIRST_BAR_MS = 3.0, 10.0, 2.5, 2.0, 10.0
_NAME = "notes"
_N_PROCESSES = 2
_N_VARIANTS = 64
"""Different sets of vectors; tenants share them, which neither cost nor layout can tell."""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients are to do: `n_clients` at once make `n_tenants` with `n_points` of `dimension` components each."""

    n_tenants: int
    n_points: int
    dimension: int
    n_clients: int

    @property
    def vector_bytes(self) -> int:
        """Of one tenant."""
        return 4 * self.n_points * self.dimension

    def numbers(self, client: int) -> range:
        """The tenants of one client."""
        return range(client, self.n_tenants, self.n_clients)


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("tenants-cost", __doc__)
    parser.add_argument("--tenants", type=int, default=10_000, help="how many")
    parser.add_argument("--points", type=int, default=100, help="points of each")
    parser.add_argument("--dim", type=int, default=128, help="dimension")
    parser.add_argument("--clients", type=int, default=16, help="clients at once (an even number)")
    parser.add_argument("--searches", type=int, default=2_000, help="untouched tenants searched after the restart")
    given = parser.parse_args(arguments)
    load = Load(given.tenants, given.points, given.dim, given.clients)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        figures = measure(server, load, min(given.searches, given.tenants), given.seed)
    return report.publish("tenants-cost", arguments, given.results, figures)


def measure(server: Server, load: Load, n_searches: int, seed: int) -> list[report.Figure]:
    """Figures of so many tenants made in an empty server, which is restarted; `n_searches` come after that."""
    _warm(server, load)
    empty_bytes, cpu_s = server.anonymous_bytes(), server.cpu_s()
    took_s, found = run_processes(_N_PROCESSES, _makers, server.port, server.admin_key, load)
    made_s, made_bytes = server.cpu_s() - cpu_s, server.anonymous_bytes()
    keys = {number: key for part in found for number, key in part.items()}
    cpu_s = server.cpu_s()
    run_processes(_N_PROCESSES, _searchers, server.port, keys, load)
    searched_s, searched_bytes = server.cpu_s() - cpu_s, server.anonymous_bytes()
    disk_bytes = server.disk_bytes()
    server.stop()
    ready_s = server.start()
    first_ms = _first_searches(server, keys, load, n_searches, seed)
    n, vector_bytes = load.n_tenants, load.vector_bytes
    return [
        report.Figure("server CPU to make a tenant", made_s * 1e3 / n, "ms", CPU_BAR_MS),
        report.Figure("made", n / took_s, "tenants/s"),
        report.Figure("server CPU of the first search", searched_s * 1e3 / n, "ms"),
        report.Figure("memory of a tenant never searched", (made_bytes - empty_bytes) / n / 1e3, "KB"),
        report.Figure(
            "memory beyond its vectors",
            (searched_bytes - empty_bytes) / n / 1e3 - vector_bytes / 1e3,
            "KB",
            MEMORY_BAR_KB,
        ),
        report.Figure("disk / raw vectors", disk_bytes / n / vector_bytes, "x", DISK_BAR),
        report.Figure("restart until ready", ready_s, "s", READY_BAR_S),
        report.Figure("first search after it, p50", float(np.percentile(first_ms, 50)), "ms"),
        report.Figure("first search after it, p99", float(np.percentile(first_ms, 99)), "ms", FIRST_BAR_MS),
        report.Figure("first search after it, the very first", first_ms[0], "ms"),
    ]


def _warm(server: Server, load: Load) -> None:
    """Let the server load what it loads once: kernels, threads, and every code path of the clients."""
    server.await_kernels()
    server.make_collection(_NAME, load.dimension)
    key = server.make_key("warm")
    vectors = samples.unit_vectors(load.n_points, load.dimension, 0)
    with server.connect() as connection:
        for first in range(20):
            connection.exchange(samples.binary_upsert(_NAME, key, first * load.n_points, vectors))
            connection.exchange(binary_search(_NAME, key, vectors[0]))


def _makers(process: int, port: int, admin_key: str, load: Load) -> Callable[[], dict[int, str]]:
    """Clients that make tenants, keys and points; returns the key of each tenant."""
    shape = (_N_VARIANTS, load.n_points, load.dimension)
    vectors = samples.unit_vectors(_N_VARIANTS * load.n_points, load.dimension, process).reshape(shape)
    mark = "key-of-the-tenant"
    bodies = [samples.binary_upsert(_NAME, mark, 0, variant) for variant in vectors]

    def make(connection: Connection, number: int) -> str:
        tenant = f"t{number:06d}"
        connection.ask("POST", "/v1/tenants", admin_key, {"name": tenant})
        key = str(connection.ask("POST", "/v1/keys", admin_key, {"tenant": tenant, "role": "write"})["key"])
        connection.exchange(bodies[number % _N_VARIANTS].replace(mark.encode(), key.encode(), 1))
        return key

    def client(number: int) -> dict[int, str]:
        with Connection(port) as connection:
            return {tenant: make(connection, tenant) for tenant in load.numbers(number)}

    return lambda: _merged(client, _clients(process, load))


def _searchers(process: int, port: int, keys: dict[int, str], load: Load) -> Callable[[], dict[int, str]]:
    """Clients that search each tenant once; returns nothing of note."""
    query = samples.unit_vectors(1, load.dimension, 7)[0]

    def client(number: int) -> dict[int, str]:
        with Connection(port) as connection:
            for tenant in load.numbers(number):
                connection.exchange(binary_search(_NAME, keys[tenant], query))
        return {}

    return lambda: _merged(client, _clients(process, load))


def _clients(process: int, load: Load) -> range:
    """The clients of one process."""
    return range(process, load.n_clients, _N_PROCESSES)


def _merged(client: Callable[[int], dict[int, str]], numbers: range) -> dict[int, str]:
    """Run one thread for each client and put together what they return."""
    parts = run_threads([partial(client, number) for number in numbers])
    return {tenant: key for part in parts for tenant, key in part.items()}


def _first_searches(server: Server, keys: dict[int, str], load: Load, n: int, seed: int) -> list[float]:
    """Milliseconds of the first search of `n` tenants that nobody has touched since the start."""
    chosen = np.random.default_rng(seed).choice(load.n_tenants, n, replace=False)
    query = samples.unit_vectors(1, load.dimension, seed)[0]
    times: list[float] = []
    with server.connect() as connection:
        for number in chosen.tolist():
            prepared = binary_search(_NAME, keys[number], query)
            began = time.perf_counter()
            connection.exchange(prepared)
            times.append((time.perf_counter() - began) * 1e3)
    return times
