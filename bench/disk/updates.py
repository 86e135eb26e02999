"""Durable inserts into a collection on disk, through a server, while others read: rate, backlog, latency of reads.

The collection holds a tenant's points and is served from disk when the clock starts. Reads come by a schedule, and
count from the moment they were due: first alone (quiet), then beside writers who insert new points in batches, each
answered once it is durable, at a rate of their own. A batch that is refused because too much waits for a fold (503) is
sent again. How many rows wait is read off the metrics every second.
"""

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench import samples
from bench.clients import run_processes
from bench.connection import Connection, Refused, binary_search, request
from bench.index.arena import world
from bench.noisy.openloop import Outcome, Player, every
from bench.report import Figure
from bench.server import Server
from bench.tenants.workload import Float32s

WORKLOAD = "single-4m"
RATE, RATE_BAR, TAIL_BAR, FLAT_BAR = 10_500.0, 10_000.0, 2.0, 1.5
BATCH, N_WRITERS = 500, 2
READS_PER_S, N_READS = 50.0, 500
NAME, TENANT = "notes", "acme"
N_CONNECTIONS = 16
READY_S = 300.0
"""For the index to be there."""
MOST_REFUSALS = 2_000
FIRST_ID, IDS_APART = 10_000_000, 10_000_000
BACKLOG, FOLDS, SPLITS = "vdb_lists_backlog_rows", "vdb_lists_folds_total", "vdb_lists_splits_total"


@dataclass(frozen=True, slots=True)
class Scale:
    """Points before the clock starts, seconds of reads alone and of inserts, inserts per second."""

    n_before: int
    quiet_s: float
    busy_s: float
    rate: float


