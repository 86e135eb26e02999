"""What a noisy neighbour costs: a quiet tenant's p99 alone, and beside one that asks for 10 times its own rate.

Open loop, latency from the scheduled moment. The noisy tenant floods with searches, with batches of points, or asks for
large answers. Each repetition measures the quiet tenant alone, then beside the neighbour with its rate limit, then
beside it without one, when only the fair queues stand between them. The bar is on the ratio with the limit.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report, samples
from bench.clients import run_processes
from bench.connection import json_search, request
from bench.noisy.openloop import Outcome, Player, every
from bench.server import Server

BAR = 2.0
EXCESS = 10
"""The neighbour asks for this many times its rate."""
QUIET, NOISY, COLLECTION, DIMENSION = "quiet", "noisy", "notes", 128
QUIET_POINTS, NOISY_POINTS, BATCH, PAGE = 2_000, 10_000, 50, 100
CONNECTIONS = {QUIET: 8, NOISY: 32}
N_REQUESTS = 64
"""Different requests of a client, sent in turn."""
LEAD_S = 1.0
"""The neighbour begins earlier: its burst is over when the quiet tenant is measured."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A kind of noise: its rate limit (a field of the tenant's `rate`), and the requests per second that use it up."""

    name: str
    field: str
    limit: float
    requests_per_s: float


NEIGHBOURS = (
    Neighbour("searches", "reads_per_s", 50.0, 50.0),
    Neighbour("writes", "writes_per_s", 250.0, 250.0 / BATCH),
    Neighbour("large answers", "bytes_per_s", 1e6, 4.0),
)
"""A page of 100 points with their vectors in JSON is about 250 kB."""


def main(arguments: Sequence[str]) -> int:
    """Run the workload; 1 where a bar is missed."""
    parser = report.parser("noisy", __doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--quiet-rate", type=float, default=200.0, help="searches per second of the quiet tenant")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions")
    parser.add_argument("--only", choices=[neighbour.name for neighbour in NEIGHBOURS], help="one kind of noise")
    given = parser.parse_args(arguments)
    chosen = [neighbour for neighbour in NEIGHBOURS if given.only in (None, neighbour.name)]
    figures: list[report.Figure] = []
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        server.await_kernels()
        keys = _fill(server)
        run = _Run(server, keys, given.seconds, given.quiet_rate, given.seed)
        run.measure(None)  # the first requests of all pay for what is loaded once
        for neighbour in chosen:
            figures += _figures(run, neighbour, given.repeat)
    return report.publish("noisy", arguments, given.results, figures)


@dataclass(slots=True)
class _Run:
    """Measurements on one server."""

    server: Server
    keys: dict[str, str]
    seconds: float
    quiet_rate: float
    seed: int

    def measure(self, neighbour: Neighbour | None) -> dict[str, Outcome]:
        """Both tenants' outcomes; without a neighbour the quiet tenant is alone."""
        self.seed += 1
        n_clients = 1 if neighbour is None else 2
        _, outcomes = run_processes(
            n_clients, _client, self.server.port, self.keys, neighbour, self.seconds, self.quiet_rate, self.seed
        )
        return dict(zip((QUIET, NOISY), outcomes, strict=False))

    def limit(self, rate: dict[str, float]) -> None:
        """Set the noisy tenant's rate; none for an empty one."""
        with self.server.connect() as connection:
            connection.ask("PATCH", f"/v1/tenants/{NOISY}", self.server.admin_key, {"rate": rate or None})


