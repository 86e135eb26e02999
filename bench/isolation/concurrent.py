"""Isolation under concurrency: owners write, grant, revoke and delete while readers search.

Each owner is the only writer of its points and notes, per point, who may see it from which moment: a state begins when
its request is sent and is certain when its answer has come. Afterwards every search is judged by those moments:

- each hit was visible to the reader's tenant at some moment of the search. So a search that begins after a revoke or a
  delete was acknowledged never shows the point;
- each point that was visible, certainly and throughout, is among the hits: nothing is missed while readings change;
- no point is there twice.
"""

import random
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from bench.crash.access import EngineAccess
from vdb.config import Settings
from vdb.engine import indexer
from vdb.engine.engine import Engine
from vdb.index.curator import index as curator_index
from vdb.index.spann import index as lists_index
from vdb.types import EVERYONE, Role

OWNERS = ("acme", "globex", "initech")
COLLECTION = "shared"
POINTS_PER_OWNER = 25
DIMENSION = 4
NOBODY: frozenset[str] = frozenset()
NEVER_NS = 1 << 62
MEMORY_BYTES = 30_000
"""Small enough that readings are dropped and loaded again all the time."""

TIERS = ("memory", "hybrid", "disk")
TIER_S = 0.4
"""The collection is on one tier, or on its way to it, for so long."""
FROM_POINTS = 20
"""An index comes, is laid out, dropped and loaded meanwhile."""


@dataclass(slots=True)
class State:
    """A point from the request that made it so; `audience` may see it, `token` is in its payload."""

    token: str
    audience: frozenset[str]
    sent_ns: int
    certain_ns: int = NEVER_NS


@dataclass(frozen=True, slots=True)
class Look:
    """One search: when, by whom, and what it showed: (owner, id, token)."""

    tenant: str
    began_ns: int
    ended_ns: int
    hits: tuple[tuple[str, str, str], ...]


@dataclass
class Outcome:
    """What a run has seen; `problems` is empty when nothing was wrong."""

    n_operations: Counter[str] = field(default_factory=Counter)
    n_hits: int = 0
    problems: list[str] = field(default_factory=list)


