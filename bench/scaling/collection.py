"""One indexed collection in a server, by size: CPU per point stored, bytes on disk and in RAM, restart, CPU per search.

Points come over HTTP from one client, in binary, without payloads, and are durable when they are answered; the server
makes its index meanwhile, on the tier and in the encoding that it chooses. Then single searches, the restart, and the
first search after it, which loads the index.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.connection import binary_request, binary_search
from bench.index.memory import COLLECTION, await_index
from bench.report import Figure
from bench.scaling.memory import Found
from bench.scaling.sets import figures, worlds
from bench.server import Server
from bench.tenants.workload import K, Workload

SIZES = (20_000, 60_000, 120_000, 250_000)
BATCH = 1_000
N_SEARCHES = 2_000
RECALL = 0.95
LEAST_QUICK = 1_000
"""A quick run leaves out smaller sizes: it waits for each server to come to rest."""


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every size, each in a server of its own."""
    found: list[Figure] = []
    for workload in worlds(given, SIZES):
        if given.quick and len(workload.vectors) < LEAST_QUICK:
            continue
        settings = {"index_from_points": 400} if given.quick else {}
        with TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder), **settings) as server:
            found += figures("collection", len(workload.vectors), _of(server, workload))
        print(f"{len(workload.vectors):,} points are done", flush=True)
    return found


def _of(server: Server, workload: Workload) -> Found:
    n = len(workload.vectors)
    server.await_kernels()
    server.make_collection("warm", workload.dimension)
    key = server.make_key("owner")
    server.make_collection(COLLECTION, workload.dimension)
    _store(server, key, workload, "warm", 100)
    empty, empty_disk, cpu_s = server.anonymous_bytes(), server.disk_bytes(), server.cpu_s()
    began = time.perf_counter()
    _store(server, key, workload, COLLECTION, n)
    stored_s, stored_cpu_s = time.perf_counter() - began, server.cpu_s() - cpu_s
    with server.connect() as connection:
        await_index(connection, server)
    all_cpu_s = server.cpu_s() - cpu_s
    _search_us(server, key, workload)
    with server.connect() as connection:
        await_index(connection, server)  # queries unlike what was measured have the profile measured anew
    search_us = _search_us(server, key, workload)
    store = sum(path.stat().st_blocks * 512 for path in (server.data_dir / "collections").glob("*/data.mdb"))
    ram, disk = server.anonymous_bytes() - empty, server.disk_bytes() - empty_disk
    server.stop()
    ready_s = server.start()
    server.await_kernels()
    began = time.perf_counter()
    with server.connect() as connection:
        connection.exchange(binary_search(COLLECTION, key, workload.queries[0]))
    first_s = time.perf_counter() - began
    return {
        "points stored": (n / stored_s, "points/s"),
        "server CPU per point until stored": (1e6 * stored_cpu_s / n, "µs"),
        "server CPU per point until indexed and tuned": (1e6 * all_cpu_s / n, "µs"),
        "server CPU per search at .95": (search_us, "µs"),
        "anonymous bytes per point": (ram / n, "B"),
        "bytes on disk per point": (disk / n, "B"),
        "bytes of the store per point": (store / n, "B"),
        "restart until ready": (ready_s, "s"),
        "first search after it": (1e3 * first_s, "ms"),
    }


def _store(server: Server, key: str, workload: Workload, name: str, n: int) -> None:
    path = f"/v1/collections/{name}/points"
    with server.connect() as connection:
        for first in range(0, n, BATCH):
            rows = range(first, min(n, first + BATCH))
            vectors = np.array(workload.vectors[rows.start : rows.stop])
            connection.exchange(binary_request(path, key, {"ids": [f"p{row}" for row in rows]}, vectors))


def _search_us(server: Server, key: str, workload: Workload) -> float:
    """Server CPU per search of one client, one after the other."""
    path, head = f"/v1/collections/{COLLECTION}/search", {"limit": K, "params": {"recall": RECALL}}
    ready = [binary_request(path, key, head, query) for query in workload.queries]
    with server.connect() as connection:
        for request in ready[:100]:
            connection.exchange(request)
        began = server.cpu_s()
        for i in range(N_SEARCHES):
            connection.exchange(ready[i % len(ready)])
        return 1e6 * (server.cpu_s() - began) / N_SEARCHES
