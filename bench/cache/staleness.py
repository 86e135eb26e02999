"""Cached answers beside writers: every hit is judged against what was acknowledged before its lookup began.

Owners insert, replace, delete, regrant and revoke points and change payloads, each its own, one after the other. Askers
of all tenants look questions up, answer misses from a search and store the answer with its sources and its search. A
hit is wrong where the answer is another tenant's or another scope's; where a source that nobody was writing meanwhile
has another version, is gone or may not be seen; where a point written since its search, and not being written, is
nearer than its last hit; and where the entry had been removed.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.report import Figure
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.errors import VdbError
from vdb.protocol.cache_requests import CacheFeedback, CacheInvalidate, CacheLookup, CacheStore, CreateCache, PutPolicy
from vdb.protocol.operations import BY_NAME

TENANTS = ("ada", "bob", "cyd")
SCOPES = ("", "night-shift")
DIMENSION = 4
N_POINTS = 8
N_QUESTIONS = 6
LIMIT = 3
SLACK = 1e-4
N_OPERATIONS, N_SEEDS = 2_000, 5

Name = tuple[str, str]
"""(owner, id) of a point."""


@dataclass(slots=True)
class Known:
    """A point as its owner's last acknowledged write left it; `version` 0: it is not there.

    `seen_from`: tenant (or "*") → sequence from which on it may see it. `turn` is odd while a write is under way.
    """

    turn: int = 0
    version: int = 0
    vector: tuple[float, ...] = ()
    lang: str = ""
    seen_from: dict[str, int] = field(default_factory=dict)

    def copied(self) -> "Known":
        return Known(self.turn, self.version, self.vector, self.lang, dict(self.seen_from))


@dataclass(slots=True)
class Outcome:
    """What happened; `problems` is empty where every hit was right."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class World:
    """An engine with a collection and a cache, and what is known of its points."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self.engine = self._open()
        self.seed = seed
        self.phase = 0
        self.lock = threading.Lock()
        self.points: dict[Name, Known] = {(owner, f"p{i}"): Known() for owner in TENANTS for i in range(N_POINTS)}
        self.removed: set[str] = set()
        self.outcome = Outcome()
        rng = np.random.default_rng(seed)
        self.questions = rng.normal(size=(N_QUESTIONS, DIMENSION)).astype(np.float32)
        admin = self.engine.local_caller()
        self.run("create_collection", admin, (), {"name": "docs", "dimension": DIMENSION, "metric": "l2"})
        for tenant in TENANTS:
            self.run("create_tenant", admin, (), {"name": tenant})
        self.engine.run("create_cache", admin, (), CreateCache(name="answers", dimension=DIMENSION))
        policy = PutPolicy(threshold=-1.0, explore=0.0, guard=False)
        self.engine.run("put_policy", admin, ("answers", "faq"), policy)

    def _open(self) -> Engine:
        return Engine.open(Settings.with_environment({}, data_dir=self._folder, compile_kernels=False))

    def restart(self) -> None:
        """Close and open again: what was known of writes is forgotten."""
        self.engine.close()
        self.engine = self._open()
        self.phase += 1

    def run(self, name: str, caller: Any, path: tuple[str, ...], fields: dict[str, Any]) -> Any:
        """An operation by the JSON that a server would get."""
        request = msgspec.json.decode(msgspec.json.encode(fields), type=BY_NAME[name].request)
        return settled(self.engine.run(name, caller, path, request))

    def snapshot(self) -> dict[Name, Known]:
        with self.lock:
            return {name: known.copied() for name, known in self.points.items()}


def settled(answer: Any) -> Any:
    """The answer itself, once a queued write is settled."""
    return answer.result() if isinstance(answer, Future) else answer


class Owner(threading.Thread):
    """Writes the points of one tenant."""

    def __init__(self, world: World, tenant: str, n_operations: int) -> None:
        super().__init__(name=f"owner-{tenant}")
        self.world, self.tenant, self.n_operations = world, tenant, n_operations
        self.rng = random.Random(f"{world.seed} {world.phase} {tenant}")

    def run(self) -> None:
        for _ in range(self.n_operations):
            name = (self.tenant, f"p{self.rng.randrange(N_POINTS)}")
            known = self.world.points[name]
            with self.world.lock:
                known.turn += 1
            try:
                change = self._write(name, known)
            except VdbError as exc:
                self.world.outcome.problems.append(f"a write failed: {exc.code} {exc.detail}")
                return
            with self.world.lock:
                for field_name, value in change.items():
                    setattr(known, field_name, value)
                known.turn += 1
            time.sleep(self.rng.random() * 0.004)

    def _write(self, name: Name, known: Known) -> dict[str, Any]:
        """One random write; what it changes of what is known."""
        world, rng = self.world, self.rng
        caller = world.engine.local_caller(tenant=self.tenant)  # an admin's, who may share with everyone
        kind = rng.choice(("upsert", "upsert", "delete", "payload", "grant", "revoke")) if known.version else "upsert"
        world.outcome.counts[kind] += 1
        if kind == "upsert":
            vector = [rng.gauss(0, 1) for _ in range(DIMENSION)]
            lang = rng.choice(("en", "de"))
            point = {"id": name[1], "vector": vector, "payload": {"lang": lang}}
            done = world.run("upsert", caller, ("docs",), {"points": [point]})
            seen_from = dict(known.seen_from) if known.version else {self.tenant: done.sequence}
            stored = tuple(np.asarray(vector, np.float32).tolist())
            return {"version": done.sequence, "vector": stored, "lang": lang, "seen_from": seen_from}
        if kind == "delete":
            world.run("delete_points", caller, ("docs",), {"ids": [name[1]]})
            return {"version": 0, "seen_from": {}}
        if kind == "payload":
            lang = rng.choice(("en", "de"))
            point = {"id": name[1], "payload": {"lang": lang}}
            done = world.run("update_payload", caller, ("docs",), {"points": [point]})
            return {"version": done.sequence, "lang": lang}
        other = rng.choice([tenant for tenant in (*TENANTS, "*") if tenant != self.tenant])
        done = world.run("share", caller, ("docs",), {"action": kind, "ids": [name[1]], "to": [other]})
        seen_from = dict(known.seen_from)
        if kind == "grant":
            seen_from.setdefault(other, done.sequence)
        else:
            seen_from.pop(other, None)
        return {"seen_from": seen_from}


class Asker(threading.Thread):
    """Asks as one tenant until the owners are done."""

    def __init__(self, world: World, tenant: str, number: int, owners: list[Owner]) -> None:
        super().__init__(name=f"asker-{tenant}-{number}")
        self.world, self.tenant, self.owners = world, tenant, owners
        self.rng = random.Random(f"{world.seed} {world.phase} {tenant} {number}")
        self.caller = world.engine.local_caller(tenant=tenant)

    def run(self) -> None:
        while any(owner.is_alive() for owner in self.owners):
            try:
                self._ask()
            except VdbError as exc:
                self.world.outcome.problems.append(f"a request failed: {exc.code} {exc.detail}")
                return

    def _ask(self) -> None:
        world, rng = self.world, self.rng
        number, scope = rng.randrange(N_QUESTIONS), rng.choice(SCOPES)
        spelling = rng.choice((f"question {number}", f"ask {number} {rng.randrange(20)}"))
        lookup = CacheLookup(text=spelling, vector=world.questions[number], category="faq", scope=scope)
        removed = set(world.removed)
        before = world.snapshot()
        found = settled(world.engine.run("cache_lookup", self.caller, ("answers",), lookup))
        after = world.snapshot()
        world.outcome.counts["lookup"] += 1
        if found.hit is None:
            world.outcome.counts["stale prevented"] += found.reason == "stale"
            self._answer(found.lookup_id, number, scope)
            return
        world.outcome.counts[f"{found.hit} hit"] += 1
        answer = msgspec.json.decode(bytes(found.entry.answer))
        stable = {
            name: known for name, known in before.items() if not known.turn % 2 and after[name].turn == known.turn
        }
        for problem in self._problems(answer, stable, scope):
            world.outcome.problems.append(f"{problem}: {self.tenant} {found.hit} {answer} {found.entry.id}")
        if found.entry.id in removed:
            world.outcome.problems.append(f"a removed entry was served: {found.entry.id}")
        if rng.random() < 0.05:
            self._remove(found)

    def _remove(self, found: Any) -> None:
        """Report the answer, or invalidate it: from the acknowledgement on nobody may get it."""
        if self.rng.random() < 0.5:
            report = CacheFeedback(verdict="wrong", lookup_id=found.lookup_id)
            settled(self.world.engine.run("cache_feedback", self.caller, ("answers",), report))
        else:
            named = CacheInvalidate(entry_ids=[found.entry.id])
            settled(self.world.engine.run("cache_invalidate", self.caller, ("answers",), named))
        self.world.removed.add(found.entry.id)
        self.world.outcome.counts["removed"] += 1

    def _answer(self, lookup_id: str, number: int, scope: str) -> None:
        """Make an answer from a search, and store it."""
        world = self.world
        lang = self.rng.choice((None, "en"))
        search: dict[str, Any] = {"vector": world.questions[number].tolist(), "limit": LIMIT}
        if lang is not None:
            search["filter"] = {"field": "lang", "eq": lang}
        found = world.run("search", self.caller, ("docs",), search)
        hits = [{"owner": hit.owner, "id": hit.id, "version": hit.version} for hit in found.hits]
        distance = found.hits[-1].distance if len(hits) == LIMIT else None
        answer = {
            "tenant": self.tenant, "scope": scope, "hits": hits, "question": number, "lang": lang,
            "sequence": found.sequence, "distance": distance,
        }  # fmt: skip
        if self.rng.random() < 0.1:
            time.sleep(self.rng.random() * 0.01)  # sources may change before the answer is stored
        retrieval = {"collection": "docs", **search, "sequence": found.sequence}
        if distance is not None:
            retrieval["distance"] = distance
        fields = {
            "lookup_id": lookup_id, "answer": answer, "sources": [{"collection": "docs", **hit} for hit in hits],
            "retrieval": retrieval,
        }  # fmt: skip
        request = msgspec.json.decode(msgspec.json.encode(fields), type=CacheStore)
        stored = settled(world.engine.run("cache_store", self.caller, ("answers",), request))
        world.outcome.counts[f"store: {stored.reason}"] += 1

    def _problems(self, answer: dict[str, Any], stable: dict[Name, Known], scope: str) -> list[str]:
        """What is wrong with an answer, as far as points can be judged that nobody was writing."""
        problems = []
        if (answer["tenant"], answer["scope"]) != (self.tenant, scope):
            problems.append("another's answer")
        hits = {(hit["owner"], hit["id"]): hit["version"] for hit in answer["hits"]}
        for name, version in hits.items():
            known = stable.get(name)
            if known is not None and (known.version != version or self._seen_from(known) is None):
                problems.append(f"a source is stale: {name} {version} is now {known}")
        query = self.world.questions[answer["question"]]
        bound = np.inf if answer["distance"] is None else answer["distance"] - SLACK
        for name, known in stable.items():
            since = self._seen_from(known)
            is_new = since is not None and max(since, known.version) > answer["sequence"]
            if not is_new or name in hits or answer["lang"] not in (None, known.lang):
                continue
            if float(np.linalg.norm(query - np.asarray(known.vector, np.float32))) < bound:
                problems.append(f"a newer point is nearer: {name} {known}")
        return problems

    def _seen_from(self, known: Known) -> int | None:
        """The sequence from which on this tenant may see a point; None where it may not."""
        if not known.version:
            return None
        found = [known.seen_from[name] for name in (self.tenant, "*") if name in known.seen_from]
        return min(found) if found else None


def run_beside_writers(n_operations: int, seed: int, n_askers: int = 2, n_restarts: int = 1) -> Outcome:
    """`n_operations` writes of each owner, with `n_askers` askers per tenant beside them; again after each restart."""
    with tempfile.TemporaryDirectory(prefix="vdb-staleness-") as folder:
        world = World(Path(folder) / "data", seed)
        try:
            for phase in range(n_restarts + 1):
                if phase:
                    world.restart()
                _run_phase(world, n_operations, n_askers)
        finally:
            world.engine.close()
        return world.outcome


def _run_phase(world: World, n_operations: int, n_askers: int) -> None:
    owners = [Owner(world, tenant, n_operations) for tenant in TENANTS]
    askers = [Asker(world, tenant, i, owners) for tenant in TENANTS for i in range(n_askers)]
    for thread in (*owners, *askers):
        thread.start()
    for thread in (*owners, *askers):
        thread.join()


def measure(given: argparse.Namespace) -> list[Figure]:
    """The run at its full size; counts of what happened, and of what was wrong."""
    n_operations, seeds = (100, 1) if given.quick else (N_OPERATIONS, N_SEEDS)
    counts: Counter[str] = Counter()
    problems: list[str] = []
    for seed in range(given.seed, given.seed + seeds):
        outcome = run_beside_writers(n_operations, seed)
        counts += outcome.counts
        problems += outcome.problems
    print("\n".join(problems[:10]))
    foreign = sum("another's answer" in problem for problem in problems)
    return [
        *(Figure(f"staleness: {name}", n, "") for name, n in sorted(counts.items())),
        Figure("staleness: stale or removed answers", len(problems) - foreign, "", 0),
        Figure("staleness: answers of another tenant or scope", foreign, "", 0),
    ]
