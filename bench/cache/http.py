"""What a look-up costs over HTTP: CPU of the server, and of the SDK, per look-up with a vector of 384 numbers.

One tenant, one category with a fixed threshold, one kept-alive connection; keys, limits, metrics and the access log are
on, the guard is off (it is measured by itself). Hits have other words than their entries and a cosine of .99 with them;
misses have a candidate far below the bar. Server CPU is what the process is charged for all of its threads.
"""

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.connection import request
from bench.report import Figure, median
from bench.samples import unit_vectors
from bench.server import Server
from vdb.client import Cache, Client

DIMENSION, N_ENTRIES, N_QUESTIONS, N_ASKED, N_REPEATS = 384, 5_000, 256, 2_000, 5
_CACHE, _CATEGORY, _TENANT = "answers", "faq", "acme"
_LOOKUP = f"/v1/caches/{_CACHE}/lookup"
_ANSWER = {"text": "An answer of a few words, as models give them. " * 4}
_NOISE = 0.14
"""Length of what is added to an entry's vector: a cosine of about .99."""

T = TypeVar("T")


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures, each the median of the repetitions."""
    n_entries, n_asked, n_repeats = (200, 200, 1) if given.quick else (N_ENTRIES, N_ASKED, N_REPEATS)
    entries = unit_vectors(n_entries, DIMENSION, given.seed)
    noise = unit_vectors(N_QUESTIONS, DIMENSION, given.seed + 1)
    near = entries[np.arange(N_QUESTIONS) % n_entries] + _NOISE * noise
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        key = server.make_key(_TENANT)
        with Client(f"http://127.0.0.1:{server.port}", key) as client:
            cache = client.cache(_CACHE)
            _fill(server, cache, entries)
            server.await_kernels()
            return _figures(_runs(server, key, cache, near, noise, n_asked, n_repeats))


def _fill(server: Server, cache: Cache, entries: NDArray[np.float32]) -> None:
    with Client(f"http://127.0.0.1:{server.port}", server.admin_key) as admin:
        admin.create_cache(_CACHE, DIMENSION)
        admin.cache(_CACHE).put_policy(_CATEGORY, threshold=0.9, explore=0.0, guard=False)
    for i, vector in enumerate(entries):
        cache.store(None, _ANSWER, text=f"question {i}", vector=vector, category=_CATEGORY)


def _runs(
    server: Server,
    key: str,
    cache: Cache,
    near: NDArray[np.float32],
    far: NDArray[np.float32],
    n_asked: int,
    n_repeats: int,
) -> dict[str, list[float]]:
    """CPU milliseconds per look-up of each leg; the legs take turns."""
    asked: dict[str, list[bytes]] = {
        "hit, JSON": [_request(key, row.tolist()) for row in near],
        "hit, base64": [_request(key, _packed(row)) for row in near],
        "miss, JSON": [_request(key, row.tolist()) for row in far],
        "equal question": [_request(key, None, f"question {i}") for i in range(100)],
    }
    runs: dict[str, list[float]] = {name: [] for name in (*asked, "hit, by the SDK", "SDK")}

    def ask_sdk(vector: NDArray[np.float32]) -> object:
        return cache.lookup("which one?", vector, category=_CATEGORY)

    with server.connect() as connection:
        for requests in asked.values():
            _cpu_ms(server, connection.exchange, requests, n_asked // 4)
        for _ in range(n_repeats):
            for name, requests in asked.items():
                runs[name].append(_cpu_ms(server, connection.exchange, requests, n_asked)[0])
            of_server, of_client = _cpu_ms(server, ask_sdk, list(near), n_asked)
            runs["hit, by the SDK"].append(of_server)
            runs["SDK"].append(of_client)
    return runs


def _request(key: str, vector: Any, text: str = "which one?") -> bytes:
    fields = {"text": text, "category": _CATEGORY} | ({} if vector is None else {"vector": vector})
    return request("POST", _LOOKUP, key, json.dumps(fields, separators=(",", ":")).encode())


def _packed(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _cpu_ms(server: Server, call: Callable[[T], object], inputs: Sequence[T], n: int) -> tuple[float, float]:
    """CPU milliseconds per call, of the server and of this process, over `n` calls that go round the inputs."""
    server_s, client_s = server.cpu_s(), time.process_time()
    for i in range(n):
        call(inputs[i % len(inputs)])
    client_s = time.process_time() - client_s
    return (server.cpu_s() - server_s) * 1e3 / n, client_s * 1e3 / n


def _figures(runs: dict[str, list[float]]) -> list[Figure]:
    named = {name: f"{'client' if name == 'SDK' else 'server'}, {name}" for name in runs}
    return [median(named[name], values, "ms") for name, values in runs.items()]
