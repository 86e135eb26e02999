"""The load: writers with points of their own, and an administrator of collections and keys.

Every request is drawn from a seeded generator and the writer's ledger, so that it is valid and its effect is known.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from bench.crash.access import Access, Body, Lost, Refused
from bench.crash.ledger import FILL_POINTS, CatalogLedger, Changes, Ledger, Stored

COLLECTION = "main"
DIMENSION = 8
METRIC = "l2"
TENANTS = ("acme", "globex", "initech")
IDS_PER_WRITER = 80
MAX_POINTS = 40
MAX_COLLECTIONS = 4
MAX_KEYS = 6
POLL_S = 0.01
MAX_TENANTS = 3
ALIASES = ("current", "previous")
BUSY = ("queue_full", "shutting_down")
PAST, FAR = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a writer: the operation, the role it needs, and what it does to the writer's points."""

    operation: str
    role: str
    body: Body
    changes: Changes


def description(tier: str = "auto") -> Body:
    """The collection that is written to; its indexes are on texts that are all different, and on long ones."""
    fields = {"token": "string", "pad": "string"}
    given = {"name": COLLECTION, "dimension": DIMENSION, "metric": METRIC, "fields": fields, "indexes": [*fields]}
    return {**given, "tier": tier}


def vector_of(rng: random.Random) -> tuple[float, ...]:
    """Small integers, whose distances are exact."""
    return tuple(float(rng.randint(-8, 8)) for _ in range(DIMENSION))


def _payload(rng: random.Random, token: str) -> dict[str, Any]:
    return {"token": token, "pad": "x" * rng.choice((0, 10, 300))}


def stored_payload(payload: Mapping[str, Any]) -> str:
    """A payload as ledgers compare it."""
    return json.dumps(payload, sort_keys=True)


class Steps:
    """The requests of one writer."""

    def __init__(self, rng: random.Random, ledger: Ledger) -> None:
        self._rng = rng
        self._ledger = ledger
        self._n_steps = 0

    def next(self) -> Step:
        """A valid request; upserts as long as there is little to change."""
        self._n_steps += 1
        rng = self._rng
        draw = rng.random() if len(self._ledger.points) >= 10 else 0.0
        if draw < 0.5:
            return self._upsert()
        if draw < 0.6:
            return self._delete(self._some())
        if draw < 0.65:
            return self._delete_by_filter()
        if draw < 0.8:
            return self._update(self._some())
        return self._share(self._some())

    def _some(self) -> list[str]:
        ids = sorted(self._ledger.points)
        return self._rng.sample(ids, self._rng.randint(1, min(8, len(ids))))

    def _upsert(self) -> Step:
        rng, name = self._rng, self._ledger.name
        token = f"{name}-{self._n_steps}-{rng.getrandbits(32):08x}"
        numbers = rng.sample(range(IDS_PER_WRITER), rng.choice((1, 1, 3, 10, MAX_POINTS)))
        points: list[Body] = []
        changes: dict[str, Stored | None] = {}
        for number in numbers:
            point_id = f"{name}-{number}"
            payload, vector = _payload(rng, token), None if rng.random() < 0.1 else vector_of(rng)
            old = self._ledger.points.get(point_id)
            points.append({"id": point_id, "vector": vector, "payload": payload})
            changes[point_id] = Stored(stored_payload(payload), vector, old.shared if old else ())
            if rng.random() < 0.1:  # the past: stored, seen by nobody, and removed with its grants a little later
                is_past = rng.random() < 0.7
                points[-1]["expires_at"] = PAST if is_past else FAR
                changes |= {point_id: None} if is_past else {}
        return Step("upsert", "write", {"points": points}, changes)

    def _delete(self, ids: list[str]) -> Step:
        return Step("delete_points", "write", {"ids": ids}, dict.fromkeys(ids))

    def _delete_by_filter(self) -> Step:
        """Those that one upsert wrote and no other has since."""
        points = {point_id: json.loads(point.payload)["token"] for point_id, point in self._ledger.points.items()}
        token = points[self._rng.choice(sorted(points))]
        body = {"filter": {"field": "token", "eq": token}}
        return Step("delete_points", "write", body, {i: None for i, its in points.items() if its == token})

    def _update(self, ids: list[str]) -> Step:
        note = {"note": self._rng.getrandbits(32)}
        changes = {}
        for point_id in ids:
            old = self._ledger.points[point_id]
            merged = stored_payload({**json.loads(old.payload), **note})
            changes[point_id] = replace(old, payload=merged, version=0)
        return Step("update_payload", "write", {"points": [{"id": i, "payload": note} for i in ids]}, changes)

    def _share(self, ids: list[str]) -> Step:
        """Grant or revoke; the version of a point stays, and the owner among the grantees is dropped."""
        rng = self._rng
        to = rng.choice([[tenant] for tenant in TENANTS] + [list(TENANTS), ["*"]])
        action = rng.choice(("grant", "revoke"))
        named = set(to) - {self._ledger.tenant}
        changes = {}
        for point_id in ids:
            old = self._ledger.points[point_id]
            shared = named.union(old.shared) if action == "grant" else set(old.shared) - named
            changes[point_id] = replace(old, shared=tuple(sorted(shared)))
        role = "admin" if "*" in to else "service"
        return Step("share", role, {"action": action, "ids": ids, "to": to}, changes)


