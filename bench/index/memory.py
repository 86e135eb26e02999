"""Memory of a server with one indexed collection, beyond the same server empty, over the float32 vectors it holds.

Points of 384 dimensions, about ten grants each, stored over HTTP by their one owner; the index is made by the server
while they arrive, so what a build, layouts and tuning leave behind counts, once they have ended. Memory is anonymous
memory; vectors, the store and the arrays of a layout are mapped files. Then the same after a restart, with how long
that and the first search of a collection take, and what the index keeps for each of 100,000 tenants.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.connection import Connection, binary_request, binary_search
from bench.index.arena import world
from bench.report import Figure
from bench.server import Server
from bench.tenants.workload import Workload
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

SHARE_BAR, IDLE_BAR_MB = 20.0, 20.0
BATCH = 1_000
QUIET_S, TIMEOUT_S, POLL_S = 5.0, 900.0, 0.5
BUSY_SHARE = 0.1
"""Of a core: a build, a layout and the measuring of a profile take most of one."""
N_IDLE, IDLE_POINTS, IDLE_DIMENSION = 100_000, 3, 16
COLLECTION = "notes"
_OWNER = "owner"


def measure(cache: Path, seed: int, is_quick: bool, size: str = "120k") -> list[Figure]:
    """Figures of a collection of `size` points, and of idle tenants."""
    workload = world(cache, f"shared-{size}", seed, is_quick)
    from_points = len(workload.vectors) // 2 if is_quick else 20_000
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        server = Server(Path(folder), index_from_points=from_points)
        with server:
            figures = _of_collection(server, workload)
    return figures + _idle(1_000 if is_quick else N_IDLE)


def _of_collection(server: Server, workload: Workload) -> list[Figure]:
    server.await_kernels()
    with server.connect() as connection:
        for name in ("warm", COLLECTION):
            made = {"name": name, "dimension": workload.dimension, "metric": workload.metric, "sharing": "tenants"}
            connection.ask("POST", "/v1/collections", server.admin_key, made)
    keys = _people(server, workload)
    with server.connect() as connection:
        _fill(connection, keys[_OWNER], workload, "warm", 100)
        connection.exchange(binary_search("warm", keys["t0"], workload.queries[0]))
        empty = server.anonymous_bytes()
        began = time.perf_counter()
        _fill(connection, keys[_OWNER], workload, COLLECTION, len(workload.vectors))
        stored_s = time.perf_counter() - began
        await_index(connection, server)
        _ask(connection, keys, workload)
        index = await_index(connection, server)  # queries unlike what was measured have the profile measured anew
        built = server.anonymous_bytes() - empty
    raw = workload.raw_bytes
    server.stop()
    ready_s = server.start()
    server.await_kernels()
    with server.connect() as connection:
        before = server.anonymous_bytes()
        began = time.perf_counter()
        connection.exchange(binary_search(COLLECTION, keys["t0"], workload.queries[0]))
        first_s = time.perf_counter() - began
        _ask(connection, keys, workload)
        await_index(connection, server)
        loaded = server.anonymous_bytes() - before
    index_bytes = int(index["memory"]["index_bytes"])
    return [
        Figure("anonymous memory / raw, as built", 100 * built / raw, "%", SHARE_BAR),
        Figure("anonymous memory / raw, after a restart", 100 * loaded / raw, "%", SHARE_BAR),
        Figure("index by its own account / raw", 100 * index_bytes / raw, "%"),
        Figure("points stored", len(workload.vectors) / stored_s, "points/s"),
        Figure("layouts while they were", int(index["index"]["layouts"]), ""),
        Figure("restart until ready", ready_s, "s"),
        Figure("first search after it, index loaded", 1e3 * first_s, "ms"),
        Figure("load of the index per GB of raw vectors", first_s / (raw / 1e9), "s"),
    ]


def _people(server: Server, workload: Workload) -> dict[str, str]:
    return {name: server.make_key(name) for name in [_OWNER, *_readers(workload)]}


def _readers(workload: Workload) -> list[str]:
    return [f"t{number}" for number in range(workload.access.n_tenants - 1)]


def _fill(connection: Connection, key: str, workload: Workload, name: str, n: int) -> None:
    names, starts = _readers(workload), workload.access.offsets
    for first in range(0, n, BATCH):
        rows = range(first, min(n, first + BATCH))
        head = {
            "ids": [f"p{row}" for row in rows],
            "shared_with": [
                [names[t] for t in workload.access.grantees[starts[row] : starts[row + 1]].tolist()] for row in rows
            ],
        }
        vectors = np.array(workload.vectors[rows.start : rows.stop])
        connection.exchange(binary_request(f"/v1/collections/{name}/points", key, head, vectors))


def await_index(connection: Connection, server: Server) -> dict[str, dict[str, Any]]:
    """The collection's statistics once it has an index and the server has had nothing to do for a while."""
    until, since, worked_s = time.monotonic() + TIMEOUT_S, time.monotonic(), server.cpu_s()
    while True:
        time.sleep(POLL_S)
        is_at_work = server.is_at_work()  # before it is asked: answering is work, too
        found: dict[str, dict[str, Any]] = connection.ask(
            "GET", f"/v1/collections/{COLLECTION}/stats", server.admin_key
        )
        now, before_s = time.monotonic(), worked_s
        worked_s = server.cpu_s()
        is_busy = worked_s - before_s > BUSY_SHARE * POLL_S or is_at_work
        if found["index"]["state"] != "ready" or is_busy:
            since = now
        elif now - since > QUIET_S:
            return found
        if now > until:
            raise TimeoutError("the index was not made in time")


def _ask(connection: Connection, keys: dict[str, str], workload: Workload) -> None:
    for asker, query in zip(workload.askers[:500].tolist(), workload.queries, strict=False):
        connection.exchange(binary_search(COLLECTION, keys[f"t{asker}"], query))


def _idle(n_tenants: int) -> list[Figure]:
    """Directories of tenants with a few points each, over what the same rows take with one tenant."""
    n = n_tenants * IDLE_POINTS
    rows = np.random.default_rng(4).standard_normal((n, IDLE_DIMENSION)).astype(np.float32)
    model = train(rows[:20_000], n, Metric.L2, default_encoding(IDLE_DIMENSION))
    nobody = (np.zeros(1, np.int64), np.zeros(0, np.uint32))
    sizes = []
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        vectors = VectorsFile(Path(folder) / "vectors", IDLE_DIMENSION)
        vectors.put(np.arange(n, dtype=np.uint32), rows)
        for owners in (np.repeat(np.arange(1, n_tenants + 1), IDLE_POINTS), np.ones(n)):
            index = CuratorIndex.build(
                model, np.arange(n, dtype=np.uint32), owners.astype(np.uint32), np.zeros(n, np.int64),
                np.zeros(0, np.uint32), nobody, vectors, 1,
            )  # fmt: skip
            sizes.append(index.nbytes)
        vectors.close()
    return [Figure(f"index of {n_tenants:,} idle tenants beyond one", (sizes[0] - sizes[1]) / 1e6, "MB", IDLE_BAR_MB)]