class Party(threading.Thread, ABC):
    """One of those that act until told to stop; `failure` is what ended it early."""

    def __init__(self, access: EngineAccess, tenant: str, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.tenant = tenant
        self.failure: BaseException | None = None
        self._access = access
        self._rng = rng
        self._stop_asked = stop

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self.act()
        except BaseException as exc:
            self.failure = exc

    @abstractmethod
    def act(self) -> None:
        """Do one thing."""


class Owner(Party):
    """Writes one tenant's points and their history."""

    def __init__(self, access: EngineAccess, tenant: str, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(access, tenant, rng, stop)
        self.history: dict[str, list[State]] = {f"{tenant}-{i}": [] for i in range(POINTS_PER_OWNER)}
        self.n_operations: Counter[str] = Counter()

    def act(self) -> None:
        actions = (self._upsert, self._upsert, self._share, self._share, self._remove)
        self._rng.choice(actions)(self._rng.sample(sorted(self.history), self._rng.randint(1, 4)))

    def _send(self, operation: str, body: dict[str, Any], states: dict[str, tuple[str, frozenset[str]]]) -> None:
        now_ns = time.monotonic_ns()
        made = {point_id: State(token, audience, now_ns) for point_id, (token, audience) in states.items()}
        for point_id, state in made.items():
            self.history[point_id].append(state)
        self._access.run(operation, (COLLECTION,), body, self.tenant)
        now_ns = time.monotonic_ns()
        for state in made.values():
            state.certain_ns = now_ns
        self.n_operations[operation] += 1

    def _upsert(self, chosen: list[str]) -> None:
        """New content for old and new points; the grants stay."""
        token = f"{self._rng.getrandbits(48):012x}"
        vector = [self._rng.uniform(-1, 1) for _ in range(DIMENSION)]
        points = [{"id": point_id, "vector": vector, "payload": {"token": token}} for point_id in chosen]
        self._send("upsert", {"points": points}, {i: (token, self._audience(i) | {self.tenant}) for i in chosen})

    def _remove(self, chosen: list[str]) -> None:
        self._send("delete_points", {"ids": chosen}, dict.fromkeys(chosen, ("", NOBODY)))

    def _share(self, chosen: list[str]) -> None:
        live = [point_id for point_id in chosen if self._audience(point_id)]
        if not live:
            return
        to = {self._rng.choice([EVERYONE, *(tenant for tenant in OWNERS if tenant != self.tenant)])}
        action = self._rng.choice(("grant", "revoke"))
        states = {}
        for point_id in live:
            old = self._audience(point_id)
            states[point_id] = self.history[point_id][-1].token, old | to if action == "grant" else old - to
        self._send("share", {"action": action, "ids": live, "to": sorted(to)}, states)

    def _audience(self, point_id: str) -> frozenset[str]:
        return self.history[point_id][-1].audience if self.history[point_id] else NOBODY


class Reader(Party):
    """Searches for one tenant, for everything it may see."""

    def __init__(self, access: EngineAccess, tenant: str, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(access, tenant, rng, stop)
        self.looks: list[Look] = []

    def act(self) -> None:
        query = [self._rng.uniform(-1, 1) for _ in range(DIMENSION)]
        body = {"vector": query, "limit": len(OWNERS) * POINTS_PER_OWNER}
        began_ns = time.monotonic_ns()
        hits = self._access.run("search", (COLLECTION,), body, self.tenant)["hits"]
        shown = tuple((hit["owner"], hit["id"], hit["payload"]["token"]) for hit in hits)
        self.looks.append(Look(self.tenant, began_ns, time.monotonic_ns(), shown))


def run_concurrently(folder: Path, seconds: float, seed: int) -> Outcome:
    """Run owners and readers for a while, then judge every search."""
    rng, stop = random.Random(seed), threading.Event()
    settings = Settings(
        data_dir=folder, admin_key="concurrency-admin-key", memory_bytes=MEMORY_BYTES, index_from_points=FROM_POINTS
    )
    with (
        mock.patch.object(indexer, "INTERVAL_S", 0.02),
        mock.patch.object(curator_index, "LEAST_CHANGES", 20),
        mock.patch.object(lists_index, "LEAST_FOLD", 20),
        mock.patch.object(lists_index, "FULL_FOLDS", 1_000),  # nobody waits for folds
    ):
        return _run(Engine.open(settings), seconds, rng, stop)


def _run(engine: Engine, seconds: float, rng: random.Random, stop: threading.Event) -> Outcome:
    try:
        access = EngineAccess(engine, Role.ADMIN)
        access.run(
            "create_collection",
            (),
            {"name": COLLECTION, "dimension": DIMENSION, "metric": "l2", "tier": rng.choice(TIERS)},
        )
        for tenant in OWNERS:
            access.run("create_tenant", (), {"name": tenant})
        owners = [Owner(access, tenant, random.Random(rng.getrandbits(64)), stop) for tenant in OWNERS]
        readers = [Reader(access, tenant, random.Random(rng.getrandbits(64)), stop) for tenant in OWNERS]
        for thread in (*owners, *readers):
            thread.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(min(TIER_S, seconds))
            access.run("update_collection", (COLLECTION,), {"tier": rng.choice(TIERS)})
        stop.set()
        for thread in (*owners, *readers):
            thread.join()
    finally:
        engine.close()
    return judge(owners, readers)


def judge(owners: Sequence[Owner], readers: Sequence[Reader]) -> Outcome:
    """Hold every look against the histories."""
    outcome = Outcome()
    history = {(owner.tenant, i): states for owner in owners for i, states in owner.history.items()}
    parties: list[Party] = [*owners, *readers]
    outcome.problems = [repr(party.failure) for party in parties if party.failure is not None]
    for owner in owners:
        outcome.n_operations.update(owner.n_operations)
    for reader in readers:
        outcome.n_operations["search"] += len(reader.looks)
        for look in reader.looks:
            outcome.n_hits += len(look.hits)
            outcome.problems += judge_look(look, history)
    return outcome


def judge_look(look: Look, history: dict[tuple[str, str], list[State]]) -> list[str]:
    """What is wrong with one search."""
    shown = {(owner, point_id): token for owner, point_id, token in look.hits}
    problems = [] if len(shown) == len(look.hits) else [f"{look.tenant}: a point twice"]
    for place, token in shown.items():
        if not any(_may_show(state, look, token) for state in _during(history.get(place, []), look)):
            problems.append(f"{look.tenant} was shown {place} with {token}, which it could not see then")
    for place, states in history.items():
        possible = _during(states, look)
        # Before its first state a point does not exist, so the first of the possible ones must be certain.
        existed = bool(possible) and possible[0].certain_ns <= look.began_ns
        if place not in shown and existed and all(_sees(look.tenant, state) for state in possible):
            problems.append(f"{look.tenant} was not shown {place}, which it saw throughout")
    return problems


def _during(states: list[State], look: Look) -> list[State]:
    """The states a point may have been in during a search, oldest first: from the last certain one before it on."""
    certain = bisect_right(states, look.began_ns, key=lambda state: state.certain_ns)
    sent = bisect_right(states, look.ended_ns, key=lambda state: state.sent_ns)
    return states[max(certain - 1, 0) : sent]


def _sees(tenant: str, state: State) -> bool:
    return tenant in state.audience or (EVERYONE in state.audience)


def _may_show(state: State, look: Look, token: str) -> bool:
    return state.token == token and _sees(look.tenant, state)
