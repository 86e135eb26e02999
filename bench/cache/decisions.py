"""Whole decisions of a cache that is filled once: in this process, or over HTTP by one connection.

A decision is everything from a question with its vector to the answer: policy, exact tier, the nearest entries, whether
the candidate may be served, guard, bar, what is remembered for a label, and the stored answer where there is a hit.
"""

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.connection import request
from bench.server import Server
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.protocol.cache_requests import CacheLookup, CacheStore, CreateCache, PutPolicy
from vdb.protocol.requests import CreateTenant
from vdb.types import Caller

CACHE, CATEGORY, TENANT = "answers", "faq", "acme"
N_IN_FLIGHT = 64

Turn = Callable[[], list[float]]
"""Asks all questions once, one after the other; microseconds of each."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Texts and their vectors, float32 (n, d) of length 1."""

    texts: list[str]
    vectors: NDArray[np.float32]

    def encoded(self) -> Iterator[tuple[str, str]]:
        """Texts with base64 of their vectors, as a client sends them."""
        for text, vector in zip(self.texts, self.vectors, strict=True):
            yield text, base64.b64encode(vector.tobytes()).decode()


@contextmanager
def filled(folder: Path, entries: Sentences, similarity: float) -> Iterator[Engine]:
    """An engine whose cache has all entries, of one tenant and one category, and serves from `similarity` on."""
    with _opened(folder) as engine:
        admin = engine.local_caller()
        made = CreateCache(name=CACHE, dimension=entries.vectors.shape[1], max_entries=2 * len(entries.texts))
        _settled(engine.run("create_cache", admin, (), made))
        _settled(engine.run("put_policy", admin, (CACHE, CATEGORY), PutPolicy(threshold=similarity, explore=0.0)))
        _settled(engine.run("create_tenant", admin, (), CreateTenant(name=TENANT)))
        asker = engine.local_caller(tenant=TENANT)
        under_way: deque[Any] = deque()
        for text, vector in entries.encoded():
            stored = CacheStore(text=text, vector=vector, category=CATEGORY, answer={"to": text})
            under_way.append(engine.run("cache_store", asker, (CACHE,), stored))
            if len(under_way) == N_IN_FLIGHT:
                _settled(under_way.popleft())
        for future in under_way:
            _settled(future)
        yield engine


def in_process(engine: Engine, questions: Sentences) -> Turn:
    """Decisions by calls of the engine."""
    calls = asking(engine, questions)

    def turn() -> list[float]:
        took = []
        for call in calls:
            began = perf_counter_ns()
            call()
            took.append((perf_counter_ns() - began) / 1e3)
        return took

    return turn


def asking(engine: Engine, questions: Sentences) -> list[Callable[[], object]]:
    """A call of the engine for the decision on each question."""
    asker = engine.local_caller(tenant=TENANT)
    lookups = [CacheLookup(text=text, vector=vector, category=CATEGORY) for text, vector in questions.encoded()]
    return [partial(_decided, engine, asker, lookup) for lookup in lookups]


def _decided(engine: Engine, asker: Caller, lookup: CacheLookup) -> object:
    return _settled(engine.run("cache_lookup", asker, (CACHE,), lookup))


def until_first_decision_s(folder: Path, questions: Sentences) -> float:
    """Seconds in which an engine is opened on what `filled` has left, loads all entries and decides once."""
    began = perf_counter_ns()
    with _opened(folder) as engine:
        in_process(engine, Sentences(questions.texts[:1], questions.vectors[:1]))()
        return (perf_counter_ns() - began) / 1e9


@contextmanager
def over_http(folder: Path, questions: Sentences) -> Iterator[Turn]:
    """Decisions of a server of its own on what `filled` has left in `folder`, by one connection."""
    with Server(folder) as server, server.connect() as connection:
        server.await_kernels()
        key, path = server.make_key(TENANT), f"/v1/caches/{CACHE}/lookup"
        asked = [
            request("POST", path, key, json.dumps({"text": text, "vector": vector, "category": CATEGORY}).encode())
            for text, vector in questions.encoded()
        ]

        def turn() -> list[float]:
            took = []
            for sent in asked:
                began = perf_counter_ns()
                connection.exchange(sent)
                took.append((perf_counter_ns() - began) / 1e3)
            return took

        yield turn


@contextmanager
def _opened(folder: Path) -> Iterator[Engine]:
    engine = Engine.open(Settings.with_environment({}, data_dir=folder / "data"))
    try:
        yield engine
    finally:
        engine.close()


def _settled(answer: Any) -> Any:
    """The answer itself, once a queued write is done."""
    return answer.result() if isinstance(answer, Future) else answer
