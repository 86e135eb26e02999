"""Under watch in a server: its CPU for a search, in JSON and binary, and until it is ready."""

import itertools
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from bench.connection import binary_search, json_search
from bench.samples import binary_upsert, unit_vectors
from bench.server import Server
from bench.smoke.turns import Reading, Watched
from bench.smoke.yardsticks import loop

__all__ = ["cpu_ns", "over_http", "startups"]

_DIMENSION, _N_POINTS, _N_QUERIES = 128, 2_000, 64
_N_STARTS, _N_LOOPS = 5, 200
_NAME = "points"


def cpu_ns(pid: int) -> int:
    """CPU nanoseconds of another process so far, all of its threads (Linux: its clock by number)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def over_http(stack: ExitStack, folder: Path, seed: int) -> list[Watched]:
    """Searches of 2,000 points by one connection; the server is stopped with the stack."""
    folder.mkdir()
    server = stack.enter_context(Server(folder, index_from_points=10**9))
    server.make_collection(_NAME, _DIMENSION)
    key = server.make_key("acme")
    connection = stack.enter_context(server.connect())
    connection.exchange(binary_upsert(_NAME, key, 0, unit_vectors(_N_POINTS, _DIMENSION, seed)))
    server.await_kernels()
    queries = unit_vectors(_N_QUERIES, _DIMENSION, seed + 1)
    in_json = itertools.cycle([json_search(_NAME, key, query) for query in queries])
    in_binary = itertools.cycle([binary_search(_NAME, key, query) for query in queries])
    pid = server.pid
    return [
        Watched("HTTP, a search in JSON", lambda: connection.exchange(next(in_json)), loop(), lambda: cpu_ns(pid)),
        Watched("HTTP, a binary search", lambda: connection.exchange(next(in_binary)), loop(), lambda: cpu_ns(pid)),
    ]


def startups(folder: Path) -> dict[str, Reading]:
    """CPU of a server until it is ready, kernels not waited for, against the loop before and after it."""
    name, turn = loop()
    ratios = []
    server = Server(folder, compile_kernels=False)
    for _ in range(_N_STARTS):
        began = time.thread_time_ns()
        for _ in range(_N_LOOPS):
            turn()
        yard_ns = (time.thread_time_ns() - began) / _N_LOOPS
        with server:
            ratios.append(cpu_ns(server.pid) / yard_ns)
    return {"vdb serve, until ready": {"value": statistics.median(ratios), "unit": f"x {name}"}}
