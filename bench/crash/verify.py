"""The verifier: what a data directory answers after a restart, held against the ledgers.

Per tenant: its points are those of its writers, each request wholly or not at all; it sees its own, what was granted to
it and what everyone may see, and nothing else; count equals scroll; search equals a NumPy search over what was
scrolled. Then collections and keys.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.crash.access import Access
from bench.crash.ledger import CatalogLedger, Fault, Ledger, Stored
from bench.crash.load import COLLECTION, DIMENSION, TENANTS, stored_payload, vector_of

PAGE = 200
QUERIES = 3
EVERYTHING = {"budget": 1_000_000, "rerank": 1_000}
"""Whatever the tier, all rows are compared."""
HITS = 40
JOBS_S = 30.0
"""By then the jobs that a crash cut short have ended."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one tenant was shown: points in insertion order, (owner, id) → stored."""

    own: dict[str, Stored]
    visible: dict[tuple[str, str], Stored]
    duplicates: int


def verify(
    access: Access,
    accepts: Callable[[str], bool],
    ledgers: Sequence[Ledger],
    catalog: CatalogLedger,
    rng: random.Random,
) -> list[Fault]:
    """All faults of a directory; the ledgers then go on from what was found.

    `access` is an administrator's; `accepts` tells whether a key's secret still opens the door.
    """
    _await_jobs(access)
    found = {tenant: _found(access, tenant) for tenant in TENANTS}
    faults = [fault for tenant in TENANTS for fault in _judge_tenant(access, tenant, found, rng)]
    for tenant in TENANTS:
        faults += _judge_writers(tenant, found[tenant].own, [ledger for ledger in ledgers if ledger.tenant == tenant])
    return faults + _judge_secrets(accepts, catalog) + _judge_catalog(access, catalog)


def _await_jobs(access: Access) -> None:
    """What a job that was asked for removes is gone once it is done."""
    give_up = time.monotonic() + JOBS_S
    while any(job["state"] in ("queued", "running") for job in _pages(access, "list_jobs", "jobs")):
        if time.monotonic() > give_up:
            raise RuntimeError("jobs do not end")
        time.sleep(0.02)


def _pages(access: Access, operation: str, field: str) -> list[dict[str, Any]]:
    """Everything of a listing."""
    listed: list[dict[str, Any]] = []
    body: dict[str, Any] = {}
    while True:
        page = access.run(operation, (), body)
        listed += page[field]
        if page["next_cursor"] is None:
            return listed
        body = {"cursor": page["next_cursor"]}


def _found(access: Access, tenant: str) -> Found:
    own = {point["id"]: _stored(point) for point in _scroll(access, tenant, "own")}
    listed = _scroll(access, tenant, "visible")
    visible = {(point["owner"], point["id"]): _stored(point) for point in listed}
    return Found(own, visible, len(listed) - len(visible))


