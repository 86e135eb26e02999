"""An engine as tests drive it: operations as short calls, small settings, no compiled kernels."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw

from vdb.config import MIB, Settings
from vdb.engine.engine import Engine
from vdb.engine.shard import ShardGroup
from vdb.kernels.device import Device
from vdb.protocol.columns import SearchHead, UpsertHead
from vdb.protocol.requests import (
    Count,
    CreateCollection,
    CreateKey,
    CreateTenant,
    DeletePoints,
    Empty,
    GetPoints,
    Scroll,
    Share,
    TenantQuota,
)
from vdb.storage.changes import LoggedChange, iterate_changes
from vdb.types import Caller, Metric, Role

SMALL = Settings(map_bytes=MIB, max_map_bytes=256 * MIB, compile_kernels=False, purge_interval_s=3600.0, admin_key="")
WAIT_S = 20.0


def small(path: Path, **given: Any) -> Settings:
    """Settings for a test's own directory."""
    return replace(SMALL, data_dir=path, **given)


@contextmanager
def opened(path: Path, **given: Any) -> "Iterator[Driver]":
    """A driver of an engine that is closed at the end; on a `device`, if one is given beside the settings."""
    device: Device | None = given.pop("device", None)
    driver = Driver(Engine.open(small(path, **given), device=device))
    try:
        yield driver
    finally:
        driver.engine.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Until background work has done something; fails after a while."""
    give_up = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.005)


class Driver:
    """Short calls. Writes wait for their commit unless the name begins with `queue_`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def caller(self, tenant: str | None, role: Role = Role.ADMIN) -> Caller:
        return self.engine.local_caller(role, tenant)

    def run(self, name: str, tenant: str | None, path: Sequence[str], request: Any, vectors: Any = None) -> Any:
        answer = self.engine.run(name, self.caller(tenant), tuple(path), request, vectors)
        return answer.result(WAIT_S) if isinstance(answer, Future) else answer

    def create(self, name: str, dimension: int = 2, metric: Metric = Metric.L2, **given: Any) -> Any:
        request = CreateCollection(name=name, dimension=dimension, metric=metric, **given)
        return self.run("create_collection", None, (), request)

    def create_tenant(self, name: str, points: int | None = None, n_bytes: int | None = None) -> Any:
        return self.run(
            "create_tenant", None, (), CreateTenant(name=name, quota=TenantQuota(points=points, bytes=n_bytes))
        )

    def create_key(self, role: Role, tenant: str | None = None, **given: Any) -> Any:
        return self.run("create_key", None, (), CreateKey(role=role, tenant=tenant, **given))

    def tenant(self, name: str) -> Any:
        return self.run("get_tenant", None, (name,), Empty())

    def queue_upsert(
        self, tenant: str, collection: str, ids: Sequence[str], vectors: Any = None, **columns: Any
    ) -> Any:
        """The future of an upsert; `payloads` are objects, columns as in UpsertHead."""
        if "payloads" in columns:
            columns["payloads"] = [Raw(msgspec.json.encode(payload)) for payload in columns["payloads"]]
        head = UpsertHead(ids=list(ids), **columns)
        if vectors is None:
            head.has_vector = [False] * len(ids)
        block = np.empty(0, np.float32) if vectors is None else np.asarray(vectors, np.float32)
        return self.engine.run("upsert", self.caller(tenant), (collection,), head, block)

    def upsert(self, tenant: str, collection: str, ids: Sequence[str], vectors: Any = None, **columns: Any) -> int:
        """The write's sequence."""
        return int(self.queue_upsert(tenant, collection, ids, vectors, **columns).result(WAIT_S).sequence)

    def delete(self, tenant: str, collection: str, ids: Sequence[str], **given: Any) -> int:
        """How many points were deleted."""
        return int(self.run("delete_points", tenant, (collection,), DeletePoints(ids=list(ids), **given)).deleted)

    def share(self, tenant: str, collection: str, ids: Sequence[str], to: Sequence[str], action: Any = "grant") -> int:
        return int(self.run("share", tenant, (collection,), Share(action=action, ids=list(ids), to=list(to))).sequence)

    def get(self, tenant: str, collection: str, ids: Sequence[str], **given: Any) -> list[Any]:
        return list(self.run("get_points", tenant, (collection,), GetPoints(ids=list(ids), **given)).points)

    def ids(self, tenant: str, collection: str, scope: Any = "own", limit: int = 1000) -> list[str]:
        """Ids of the points a tenant owns or sees, in insertion order."""
        page = self.run("scroll", tenant, (collection,), Scroll(limit=limit, scope=scope))
        return [point.id for point in page.points]

    def count(self, tenant: str, collection: str, **given: Any) -> int:
        return int(self.run("count", tenant, (collection,), Count(**given)).count)

    def search(self, tenant: str, collection: str, vector: Any, limit: int = 10, **given: Any) -> list[Any]:
        block = np.asarray(vector, np.float32)
        return list(self.run("search", tenant, (collection,), SearchHead(limit=limit, **given), block).hits)

    def found(self, tenant: str, collection: str, vector: Any, limit: int = 10, **given: Any) -> list[str]:
        """Ids of the hits, nearest first."""
        return [hit.id for hit in self.search(tenant, collection, vector, limit, **given)]

    def write(self, collection: str, apply: Callable[[ShardGroup], Any]) -> Any:
        """Run `apply` as a queued write of its own; what it returns."""
        shards = self.engine.services.shards
        shard = shards.acquire(self.engine.services.usable(self.caller(None), collection))
        return shards.submit(shard, apply).result(WAIT_S)

    def keep_changes(self, collection: str) -> None:
        """Have a collection log its changes from now on."""
        self.write(collection, lambda group: group.keep_changes())

    def logged(self, collection: str, after_sequence: int = 0) -> list[tuple[int, LoggedChange]]:
        """The log of a collection's changes."""
        document = self.engine.services.usable(self.caller(None), collection)
        with self.engine.services.shards.use(document) as shard, shard.env.read() as txn:
            return list(iterate_changes(txn, after_sequence))

    def finish_job(self, job: Any) -> Any:
        """Wait for a job; its last state."""
        last: list[Any] = []

        def is_over() -> bool:
            last[:] = [self.run("get_job", None, (job.id,), Empty())]
            return last[0].state in ("done", "failed")

        wait_until(is_over)
        return last[0]
