"""The real engine in the closed loop: it has to decide as its core does, over a store, one commit per answer.

The first shuffle of `quality` goes through `cache_lookup` and `cache_store`; the numbers that decide what is explored
are those of the core's run, so every request should end alike. Cosines may be computed in another order, so a few could
fall on the other side of a bar.
"""

import argparse
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

from bench.cache.closed_loop import UNKNOWN, Kind, Looked, Played, play
from bench.cache.core import CoreCache
from bench.cache.quality import BUDGETS
from bench.cache.questions import Questions, asked, shuffled
from bench.report import Figure
from vdb.config import Settings
from vdb.engine import cache_lookup as lookups
from vdb.engine.engine import Engine
from vdb.protocol.cache_requests import CacheLookup, CacheStore, CreateCache, PutPolicy
from vdb.types import Role

TENANT = "bench"
LEAST_ALIKE = 0.99


class EngineCache:
    """A cache of one tenant in an engine of this process. `cpu_s` is what lookups took of their thread's CPU."""

    def __init__(self, engine: Engine, questions: Questions) -> None:
        self._engine, self._questions = engine, questions
        self._rows: dict[str, int] = {}
        self._draw = 0.0
        self.cpu_s = 0.0
        self._run("create_cache", (), CreateCache(name="bench", dimension=questions.vectors.shape[1]), is_admin=True)
        for name in (*questions.names, UNKNOWN):
            policy = PutPolicy(
                max_false_per_request=BUDGETS.max_false_per_request,
                max_false_per_hit=BUDGETS.max_false_per_hit,
                explore=BUDGETS.explore,
                guard=False,
            )
            self._run("put_policy", ("bench", name), policy, is_admin=True)

    def lookup(self, row: int, category: str | None, draw: float, load: float) -> Looked:
        """See `Cache`."""
        request = CacheLookup(text=f"question {row}", vector=self._questions.vectors[row].tolist(), load=load)
        if category is not None:
            request.category = category
        self._draw = draw
        with mock.patch.object(lookups, "random", self):
            began = time.thread_time()
            found = self._run("cache_lookup", ("bench",), request)
            self.cpu_s += time.thread_time() - began
        near = found.entry.id if found.entry is not None else found.candidate.entry_id if found.candidate else None
        kind = {None: Kind.MISS, "exact": Kind.EXACT, "semantic": Kind.SEMANTIC}[found.hit]
        place = None if near is None else self._rows[near]
        return Looked(kind, found.category, place, found.is_relaxed, found.lookup_id)

    def store(self, row: int, looked: Looked, is_right: bool | None) -> None:
        """See `Cache`."""
        request = CacheStore(lookup_id=looked.pending, answer=f"answer {row}")
        if is_right is not None:
            request.verdict = "right" if is_right else "wrong"
        stored = self._run("cache_store", ("bench",), request)
        self._rows[stored.entry_id] = row

    def random(self) -> float:
        """The number that decides whether this lookup is explored, in place of the engine's own."""
        return self._draw

    def _run(self, operation: str, path: tuple[str, ...], request: Any, *, is_admin: bool = False) -> Any:
        caller = self._engine.local_caller() if is_admin else self._engine.local_caller(Role.WRITE, TENANT)
        answer = self._engine.run(operation, caller, path, request)
        return answer.result() if isinstance(answer, Future) else answer


def measure(given: argparse.Namespace) -> list[Figure]:
    """The same requests through the core and through the engine."""
    questions = asked(given)
    arrivals = shuffled(questions, given.seed, 0)
    core = play(CoreCache(questions, BUDGETS), questions, arrivals)
    with tempfile.TemporaryDirectory(prefix="vdb-cache-") as folder:
        engine = Engine.open(
            Settings.with_environment({}, data_dir=Path(folder) / "data", compile_kernels=not given.quick)
        )
        try:
            cache = EngineCache(engine, questions)
            real = play(cache, questions, arrivals)
        finally:
            engine.close()
    n = len(arrivals.rows)
    return [
        Figure("engine: requests decided as by the core", alike(core, real), "of requests", LEAST_ALIKE, at_least=True),
        Figure("engine: hits by meaning", float(real.is_hit.mean()), "of requests"),
        Figure("engine: hits by meaning, core", float(core.is_hit.mean()), "of requests"),
        Figure("engine: false per request", float(real.is_false.mean()), "", BUDGETS.max_false_per_request),
        Figure("engine: a lookup, CPU of its thread", cache.cpu_s / n * 1e6, "µs"),
    ]


def alike(core: Played, real: Played) -> float:
    """The share of requests that ended alike, in the same category."""
    return float(((core.kinds == real.kinds) & (core.categories == real.categories)).mean())
