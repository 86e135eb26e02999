"""What an answer costs the server over HTTP, without the time of its backend: 20,000 chunks, hybrid retrieval.

One tenant, one kept-alive connection; keys, limits, metrics and the access log are on. Chunks are real texts with
vectors of 384 numbers, and the shared index answers, after the server has tuned it by what was asked. Server CPU is
what the process is charged for all of its threads.
"""

import argparse
import json
import tempfile
from pathlib import Path

from bench.connection import request
from bench.report import Figure, median
from bench.retrieval.http import COLLECTION, TENANT, await_idle, cpu_ms, fill
from bench.retrieval.texts import Texts, made_up, mixed
from bench.server import Server

N_CHUNKS, N_ASKED, N_REPEATS, N_QUESTIONS = 20_000, 500, 5, 512
BAR_MS = 3.0


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures, each the median of the repetitions."""
    texts = made_up(given.seed) if given.quick else mixed(given.data, N_CHUNKS)
    n_asked, n_repeats = (50, 1) if given.quick else (N_ASKED, N_REPEATS)
    index_from = 100 if given.quick else N_CHUNKS
    with (
        tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder,
        Server(Path(folder), index_from_points=index_from) as server,
    ):
        key = server.make_key(TENANT)
        fill(server, key, texts)
        server.await_kernels()
        return _runs(server, key, texts, n_asked, n_repeats)


def _runs(server: Server, key: str, texts: Texts, n_asked: int, n_repeats: int) -> list[Figure]:
    asked = {"extractive": _requests(key, texts, backend="extractive")}
    runs: dict[str, list[float]] = {name: [] for name in asked}
    with server.connect() as connection:
        for requests in asked.values():
            cpu_ms(server, connection.exchange, requests, n_asked)
        await_idle(server)
        for _ in range(n_repeats):
            for name, requests in asked.items():
                runs[name].append(cpu_ms(server, connection.exchange, requests, n_asked))
    return [median(f"server, {name}", values, "ms", BAR_MS) for name, values in runs.items()]


def _requests(key: str, texts: Texts, **options: object) -> list[bytes]:
    pairs = list(zip(texts.questions, texts.query_vectors, strict=True))[:N_QUESTIONS]
    bodies = [
        {"collection": COLLECTION, "question": text, "vector": row.tolist(), "cache": "off", **options}
        for text, row in pairs
    ]
    return [request("POST", "/v1/answer", key, json.dumps(body, separators=(",", ":")).encode()) for body in bodies]