def _scroll(access: Access, tenant: str, scope: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    cursor = None
    while True:
        body = {"limit": PAGE, "scope": scope, "with_vector": True, "cursor": cursor}
        page = access.run("scroll", (COLLECTION,), body, tenant)
        points += page["points"]
        cursor = page["next_cursor"]
        if cursor is None:
            return points


def _stored(point: dict[str, Any]) -> Stored:
    vector = point.get("vector")
    return Stored(
        stored_payload(point["payload"]),
        None if vector is None else tuple(vector),
        tuple(point.get("shared_with", ())),
        point["version"],
    )


def _judge_tenant(access: Access, tenant: str, found: dict[str, Found], rng: random.Random) -> list[Fault]:
    """Visibility, counts and search of one tenant, against what the owners themselves were shown."""
    expected = {
        (owner, point_id)
        for owner in TENANTS
        for point_id, point in found[owner].own.items()
        if owner == tenant or tenant in point.shared or "*" in point.shared
    }
    seen = found[tenant].visible
    faults = [Fault("foreign", tenant, f"sees {place}") for place in seen.keys() - expected]
    faults += [Fault("missing", tenant, f"does not see {place}") for place in expected - seen.keys()]
    if found[tenant].duplicates:
        faults.append(Fault("count", tenant, f"{found[tenant].duplicates} points were listed twice"))
    for scope, n_points in (("own", len(found[tenant].own)), ("visible", len(seen))):
        counted = access.run("count", (COLLECTION,), {"scope": scope}, tenant)["count"]
        if counted != n_points:
            faults.append(Fault("count", tenant, f"{scope}: count says {counted}, scroll shows {n_points}"))
    return faults + _judge_search(access, tenant, seen, rng)


def _judge_search(access: Access, tenant: str, seen: dict[tuple[str, str], Stored], rng: random.Random) -> list[Fault]:
    """Small-integer vectors: the order is exact, ties in insertion order, which is the order of a scroll."""
    places = [place for place, point in seen.items() if point.vector is not None]
    vectors = np.array([seen[place].vector for place in places], np.float64).reshape(len(places), DIMENSION)
    faults = []
    for _ in range(QUERIES):
        query = vector_of(rng)
        body = {"vector": query, "limit": HITS, "with_payload": False, "params": EVERYTHING}
        hits = access.run("search", (COLLECTION,), body, tenant)["hits"]
        squares = ((vectors - np.array(query)) ** 2).sum(axis=1) if len(places) else np.empty(0)
        nearest = np.argsort(squares, kind="stable")[:HITS]
        if [(hit["owner"], hit["id"]) for hit in hits] != [places[i] for i in nearest]:
            faults.append(Fault("search", tenant, f"{len(hits)} hits are not the {len(nearest)} nearest"))
        elif not np.allclose([hit["distance"] for hit in hits], np.sqrt(squares[nearest]), rtol=1e-5):
            faults.append(Fault("search", tenant, "distances differ from NumPy's"))
    return faults


def _judge_writers(tenant: str, own: dict[str, Stored], ledgers: Sequence[Ledger]) -> list[Fault]:
    faults = []
    rest = dict(own)
    for ledger in ledgers:
        mine = {point_id: rest.pop(point_id) for point_id in own if point_id.startswith(f"{ledger.name}-")}
        faults += ledger.judge(mine)
        ledger.adopt(mine)
    return faults + [Fault("foreign", tenant, f"owns {point_id}, which nobody wrote") for point_id in rest]


def _judge_secrets(accepts: Callable[[str], bool], catalog: CatalogLedger) -> list[Fault]:
    under_way = catalog.in_flight[1] if catalog.in_flight else ""
    secrets = [secret for key_id, secret in catalog.keys.items() if secret and key_id != under_way]
    faults = [Fault("catalog", "keys", "an acknowledged key is refused") for secret in secrets if not accepts(secret)]
    revived = [secret for secret in catalog.dead_secrets if secret and accepts(secret)]
    return faults + [Fault("catalog", "keys", "a withdrawn key is accepted")] * len(revived)


def _failed(access: Access) -> list[dict[str, Any]]:
    return [job for job in _pages(access, "list_jobs", "jobs") if job["state"] == "failed"]


def _judge_catalog(access: Access, catalog: CatalogLedger) -> list[Fault]:
    listed = _pages(access, "list_collections", "collections")
    collections = {entry["name"]: entry["n_points"] for entry in listed if entry["name"] != COLLECTION}
    aliases = {alias: entry["name"] for entry in listed for alias in entry["aliases"]}
    keys = {key["id"] for key in _pages(access, "list_keys", "keys") if key["role"] == "read"}
    known = _pages(access, "list_tenants", "tenants")
    tenants = {tenant["name"]: tenant["usage"]["points"] for tenant in known if tenant["name"] not in TENANTS}
    faults = catalog.judge(collections, keys, aliases, tenants)
    faults += [Fault("catalog", f"job {job['id']}", job["error"]) for job in _failed(access)]
    faults += [Fault("catalog", name, f"{n} times") for name, n in Counter(e["name"] for e in listed).items() if n > 1]
    if COLLECTION not in {entry["name"] for entry in listed}:
        faults.append(Fault("catalog", COLLECTION, "an acknowledged collection is gone"))
    catalog.adopt(collections, keys, aliases, tenants)
    return faults
