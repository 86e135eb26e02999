"""What a second ask costs the server over HTTP, and that it is fresh once the source has changed or is revoked.

One tenant, one kept-alive connection, a semantic cache in front of a collection of 20,000 chunks. Every question is
asked, then asked again; the figures are of the second time: milliseconds between request and answer as the client sees
them, those that the server says it took, and CPU of the server.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.answers.overhead import MODELS
from bench.answers.scripted import scripted
from bench.connection import Connection, request
from bench.report import Figure, median
from bench.retrieval.http import COLLECTION, TENANT, await_idle, fill
from bench.retrieval.texts import DIMENSION, Texts, made_up, mixed
from bench.server import Server
from vdb.client import Client

N_CHUNKS, N_REPEATS, N_QUESTIONS, N_CHANGES = 20_000, 5, 300, 20
BAR_MS = 5.0
_CACHE, _CATEGORY = "replies", "faq"


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures, each the median of the repetitions; every answer after a change has to be fresh."""
    texts = made_up(given.seed) if given.quick else mixed(given.data, N_CHUNKS)
    n_questions, n_repeats, n_changes = (20, 1, 3) if given.quick else (N_QUESTIONS, N_REPEATS, N_CHANGES)
    index_from = 100 if given.quick else N_CHUNKS
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, scripted() as url:
        models = Path(folder) / "models.toml"
        models.write_text(MODELS.format(url=url), encoding="utf-8")
        with Server(Path(folder), index_from_points=index_from, models_file=models) as server:
            key = server.make_key(TENANT)
            fill(server, key, texts)
            server.await_kernels()
            with Client(f"http://127.0.0.1:{server.port}", server.admin_key) as admin:
                _put_in_front(admin)
                figures = _second_asks(server, key, texts, n_questions, n_repeats)
                return [*figures, *_fresh(server, admin, key, texts, n_changes)]


def _put_in_front(admin: Client) -> None:
    admin.create_cache(_CACHE, DIMENSION)
    admin.cache(_CACHE).put_policy(_CATEGORY, threshold=0.98, explore=0.0, guard=False)
    admin.update_collection(COLLECTION, answering={"cache": _CACHE, "category": _CATEGORY, "backend": "scripted"})


def _second_asks(server: Server, key: str, texts: Texts, n_questions: int, n_repeats: int) -> list[Figure]:
    asked = [_question(key, texts, i) for i in range(n_questions)]
    seen: list[float] = []
    told: list[float] = []
    cpu: list[float] = []
    with server.connect() as connection:
        first = [_ask(connection, one) for one in asked]
        kept = [i for i, answer in enumerate(first) if answer["cache"]["stored"] is not None]
        await_idle(server)
        for _ in range(n_repeats):
            began, before = time.perf_counter(), server.cpu_s()
            answers = [_ask(connection, asked[i]) for i in kept]
            cpu.append((server.cpu_s() - before) * 1e3 / len(kept))
            seen.append((time.perf_counter() - began) * 1e3 / len(kept))
            told.append(float(np.percentile([answer["timings"]["total_ms"] for answer in answers], 99)))
            n_missed = sum(answer["cache"]["hit"] is None for answer in answers)
            assert n_missed == 0, f"{n_missed} of {len(kept)} questions were not served from the cache"
    return [
        median("second ask, server time, p99", told, "ms", BAR_MS),
        median("second ask, as the client sees it, mean", seen, "ms", BAR_MS),
        median("second ask, server CPU", cpu, "ms"),
        Figure("questions kept", len(kept), "answers"),
    ]


def _fresh(server: Server, admin: Client, key: str, texts: Texts, n: int) -> list[Figure]:
    """Change, delete or revoke a source of a cached answer, then ask again."""
    stale, done = 0, 0
    chunks = admin.collection(COLLECTION, tenant=TENANT)
    shared = admin.collection(COLLECTION, tenant="others")
    shared.upsert(["shared"], texts.vectors[:1], [{"text": texts.chunks[0]}])
    with server.connect() as connection:
        for i in range(n):
            question = _question(key, texts, i)
            answer = _ask(connection, question)
            changed = answer["references"][0]["id"] if answer["references"] else ""
            if not changed.startswith("c"):
                continue
            row = int(changed[1:])
            if i % 3 == 0:
                chunks.update_payload([changed], {"text": texts.chunks[row] + " And more."})
            elif i % 3 == 1:
                chunks.delete([changed])
            else:
                vector = texts.query_vectors[i : i + 1]
                shared.upsert([f"s{i}"], vector, [{"text": texts.questions[i] + " " + texts.chunks[row]}])
                shared.grant([f"s{i}"], to=[TENANT])
                _ask(connection, question)
                shared.revoke([f"s{i}"], to=[TENANT])
            done += 1
            stale += _ask(connection, question)["cache"]["hit"] is not None
    return [Figure(f"stale answers after {done} changes", stale, "answers", 0.0)]


def _question(key: str, texts: Texts, i: int) -> bytes:
    body = {"collection": COLLECTION, "question": texts.questions[i], "vector": texts.query_vectors[i].tolist()}
    return request("POST", "/v1/answer", key, json.dumps(body, separators=(",", ":")).encode())


def _ask(connection: Connection, question: bytes) -> Any:
    return json.loads(connection.exchange(question))
