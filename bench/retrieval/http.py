"""What a hybrid search costs over HTTP: CPU of the server per search of 20,000 chunks, 10 hits with their texts.

One tenant, one kept-alive connection; keys, limits, metrics and the access log are on. Chunks are real texts with
vectors of 384 numbers, and the shared index answers, after the server has tuned it by what was asked. Server CPU is
what the process is charged for all of its threads.
"""

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.connection import binary_request, request
from bench.report import Figure, median
from bench.retrieval.texts import DIMENSION, Texts, made_up, mixed
from bench.server import Server
from vdb.client import Client

N_CHUNKS, N_ASKED, N_REPEATS, N_QUESTIONS = 20_000, 1_000, 5, 512
BAR_MS = 1.0
COLLECTION, TENANT = "chunks", "acme"
_SEARCH = f"/v1/collections/{COLLECTION}/search"
_INDEX_TIMEOUT_S = 300.0
_QUIET_S, _IDLE_SHARE = 5.0, 0.02


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures, each the median of the repetitions."""
    texts = made_up(given.seed) if given.quick else mixed(given.data, N_CHUNKS)
    n_asked, n_repeats = (100, 1) if given.quick else (N_ASKED, N_REPEATS)
    index_from = 100 if given.quick else N_CHUNKS
    with (
        tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder,
        Server(Path(folder), index_from_points=index_from) as server,
    ):
        key = server.make_key(TENANT)
        fill(server, key, texts)
        server.await_kernels()
        return _runs(server, key, texts, n_asked, n_repeats)


def fill(server: Server, key: str, texts: Texts) -> None:
    """Make the collection and put the chunks, and wait for the index."""
    url = f"http://127.0.0.1:{server.port}"
    with Client(url, server.admin_key) as admin:
        admin.create_collection(
            COLLECTION, DIMENSION, text={"fields": {"text": 1}}, embedding={"model": "lexical", "version": "1"}
        )
        with Client(url, key) as client:
            chunks = client.collection(COLLECTION)
            ids = [f"c{i}" for i in range(len(texts.chunks))]
            chunks.upsert(ids, texts.vectors, [{"text": text} for text in texts.chunks])
            deadline = time.monotonic() + _INDEX_TIMEOUT_S
            while (told := chunks.search(texts.vectors[0], explain=True).explain) is None or told.path != "index":
                if time.monotonic() > deadline:
                    raise TimeoutError("the index was not made in time")
                time.sleep(0.2)


def _runs(server: Server, key: str, texts: Texts, n_asked: int, n_repeats: int) -> list[Figure]:
    """The legs take turns; their numbers are CPU milliseconds per search."""
    asked = _requests(key, texts)
    runs: dict[str, list[float]] = {name: [] for name in asked}
    with server.connect() as connection:
        for requests in asked.values():
            cpu_ms(server, connection.exchange, requests, n_asked // 2)
        await_idle(server)
        for _ in range(n_repeats):
            for name, requests in asked.items():
                runs[name].append(cpu_ms(server, connection.exchange, requests, n_asked))
    bars = {"hybrid, text and vector, JSON": BAR_MS}
    return [median(f"server, {name}", values, "ms", bars.get(name)) for name, values in runs.items()]


def await_idle(server: Server) -> None:
    """Until what the server does by itself is done: it tunes its index by the queries that it has seen."""
    since, before, give_up = time.monotonic(), server.cpu_s(), time.monotonic() + _INDEX_TIMEOUT_S
    while time.monotonic() - since < _QUIET_S:
        if time.monotonic() > give_up:
            raise TimeoutError("the server does not come to rest")
        time.sleep(0.5)
        if server.cpu_s() - before > _IDLE_SHARE * (time.monotonic() - since):
            since, before = time.monotonic(), server.cpu_s()


def _requests(key: str, texts: Texts) -> dict[str, list[bytes]]:
    pairs = list(zip(texts.questions, texts.query_vectors, strict=True))[:N_QUESTIONS]
    return {
        "hybrid, text and vector, JSON": [_json(key, text=text, vector=row.tolist()) for text, row in pairs],
        "hybrid, vector in base64": [_json(key, text=text, vector=_packed(row)) for text, row in pairs],
        "hybrid, 50 candidates of a leg": [
            _json(key, text=text, vector=row.tolist(), fusion={"depth": 50}) for text, row in pairs
        ],
        "hybrid, binary": [binary_request(_SEARCH, key, {"text": text}, row) for text, row in pairs],
        "hybrid, embedded by lexical": [_json(key, text=text) for text, _ in pairs],
        "sparse": [_json(key, text=text, mode="sparse") for text, _ in pairs],
        "by vector, base64": [_json(key, vector=_packed(row)) for _, row in pairs],
    }


def _json(key: str, **fields: Any) -> bytes:
    return request("POST", _SEARCH, key, json.dumps(fields, separators=(",", ":")).encode())


def _packed(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def cpu_ms(server: Server, call: Any, requests: Sequence[bytes], n: int) -> float:
    """CPU milliseconds of the server per search, over `n` that go round the requests."""
    began = server.cpu_s()
    for i in range(n):
        call(requests[i % len(requests)])
    return (server.cpu_s() - began) * 1e3 / n