class Writer(threading.Thread):
    """Sends one request after another until told to stop or until the server is gone."""

    def __init__(self, ledger: Ledger, access: Mapping[str, Access], rng: random.Random, stop: threading.Event) -> None:
        super().__init__(name=f"writer-{ledger.name}", daemon=True)
        self._ledger = ledger
        self._access = access
        self._steps = Steps(rng, ledger)
        self._stop_asked = stop
        self.refusals: list[str] = []

    def run(self) -> None:
        while not self._stop_asked.is_set():
            step = self._steps.next()
            self._ledger.begin(step.changes)
            tenant = None if step.role == "write" else self._ledger.tenant
            try:
                answer = self._access[step.role].run(step.operation, (COLLECTION,), step.body, tenant)
            except Refused as exc:
                self._ledger.refuse()
                if exc.code not in BUSY:
                    self.refusals.append(f"{step.operation}: {exc}")
            except Lost:
                return
            else:
                self._ledger.acknowledge(answer.get("sequence", 0))
                if "state" in answer and not self._await_job(answer["id"]):
                    return

    def _await_job(self, job_id: str) -> bool:
        """Until a job, which was acknowledged, is over; False where the server is gone, and its next start goes on."""
        while True:
            try:
                job = self._access["write"].run("get_job", (job_id,), {})
            except Refused as exc:
                self.refusals.append(f"get_job: {exc}")
                return True
            except Lost:
                return False
            if job["state"] == "done":
                return True
            if job["state"] == "failed" or self._stop_asked.is_set():
                return False
            time.sleep(POLL_S)


class Administrator(threading.Thread):
    """Makes, fills, renames and drops collections; moves aliases; issues and withdraws keys; deletes tenants."""

    def __init__(self, ledger: CatalogLedger, access: Access, rng: random.Random, stop: threading.Event) -> None:
        super().__init__(name="administrator", daemon=True)
        self._ledger = ledger
        self._access = access
        self._rng = rng
        self._stop_asked = stop
        self.refusals: list[str] = []

    def run(self) -> None:
        actions = (
            self._create, self._create, self._drop, self._issue, self._withdraw,
            self._rename, self._alias, self._settle_tenant, self._expel_tenant,
        )  # fmt: skip
        while not self._stop_asked.is_set():
            try:
                self._rng.choice(actions)()
            except Refused as exc:
                self._ledger.refuse()
                if exc.code not in BUSY:
                    self.refusals.append(str(exc))
            except Lost:
                return

    def _do(self, action: str, name: str, send: Callable[[], list[Any]]) -> None:
        self._ledger.begin(action, name)
        self._ledger.acknowledge(send())

    def _create(self) -> None:
        if len(self._ledger.collections) >= MAX_COLLECTIONS:
            return self._drop()
        name = f"made-{self._rng.getrandbits(40):010x}"
        body = {"name": name, "dimension": DIMENSION, "metric": METRIC}
        self._do("create", name, lambda: self._send("create_collection", (), body))
        points = [{"id": f"p{i}", "vector": vector_of(self._rng)} for i in range(FILL_POINTS)]
        self._do("fill", name, lambda: self._send("upsert", (name,), {"points": points}, TENANTS[0]))

    def _drop(self) -> None:
        if self._ledger.collections:
            name = self._rng.choice(sorted(self._ledger.collections))
            self._do("drop", name, lambda: self._send("delete_collection", (name,), {}))

    def _rename(self) -> None:
        if self._ledger.collections:
            old, new = self._rng.choice(sorted(self._ledger.collections)), f"named-{self._rng.getrandbits(40):010x}"
            self._do("rename", f"{old} {new}", lambda: self._send("update_collection", (old,), {"name": new}))

    def _alias(self) -> None:
        if self._ledger.collections:
            to, alias = self._rng.choice(sorted(self._ledger.collections)), self._rng.choice(ALIASES)
            self._do("alias", f"{alias} {to}", lambda: self._send("set_aliases", (), {"set": {alias: to}}))

    def _settle_tenant(self) -> None:
        """A tenant that comes with its first write, to the collection of the writers."""
        if len(self._ledger.tenants) >= MAX_TENANTS:
            return self._expel_tenant()
        tenant = f"guest-{self._rng.getrandbits(40):010x}"
        points = [{"id": f"p{i}", "vector": vector_of(self._rng)} for i in range(FILL_POINTS)]
        self._do("settle", tenant, lambda: self._send("upsert", (COLLECTION,), {"points": points}, tenant))

    def _expel_tenant(self) -> None:
        if self._ledger.tenants:
            tenant = self._rng.choice(sorted(self._ledger.tenants))
            self._do("expel", tenant, lambda: self._send("delete_tenant", (tenant,), {}))

    def _issue(self) -> None:
        if len(self._ledger.keys) >= MAX_KEYS:
            return self._withdraw()
        body = {"role": "read", "tenant": self._rng.choice(TENANTS)}
        self._do("issue", "", lambda: self._made(self._access.run("create_key", (), body)))

    def _withdraw(self) -> None:
        if self._ledger.keys:
            key_id = self._rng.choice(sorted(self._ledger.keys))
            self._do("withdraw", key_id, lambda: self._send("delete_key", (key_id,), {}))

    def _send(self, operation: str, path: tuple[str, ...], body: Body, tenant: str | None = None) -> list[Any]:
        self._access.run(operation, path, body, tenant)
        return []

    @staticmethod
    def _made(answer: dict[str, Any]) -> list[Any]:
        return [answer["id"], answer["key"]]


def run_until(threads: Sequence[Writer | Administrator], wait: Callable[[], None]) -> list[str]:
    """Start the threads, wait, join them; returns what was refused although it was valid."""
    for thread in threads:
        thread.start()
    wait()
    for thread in threads:
        thread.join()
    return [refusal for thread in threads for refusal in thread.refusals]
