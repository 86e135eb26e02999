"""Usages, totals, counters and quotas under random operations, refused ones and shared commits among them.

After every operation what is stored is compared with a count of the records, and the ledger of quotas with both.
"""

import random
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.driver import WAIT_S, Driver, opened
from vdb.engine.maintenance import purge_step
from vdb.errors import VdbError
from vdb.protocol.requests import DeletePoints, Empty, PayloadChange, SetAliases, Share, UpdateCollection, UpdatePayload
from vdb.storage.check import check_directory
from vdb.storage.codec import NOTHING, Usage
from vdb.storage.meta import read_counters
from vdb.storage.points import iterate_owners, read_totals
from vdb.storage.usages import count_usages

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
CAPPED = "capped"
TENANTS = ("acme", "globex", CAPPED)
COLLECTIONS = ("notes", "files")
IDS = [f"point-{'x' * i}" for i in range(8)]
STEPS = 60


class Walk:
    """Random operations on one directory, each followed by a comparison."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.rng = random.Random(seed)
        self.names = {name: name for name in COLLECTIONS}
        self.n_refused = 0
        self.driver: Driver

    def begin(self, driver: Driver) -> None:
        self.driver = driver

    def furnish(self) -> None:
        for name in COLLECTIONS:
            self.driver.create(name)
        for tenant in TENANTS:
            self.make_tenant(tenant)

    def make_tenant(self, tenant: str) -> None:
        self.driver.create_tenant(tenant, *((9, 300) if tenant == CAPPED else (None, None)))

    def place(self) -> tuple[str, str]:
        return self.rng.choice(TENANTS), self.names[self.rng.choice(COLLECTIONS)]

    def some(self) -> list[str]:
        return self.rng.sample(IDS, self.rng.randint(1, 4))

    def upsert(self) -> "Future[Any]":
        rng, ids = self.rng, self.some()
        columns: dict[str, Any] = {"payloads": [rng.choice(({}, {"n": 1}, {"n": 2, "pad": "y" * 20})) for _ in ids]}
        if rng.random() < 0.4:
            columns["expires_at"] = [rng.choice((None, PAST, FUTURE)) for _ in ids]
        if rng.random() < 0.4:
            columns["shared_with"] = [rng.choice(([], ["globex"], ["*"], ["acme", "*"])) for _ in ids]
        if rng.random() < 0.2:
            columns["if_absent"] = [rng.random() < 0.5 for _ in ids]
        vectors = None if rng.random() < 0.2 else [[1.0, float(i)] for i in range(len(ids))]
        tenant, name = self.place()
        future: Future[Any] = self.driver.queue_upsert(tenant, name, ids, vectors, **columns)
        return future

    def delete(self) -> "Future[Any]":
        return self._queued("delete_points", DeletePoints(ids=self.some()))

    def share(self) -> "Future[Any]":
        to = self.rng.choice((["globex"], ["*"], ["acme", "globex", "*"]))
        return self._queued("share", Share(action=self.rng.choice(("grant", "revoke")), ids=self.some(), to=to))

    def update(self) -> "Future[Any]":
        texts = (b"{}", b'{"n":null}', b'{"more":"zzzz"}')
        points = [PayloadChange(id=i, payload=msgspec.Raw(self.rng.choice(texts))) for i in self.some()]
        return self._queued("update_payload", UpdatePayload(points=points, mode=self.rng.choice(("merge", "replace"))))

    def _queued(self, operation: str, request: Any) -> "Future[Any]":
        tenant, name = self.place()
        engine = self.driver.engine
        future: Future[Any] = engine.run(operation, self.driver.caller(tenant), (name,), request)
        return future

    def purge(self) -> None:
        services = self.driver.engine.services
        for collection in services.catalog.collections():
            purge_step(services, collection)

    def delete_by_filter(self) -> None:
        tenant, name = self.place()
        job = self.driver.run("delete_points", tenant, (name,), DeletePoints(filter={"field": "n", "eq": 1}))
        assert self.driver.finish_job(job).state == "done"

    def end_tenant(self) -> None:
        tenant = self.rng.choice(TENANTS)
        job = self.driver.run("delete_tenant", None, (tenant,), Empty())
        assert self.driver.finish_job(job).state == "done"
        self.make_tenant(tenant)

    def rename(self) -> None:
        name = self.rng.choice(COLLECTIONS)
        new = f"{name}-{self.rng.getrandbits(32)}"
        self.driver.run("update_collection", None, (self.names[name],), UpdateCollection(name=new))
        self.driver.run("set_aliases", None, (), SetAliases(set={f"{new}-alias": new}))
        self.names[name] = new

    def together(self) -> None:
        """Several writes in one commit of each collection; those refused must leave nothing behind."""
        shards = list(self.driver.engine.services.shards.open_shards())
        for shard in shards:
            shard.queue.hold()
            shard.queue.await_stillness()
        try:
            kinds = self.rng.choices((self.upsert, self.upsert, self.delete, self.share, self.update), k=12)
            waiting = [future for kind in kinds if (future := self._begun(kind)) is not None]
        finally:
            for shard in shards:
                shard.queue.resume()
        for future in waiting:
            self._ended(future)

    def _begun(self, kind: "Callable[[], Future[Any]]") -> "Future[Any] | None":
        try:
            return kind()
        except VdbError:
            self.n_refused += 1
            return None

    def _ended(self, future: "Future[Any]") -> None:
        error = future.exception(WAIT_S)
        assert error is None or isinstance(error, VdbError)
        self.n_refused += error is not None

    def step(self) -> None:
        rare = (self.purge, self.delete_by_filter, self.end_tenant, self.rename)
        draw = self.rng.random()
        if draw < 0.5:
            self.together()
        elif draw < 0.7:
            self.rng.choice(rare)()
        else:
            future = self._begun(self.rng.choice((self.upsert, self.delete, self.share, self.update)))
            if future is not None:
                self._ended(future)
        self.compare()

    def compare(self) -> None:
        services = self.driver.engine.services
        owned: dict[int, tuple[int, int]] = {}
        for shard in services.each_shard():
            with shard.env.read() as txn:
                stored = dict(iterate_owners(txn))
                counted = {owner: usage for owner, usage, _ in count_usages(txn)}
                assert stored == counted
                total = _sum(list(counted.values()))
                assert read_totals(txn) == total and read_counters(txn)[2] == total.points
            for owner, usage in counted.items():
                points, n_bytes = owned.get(owner, (0, 0))
                owned[owner] = points + usage.points, n_bytes + usage.n_bytes(shard.collection.dimension)
        capped = services.catalog.tenant(CAPPED)
        assert capped is not None
        assert services.ledger._accounts[capped.id].totals(apart_from=0) == owned.get(capped.id, (0, 0))
        assert not services.ledger._accounts[capped.id].proposed


def _sum(usages: list[Usage]) -> Usage:
    total = NOTHING
    for usage in usages:
        total = total.plus(usage)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_usages_and_totals_are_what_a_recount_finds_after_every_operation(tmp_path: Path, seed: int) -> None:
    walk = Walk(tmp_path / "data", seed)
    for life in range(3):
        with opened(walk.path) as driver:
            walk.begin(driver)
            if not life:
                walk.furnish()
            walk.compare()
            for _ in range(STEPS // 3):
                walk.step()
        assert check_directory(walk.path) == []
    assert walk.n_refused > 10
