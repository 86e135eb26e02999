"""What an answer costs the server over HTTP, without the time of its backend: 20,000 chunks, hybrid retrieval.

One tenant, one kept-alive connection; keys, limits, metrics and the access log are on. Chunks are real texts with
vectors of 384 numbers, and the shared index answers, after the server has tuned it by what was asked. Server CPU is
what the process is charged for all of its threads. A scripted backend answers at once from a process of its own: asking
it is the server's cost, answering is not. The extractive one answers in the server: its seconds, which /metrics
counts, are taken off.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

from bench.answers.scripted import scripted
from bench.connection import request
from bench.report import Figure, median
from bench.retrieval.http import COLLECTION, TENANT, await_idle, cpu_ms, fill
from bench.retrieval.texts import Texts, made_up, mixed
from bench.server import Server

N_CHUNKS, N_ASKED, N_REPEATS, N_QUESTIONS = 20_000, 200, 5, 512
BAR_MS = 3.0
MODELS = """
[backends.scripted]
kind = "openai"
url = "{url}"
model = "scripted"
context_tokens = 32768
max_tokens = 256
tokens = "estimate"

[backends.small]
kind = "openai"
url = "{url}"
model = "scripted"
context_tokens = 4096
max_tokens = 256
tokens = "estimate"
"""
"""One whose context holds all that is found, and one whose context holds a third of it."""


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures, each the median of the repetitions."""
    texts = made_up(given.seed) if given.quick else mixed(given.data, N_CHUNKS)
    n_asked, n_repeats = (50, 1) if given.quick else (N_ASKED, N_REPEATS)
    index_from = 100 if given.quick else N_CHUNKS
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, scripted() as url:
        models = Path(folder) / "models.toml"
        models.write_text(MODELS.format(url=url), encoding="utf-8")
        with Server(Path(folder), index_from_points=index_from, models_file=models) as server:
            key = server.make_key(TENANT)
            fill(server, key, texts)
            server.await_kernels()
            return _runs(server, key, texts, n_asked, n_repeats)


def _runs(server: Server, key: str, texts: Texts, n_asked: int, n_repeats: int) -> list[Figure]:
    """The backends take turns; their numbers are CPU milliseconds per answer."""
    asked = {
        "scripted backend": _answers(key, texts, backend="scripted"),
        "scripted backend of 4,096 tokens": _answers(key, texts, backend="small"),
        "extractive": _answers(key, texts, backend="extractive"),
        "its search alone": _searches(key, texts),
    }
    runs: dict[str, list[float]] = {name: [] for name in (*asked, "extractive, with the backend")}
    with server.connect() as connection:
        for requests in asked.values():
            cpu_ms(server, connection.exchange, requests, n_asked)
    await_idle(server)
    with server.connect() as connection:
        for _ in range(n_repeats):
            for name, requests in asked.items():
                before = _backend_s(server)
                whole_ms = cpu_ms(server, connection.exchange, requests, n_asked)
                own_ms = (_backend_s(server) - before) * 1e3 / n_asked
                runs[name].append(whole_ms - own_ms)
                if name == "extractive":
                    runs["extractive, with the backend"].append(whole_ms)
    bars = dict.fromkeys(("scripted backend", "scripted backend of 4,096 tokens", "extractive"), BAR_MS)
    return [median(f"server, {name}", values, "ms", bars.get(name)) for name, values in runs.items()]


def _backend_s(server: Server) -> float:
    """Seconds that the extractive backend has taken so far."""
    with server.connect() as connection:
        told = connection.exchange(request("GET", "/metrics", server.admin_key)).decode()
    found = re.search(r'^vdb_backend_seconds_total\{backend="extractive"\} (\S+)$', told, re.MULTILINE)
    assert found is not None, "the metrics do not tell the seconds of the backend"
    return float(found[1])


def _pairs(texts: Texts) -> list[tuple[str, list[float]]]:
    rows = [row.tolist() for row in texts.query_vectors[:N_QUESTIONS]]
    return list(zip(texts.questions, rows, strict=False))


def _answers(key: str, texts: Texts, backend: str) -> list[bytes]:
    fixed = {"collection": COLLECTION, "backend": backend, "cache": "off"}
    return [_request("/v1/answer", key, question=text, vector=row, **fixed) for text, row in _pairs(texts)]


def _searches(key: str, texts: Texts) -> list[bytes]:
    path = f"/v1/collections/{COLLECTION}/search"
    return [_request(path, key, text=text, vector=row, limit=50) for text, row in _pairs(texts)]


def _request(path: str, key: str, **body: object) -> bytes:
    return request("POST", path, key, json.dumps(body, separators=(",", ":")).encode())
