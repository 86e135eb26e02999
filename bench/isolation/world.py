"""The world: an engine and the model side by side. Every operation runs on both, and their answers are compared.

Callers come in through real keys of every role. The first difference raises Mismatch (see `compare`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.isolation.clock import Clock
from bench.isolation.compare import EVERYTHING, Mismatch, View, check_hits, check_points, check_sequence
from bench.isolation.model import Matches, ModelCollection, ModelPoint, Place, Vector, Written
from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.engine.maintenance import purge_step
from vdb.errors import CollectionNotFound, Forbidden, NotOwner, PointNotFound, VdbError
from vdb.protocol.operations import BY_NAME
from vdb.types import Metric, Role, Sharing

TENANTS = ("acme", "globex", "initech")
DIMENSION = 3
ADMIN_KEY = "isolation-admin-key"
JOB_POLLS = 20_000
JOB_POLL_S = 0.001
SCROLL_PAGE = 7
INDEXES = {"open": ["n", "tag"], "free": [], "closed": ["tag"]}
"""Indexed fields: filters of all, of a part, and of nothing are answered by them."""


def new_collections() -> list[ModelCollection]:
    """The same ids go into each, so that a leak from one into another shows."""
    return [
        ModelCollection("open", Metric.L2, Sharing.MANAGED, None),
        ModelCollection("free", Metric.IP, Sharing.TENANTS, None),
        ModelCollection("closed", Metric.COSINE, Sharing.MANAGED, {"acme", "globex"}),
    ]


class World:
    """One data directory, its engine and its model; used by one thread, `close` ends it."""

    def __init__(
        self, folder: Path, clock: Clock, memory_bytes: int = 1 << 30, index_from_points: int = 0, tier: str = "auto"
    ) -> None:
        self.clock = clock
        self.collections = new_collections()
        self.n_operations: Counter[str] = Counter()
        self._aliases: dict[str, str] = {}
        self._tier = tier
        self._n_named = 0
        self._settings = Settings(
            data_dir=folder,
            admin_key=ADMIN_KEY,
            memory_bytes=memory_bytes,
            index_from_points=index_from_points,
            compile_kernels=False,
            purge_interval_s=3600.0,
            n_writers=1,
        )
        self._engine = Engine.open(self._settings)
        self._keys: dict[tuple[Role, str], str] = {}
        for tenant in TENANTS:
            self._make_tenant(tenant)
        for collection in self.collections:
            self._admin("create_collection", (), self._description(collection))
            self._point_alias(f"{collection.name}-alias", collection)
        self._service_key = self._admin("create_key", (), {"role": "service"})["key"]

    def close(self) -> None:
        self._engine.close()

    # Writing

    def upsert(self, collection: ModelCollection, tenant: str, role: Role, batch: Sequence[Written]) -> None:
        """Upsert on both sides; they must refuse alike."""
        points = [_wire_point(new) for new in batch]

        def model() -> None:
            self._check_write(collection, tenant, role)
            for new in batch:
                if new.shared is not None:
                    collection.check_sharing(role, new.shared, TENANTS)
            collection.upsert(tenant, batch, self.clock.now_ms)

        answer = self._both(model, "upsert", collection, tenant, role, {"points": points})
        check_sequence(collection, answer)

    def delete(self, collection: ModelCollection, tenant: str, role: Role, ids: Sequence[str]) -> None:
        def model() -> int:
            self._check_write(collection, tenant, role)
            return collection.delete(tenant, ids, self.clock.now_ms)

        answer = self._both(model, "delete_points", collection, tenant, role, {"ids": list(ids)})
        check_sequence(collection, answer, lambda given, n_live: given["deleted"] == n_live)

    def delete_where(
        self, collection: ModelCollection, tenant: str, role: Role, filter_: Any, matches: Matches
    ) -> None:
        """Delete by filter, and wait for the job."""

        def model() -> None:
            self._check_write(collection, tenant, role)
            collection.delete_where(tenant, matches)

        answer = self._both(model, "delete_points", collection, tenant, role, {"filter": filter_})
        if answer is not None:
            self._await_job(answer[0]["id"])
            self._catch_up(collection)

    def update_payload(
        self, collection: ModelCollection, tenant: str, role: Role, ids: Sequence[str], patch: Any, mode: str
    ) -> None:
        def model() -> None:
            self._check_write(collection, tenant, role)
            collection.merge(tenant, ids, patch, mode, self.clock.now_ms)

        body = {"points": [{"id": point_id, "payload": patch} for point_id in ids], "mode": mode}
        check_sequence(collection, self._both(model, "update_payload", collection, tenant, role, body))

    def share(
        self, collection: ModelCollection, tenant: str, role: Role, action: str, ids: Sequence[str], to: frozenset[str]
    ) -> None:
        def model() -> None:
            self._check_write(collection, tenant, role)
            collection.check_sharing(role, to, TENANTS)
            change = collection.grant if action == "grant" else collection.revoke
            change(tenant, ids, to, self.clock.now_ms)

        body = {"action": action, "ids": list(ids), "to": sorted(to)}
        check_sequence(collection, self._both(model, "share", collection, tenant, role, body))

    def write_to_others(self, collection: ModelCollection, tenant: str, owner: str, ids: Sequence[str]) -> None:
        """Delete another owner's points: refused, and by the refusal no more is learnt than a read would show."""

        def model() -> None:
            collection.check_usable(tenant)
            seen = {place for place, _ in collection.visible(tenant, self.clock.now_ms)}
            if owner != tenant:
                raise NotOwner if all((owner, point_id) in seen for point_id in ids) else PointNotFound

        if owner != tenant:
            self._both(model, "delete_points", collection, tenant, Role.WRITE, {"ids": list(ids), "owner": owner})

    # The world around

    def set_members(self, collection: ModelCollection, members: frozenset[str]) -> None:
        """Change which tenants may use a collection."""
        self._admin("update_collection", (collection.name,), {"tenants": sorted(members)})
        collection.members = set(members)

    def rename(self, collection: ModelCollection) -> None:
        """Give a collection its other name; nobody finds it under the old one."""
        old = collection.name
        collection.name = old.removesuffix("-2") if old.endswith("-2") else f"{old}-2"
        self._admin("update_collection", (old,), {"name": collection.name})
        self._aliases = {alias: collection.name if name == old else name for alias, name in self._aliases.items()}
        self._expect_absent(old)

    def move(self, collection: ModelCollection, tier: str) -> None:
        """Wish for another tier."""
        self._admin("update_collection", (collection.name,), {"tier": tier})

    def swap_aliases(self) -> None:
        """Let every alias lead to the collection of the next one, all at once."""
        targets = list(self._aliases.values())
        self._aliases = dict(zip(self._aliases, targets[1:] + targets[:1], strict=True))
        self._admin("set_aliases", (), {"set": self._aliases})

    def replace_tenant(self, tenant: str) -> None:
        """Delete a tenant and make one of the same name, which must find nothing of the old one."""
        job = self._admin("delete_tenant", (tenant,), {})
        self._await_job(job["id"])
        for collection in self.collections:
            collection.forget_tenant(tenant)
            self._catch_up(collection)
        self._make_tenant(tenant)

    def work_on_indexes(self) -> None:
        """One step of the indexer, which may make, lay out or give up an index; nobody may notice."""
        for shard in self._engine.services.shards.open_shards():
            if shard.index.work():
                shard.count_index()

    def restart(self) -> None:
        self._engine.close()
        self._engine = Engine.open(self._settings)

    def purge(self) -> None:
        """Remove what has expired from disk; nobody may notice."""
        for document in self._engine.services.catalog.collections():
            purge_step(self._engine.services, document)
        for collection in self.collections:
            self._catch_up(collection)

    # Reading

    def look(self, collection: ModelCollection, tenant: str, query: Vector, is_thorough: bool) -> None:
        """Everything a tenant can see of a collection, by scroll, count and search; thoroughly: own points and get."""
        self.scroll(collection, tenant, "visible", None, lambda _: True)
        self.search(collection, tenant, query, 10, None, lambda _: True)
        if is_thorough:
            self.scroll(collection, tenant, "own", None, lambda _: True)
            self.get(collection, tenant)

    def scroll(self, collection: ModelCollection, tenant: str, scope: str, filter_: Any, matches: Matches) -> None:
        """Scroll page by page and count: the model's points, each once, in insertion order."""

        def model() -> list[tuple[Place, ModelPoint]]:
            collection.check_usable(tenant)
            found = collection.visible(tenant, self.clock.now_ms, scope)
            return [entry for entry in found if matches(entry[1].payload)]

        body = {"scope": scope, "filter": filter_}
        counted = self._both(model, "count", collection, tenant, Role.READ, body)
        if counted is None:
            return
        expected = counted[1]
        listed: list[dict[str, Any]] = []
        cursor = None
        while True:
            page_body = {**body, "limit": SCROLL_PAGE, "with_vector": True, "cursor": cursor}
            self.n_operations["scroll"] += 1
            page = self._call("scroll", (self._name(collection),), page_body, Role.READ, tenant)
            listed += page["points"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        check_points(self._view(collection, tenant), listed, expected)
        if counted[0]["count"] != len(expected):
            raise Mismatch(f"count {scope} of {tenant}: {counted[0]['count']}, the model has {len(expected)}")

    def get(self, collection: ModelCollection, tenant: str) -> None:
        """Every id of every owner, asked by name."""
        seen = dict(collection.visible(tenant, self.clock.now_ms))
        for owner in TENANTS:
            ids = sorted({point_id for _, point_id in collection.points} | {"a", "b"})

            def model(owner: str = owner, ids: Sequence[str] = tuple(ids)) -> list[tuple[Place, ModelPoint]]:
                collection.check_usable(tenant)
                return [((owner, i), seen[owner, i]) for i in ids if (owner, i) in seen]

            body = {"ids": ids, "owner": owner, "with_vector": True}
            answer = self._both(model, "get_points", collection, tenant, Role.READ, body)
            if answer is not None:
                check_points(self._view(collection, tenant), answer[0]["points"], answer[1])

    def search(
        self,
        collection: ModelCollection,
        tenant: str,
        query: Vector,
        limit: int,
        filter_: Any,
        matches: Matches,
    ) -> None:
        """Exact search, ties in insertion order."""

        def model() -> list[tuple[Place, ModelPoint]]:
            collection.check_usable(tenant)
            found = collection.visible(tenant, self.clock.now_ms)
            return [entry for entry in found if entry[1].vector is not None and matches(entry[1].payload)]

        body = {"vectors": [query, query], "limit": limit, "filter": filter_, "params": EVERYTHING}
        answer = self._both(model, "search", collection, tenant, Role.READ, body)
        if answer is not None:
            for result in answer[0]["results"]:
                check_hits(self._view(collection, tenant), query, result["hits"], answer[1], limit)

    # Running

    def _view(self, collection: ModelCollection, tenant: str) -> View:
        return View(collection, tenant, {place for place, _ in collection.visible(tenant, self.clock.now_ms)})

    def _both(
        self,
        model: Callable[[], Any],
        operation: str,
        collection: ModelCollection,
        tenant: str,
        role: Role,
        body: dict[str, Any],
    ) -> tuple[dict[str, Any], Any] | None:
        """(the engine's answer, the model's); None when both refuse with the same class of error."""
        refused: type[VdbError] | None = None
        expected = None
        try:
            expected = model()
        except VdbError as exc:
            refused = type(exc)
        try:
            answer = self._call(operation, (self._name(collection),), body, role, tenant)
        except VdbError as exc:
            if type(exc) is not refused:
                raise Mismatch(f"{operation}: refused with {exc!r}, the model says {refused}") from exc
            self.n_operations[f"{operation} refused"] += 1
            return None
        self.n_operations[operation] += 1
        if refused is not None:
            raise Mismatch(f"{operation}: answered {answer}, the model refuses with {refused.__name__}")
        return answer, expected

    def _call(
        self, operation: str, path: tuple[str, ...], body: dict[str, Any], role: Role, tenant: str | None
    ) -> dict[str, Any]:
        request = msgspec.json.decode(json.dumps(body), type=BY_NAME[operation].request)
        answer = self._engine.run(operation, self._caller(role, tenant), path, request)
        if isinstance(answer, Future):
            answer = answer.result()
        return json.loads(msgspec.json.encode(answer, enc_hook=np.ndarray.tolist))  # type: ignore[no-any-return]

    def _caller(self, role: Role, tenant: str | None) -> Any:
        if role is Role.ADMIN:
            return self._engine.authenticate(ADMIN_KEY, tenant)
        if role is Role.SERVICE:
            return self._engine.authenticate(self._service_key, tenant)
        return self._engine.authenticate(self._keys[role, tenant or ""], None)

    def _name(self, collection: ModelCollection) -> str:
        """The collection's name and its alias in turn: no operation may tell them apart."""
        self._n_named += 1
        if self._n_named % 2:
            return collection.name
        return next(alias for alias, name in self._aliases.items() if name == collection.name)

    def _point_alias(self, alias: str, collection: ModelCollection) -> None:
        self._aliases[alias] = collection.name
        self._admin("set_aliases", (), {"set": {alias: collection.name}})

    def _expect_absent(self, name: str) -> None:
        try:
            self._admin("get_collection", (name,), {})
        except CollectionNotFound:
            return
        raise Mismatch(f"{name} is still a collection")

    def _admin(self, operation: str, path: tuple[str, ...], body: dict[str, Any]) -> dict[str, Any]:
        return self._call(operation, path, body, Role.ADMIN, None)

    def _make_tenant(self, tenant: str) -> None:
        self._admin("create_tenant", (), {"name": tenant})
        for role in (Role.READ, Role.WRITE):
            key = self._admin("create_key", (), {"role": role, "tenant": tenant})
            self._keys[role, tenant] = key["key"]

    def _check_write(self, collection: ModelCollection, tenant: str, role: Role) -> None:
        if role is Role.READ:
            raise Forbidden
        collection.check_usable(tenant)

    def _await_job(self, job: str) -> None:
        for _ in range(JOB_POLLS):
            state = self._call("get_job", (job,), {}, Role.ADMIN, None)["state"]
            if state == "done":
                return
            if state == "failed":
                raise Mismatch(f"{job} failed")
            time.sleep(JOB_POLL_S)
        raise Mismatch(f"{job} does not end")

    def _catch_up(self, collection: ModelCollection) -> None:
        """Jobs and purges take sequences of their own, as many as their steps."""
        described = self._admin("get_collection", (collection.name,), {})
        if described["sequence"] < collection.sequence:
            raise Mismatch(f"the sequence of {collection.name} went back")
        collection.sequence = described["sequence"]

    def _description(self, collection: ModelCollection) -> dict[str, Any]:
        return {
            "name": collection.name,
            "dimension": DIMENSION,
            "metric": collection.metric,
            "sharing": collection.sharing,
            "tenants": None if collection.members is None else sorted(collection.members),
            "fields": {"n": "integer", "tag": "string"},
            "indexes": INDEXES[collection.name],
            "tier": self._tier,
        }


def _wire_point(new: Written) -> dict[str, Any]:
    point: dict[str, Any] = {"id": new.id, "vector": new.vector, "payload": new.payload}
    if new.expires_at_ms:
        point["expires_at"] = datetime.fromtimestamp(new.expires_at_ms / 1000, UTC).isoformat()
    if new.shared is not None:
        point["shared_with"] = sorted(new.shared)
    if new.if_version is not None:
        point["if_version"] = new.if_version
    if new.if_absent:
        point["if_absent"] = True
    return point