def _figures(run: _Run, neighbour: Neighbour, n_repeats: int) -> list[report.Figure]:
    alone, limited, free, ratios, free_ratios, admitted = [], [], [], [], [], []
    for _ in range(n_repeats):
        alone.append(_p99_ms(run.measure(None)[QUIET]))
        run.limit({neighbour.field: neighbour.limit})
        outcomes = run.measure(neighbour)
        limited.append(_p99_ms(outcomes[QUIET]))
        admitted.append(len(outcomes[NOISY].latencies_s) / (run.seconds + LEAD_S))
        run.limit({})
        free.append(_p99_ms(run.measure(neighbour)[QUIET]))
        ratios.append(limited[-1] / alone[-1])
        free_ratios.append(free[-1] / alone[-1])
    name = neighbour.name
    return [
        report.median(f"{name}: quiet p99 alone", alone, "ms"),
        report.median(f"{name}: quiet p99 beside", limited, "ms"),
        report.median(f"{name}: p99 moves by", ratios, "x", BAR),
        report.median(f"{name}: neighbour admitted", admitted, "1/s"),
        report.Figure(f"{name}: neighbour asked for", neighbour.requests_per_s * EXCESS, "1/s"),
        report.median(f"{name}: quiet p99, no limit", free, "ms"),
        report.median(f"{name}: p99 moves by, no limit", free_ratios, "x"),
    ]


def _p99_ms(outcome: Outcome) -> float:
    """The quiet tenant's p99; every request of it must have been answered."""
    if outcome.n_failed or outcome.n_refused or outcome.n_unanswered:
        raise AssertionError(f"the quiet tenant was not served: {outcome.n_sent} sent, {len(outcome.latencies_s)} good")
    return outcome.percentile_ms(0.99)


def _client(
    number: int,
    port: int,
    keys: dict[str, str],
    neighbour: Neighbour | None,
    seconds: float,
    quiet_rate: float,
    seed: int,
) -> Callable[[], Outcome]:
    """Client 0 is the quiet tenant, client 1 its neighbour."""
    if number == 0 or neighbour is None:
        player, requests = Player(port, CONNECTIONS[QUIET]), _searches(keys[QUIET], seed)
        due_s = _jittered(every(quiet_rate, seconds, LEAD_S), 1.0 / quiet_rate, seed)
    else:
        player, requests = Player(port, CONNECTIONS[NOISY]), _noise(neighbour, keys[NOISY], seed)
        due_s = every(neighbour.requests_per_s * EXCESS, seconds + LEAD_S)

    def run() -> Outcome:
        try:
            return player.play(requests, due_s)
        finally:
            player.close()

    return run


def _jittered(due_s: list[float], spread_s: float, seed: int) -> list[float]:
    """Moments somewhere in their interval, so that they keep no step with the neighbour's."""
    drawn = random.Random(seed)
    return [moment + drawn.random() * spread_s for moment in due_s]


def _searches(key: str, seed: int) -> list[bytes]:
    vectors = samples.unit_vectors(N_REQUESTS, DIMENSION, seed)
    return [json_search(COLLECTION, key, vector) for vector in vectors]


def _noise(neighbour: Neighbour, key: str, seed: int) -> list[bytes]:
    if neighbour.field == "reads_per_s":
        return _searches(key, seed)
    if neighbour.field == "writes_per_s":
        vectors = samples.unit_vectors(N_REQUESTS * BATCH, DIMENSION, seed)
        starts = range(0, len(vectors), BATCH)
        return [samples.json_upsert(COLLECTION, key, i, vectors[i : i + BATCH]) for i in starts]
    body = b'{"limit":%d,"with_vector":true}' % PAGE
    return [request("POST", f"/v1/collections/{COLLECTION}/points/scroll", key, body)]


def _fill(server: Server) -> dict[str, str]:
    """Both tenants' points and keys."""
    server.make_collection(COLLECTION, DIMENSION)
    keys = {tenant: server.make_key(tenant) for tenant in (QUIET, NOISY)}
    for tenant, n_points in ((QUIET, QUIET_POINTS), (NOISY, NOISY_POINTS)):
        vectors = samples.unit_vectors(n_points, DIMENSION, seed=0)
        with server.connect() as connection:
            for first in range(0, n_points, 1_000):
                body = samples.binary_upsert(COLLECTION, keys[tenant], first, vectors[first : first + 1_000])
                connection.exchange(body)
    return keys