FULL = Scale(100_000, 15.0, 120.0, RATE)
QUICK = Scale(1_500, 1.0, 2.0, 400.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the metrics said, so many seconds after the start."""

    at_s: float
    n_waiting: float
    n_folds: float
    n_splits: float


@dataclass(slots=True)
class Written:
    """What a writer did: points that were answered as durable, batches that were refused before, and seconds."""

    n_points: int = 0
    n_refused: int = 0
    latencies_s: list[float] = field(default_factory=list)
    took_s: float = 0.0


def measure(cache: Path, seed: int, is_quick: bool) -> list[Figure]:
    """The figures of both phases."""
    scale = QUICK if is_quick else FULL
    workload = world(cache, WORKLOAD, seed, is_quick)
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        server.await_kernels()
        key = _filled(server, workload.vectors[: scale.n_before])
        vectors = Path(cache) / workload.vectors_key / "vectors.npy"
        queries = np.array(workload.queries[:N_READS])
        _, (quiet,) = run_processes(1, _reader, server.port, key, queries, scale.quiet_s)
        cpu_s = server.cpu_s()
        given = (server.port, key, server.admin_key, queries, str(vectors), scale)
        _, found = run_processes(2 + N_WRITERS, _client, *given)
        cpu_s = server.cpu_s() - cpu_s
        stats = _stats(server)
    return _figures(quiet, found[0], found[1], found[2:], cpu_s, stats["index"]["rows"], scale)


def _filled(server: Server, vectors: Float32s) -> str:
    """A tenant's key, once all of its points are there and served from disk."""
    made = {"name": NAME, "dimension": vectors.shape[1], "metric": "cosine", "tier": "disk"}
    with server.connect() as connection:
        connection.ask("POST", "/v1/collections", server.admin_key, made)
        key = server.make_key(TENANT)
        for first in range(0, len(vectors), BATCH):
            _insist(connection, samples.binary_upsert(NAME, key, first, np.array(vectors[first : first + BATCH])))
    ends = time.monotonic() + READY_S
    while _stats(server)["index"]["tier"] != "disk":
        if time.monotonic() > ends:
            raise TimeoutError("the collection is not served from disk")
        time.sleep(0.2)
    return key


def _stats(server: Server) -> dict[str, Any]:
    with server.connect() as connection:
        found: dict[str, Any] = connection.ask("GET", f"/v1/collections/{NAME}/stats", server.admin_key)
        return found


def _insist(connection: Connection, prepared: bytes) -> int:
    """Send until it is taken; how many times it was refused."""
    for n_refused in range(MOST_REFUSALS):
        try:
            connection.exchange(prepared)
            return n_refused
        except Refused as exc:
            if "503" not in str(exc):
                raise
            time.sleep(0.05)
    raise TimeoutError("a batch was refused again and again")


def _client(
    number: int, port: int, key: str, admin_key: str, queries: Float32s, vectors: str, scale: Scale
) -> Callable[[], Any]:
    """Process 0 reads, 1 watches, the others write."""
    if number == 0:
        return _reader(number, port, key, queries, scale.busy_s)
    if number == 1:
        return _watcher(port, admin_key, scale.busy_s)
    return _writer(number - 2, port, key, vectors, scale)


def _reader(number: int, port: int, key: str, queries: Float32s, seconds: float) -> Callable[[], Outcome]:
    """Searches by a schedule."""
    requests = [binary_search(NAME, key, query) for query in queries]
    player = Player(port, N_CONNECTIONS)

    def run() -> Outcome:
        try:
            return player.play(requests, every(READS_PER_S, seconds))
        finally:
            player.close()

    return run


def _watcher(port: int, admin_key: str, seconds: float) -> Callable[[], list[Seen]]:
    """What the metrics say, every second."""
    prepared = request("GET", "/metrics", admin_key)

    def run() -> list[Seen]:
        seen, began = [], time.perf_counter()
        with Connection(port) as connection:
            while (now := time.perf_counter() - began) < seconds:
                text = connection.exchange(prepared).decode()
                seen.append(Seen(now, _value(text, BACKLOG), _value(text, FOLDS), _value(text, SPLITS)))
                time.sleep(max(0.0, 1.0 - (time.perf_counter() - began - now)))
        return seen

    return run


def _value(text: str, name: str) -> float:
    found = re.search(rf'^{name}{{[^}}]*collection="{NAME}"[^}}]*}} ([0-9.e+]+)$', text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


def _writer(number: int, port: int, key: str, vectors: str, scale: Scale) -> Callable[[], Written]:
    """New points in batches, each at its time or as soon as the one before it is answered."""
    rows = np.load(vectors, mmap_mode="r")
    rate = scale.rate / N_WRITERS
    first_id = FIRST_ID + number * IDS_APART
    first_row = scale.n_before + number * int(rate * scale.busy_s)

    def run() -> Written:
        written = Written()
        began = time.perf_counter()
        with Connection(port) as connection:
            while True:
                due = written.n_points / rate
                if due >= scale.busy_s or time.perf_counter() - began > scale.busy_s:
                    break
                time.sleep(max(0.0, due - (time.perf_counter() - began)))
                at = (first_row + written.n_points) % (len(rows) - BATCH)
                block = np.array(rows[at : at + BATCH])
                prepared = samples.binary_upsert(NAME, key, first_id + written.n_points, block)
                asked = time.perf_counter()
                written.n_refused += _insist(connection, prepared)
                written.latencies_s.append(time.perf_counter() - asked)
                written.n_points += BATCH
        written.took_s = time.perf_counter() - began
        return written

    return run


def _figures(
    quiet: Outcome, busy: Outcome, seen: list[Seen], written: list[Written], cpu_s: float, rows: int, scale: Scale
) -> list[Figure]:
    n_points, took_s = sum(one.n_points for one in written), max(one.took_s for one in written)
    waits_s = np.concatenate([one.latencies_s for one in written])
    thirds = np.array_split(np.array([one.n_waiting for one in seen]), 3)
    middle, last = float(thirds[1].max()), float(thirds[2].max())
    folds = [b.n_folds - a.n_folds for a, b in pairwise(seen)]
    quiet_p99, busy_p99 = quiet.percentile_ms(0.99), busy.percentile_ms(0.99)
    return [
        Figure("points before", scale.n_before, ""),
        Figure("points inserted", n_points, ""),
        Figure("durable inserts", n_points / took_s, "per s", RATE_BAR, at_least=True),
        Figure("insert of a batch, p50", float(np.median(waits_s)) * 1e3, "ms"),
        Figure("insert of a batch, p99", float(np.percentile(waits_s, 99)) * 1e3, "ms"),
        Figure("batches refused and sent again", sum(one.n_refused for one in written), ""),
        Figure("rows waiting for a fold, most in the middle third", middle, ""),
        Figure("rows waiting for a fold, most in the last third", last, ""),
        Figure("waiting, last third / middle third", last / max(1.0, middle), "x", FLAT_BAR),
        Figure("rows waiting for a fold, at the end", seen[-1].n_waiting, ""),
        Figure("folds", seen[-1].n_folds - seen[0].n_folds, ""),
        Figure("folds in the last third", float(np.nansum(np.array_split(np.array(folds), 3)[2])), ""),
        Figure("lists split", seen[-1].n_splits - seen[0].n_splits, ""),
        Figure("rows of the index at the end", rows, ""),
        Figure("reads, p50, quiet", quiet.percentile_ms(0.5), "ms"),
        Figure("reads, p99, quiet", quiet_p99, "ms"),
        Figure("reads, p50, with inserts and folds", busy.percentile_ms(0.5), "ms"),
        Figure("reads, p99, with inserts and folds", busy_p99, "ms"),
        Figure("reads, p99, with inserts and folds / quiet", busy_p99 / quiet_p99, "x", TAIL_BAR),
        Figure("reads that failed or were not answered", quiet.n_sent + busy.n_sent - _answered(quiet, busy), "", 0),
        Figure("server CPU with inserts", cpu_s / took_s, "cores"),
    ]


def _answered(*outcomes: Outcome) -> int:
    return sum(len(one.latencies_s) for one in outcomes)
