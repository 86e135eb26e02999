"""A collection whose every point the test knows: what tenants must find is worked out beside the engine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.engine.driver import Driver, opened
from vdb.engine.shard import Shard
from vdb.engine.shard_index import ShardIndex
from vdb.index.curator.index import CuratorIndex
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import UpdateCollection
from vdb.types import Metric, Tier

FROM = 40
"""Points that make an index in these tests."""
D = 6
TENANTS = ("acme", "globex", "initech")


class Books:
    """Writes go to the engine and to `points`: (owner, id) → (vector, who may see it)."""

    def __init__(self, driver: Driver, rng: np.random.Generator, points: dict[Any, Any] | None = None) -> None:
        self.driver = driver
        self.rng = rng
        self.points: dict[tuple[str, str], tuple[Any, frozenset[str]]] = points if points is not None else {}
        self.n_made = len(self.points)

    @property
    def shard(self) -> Shard:
        document = self.driver.engine.services.usable(self.driver.caller(None), "books")
        with self.driver.engine.services.shards.use(document) as shard:
            return shard

    @property
    def index(self) -> ShardIndex:
        return self.shard.index

    @property
    def in_ram(self) -> CuratorIndex:
        """The index that answers, of which all is in RAM."""
        index = self.index.current
        assert isinstance(index, CuratorIndex)
        return index

    def work(self) -> bool:
        """One step of the indexer."""
        is_done = self.index.work()
        if is_done:
            self.shard.count_index()
        return is_done

    def add(self, n: int, owner: str = "acme", shared: tuple[str, ...] = (), **columns: Any) -> list[str]:
        ids = [f"{owner}-{self.n_made + i}" for i in range(n)]
        self.n_made += n
        self.put(owner, ids, shared, **columns)
        return ids

    def put(self, owner: str, ids: list[str], shared: tuple[str, ...] = (), **columns: Any) -> None:
        vectors = self.rng.standard_normal((len(ids), D)).astype(np.float32)
        self.driver.upsert(owner, "books", ids, vectors, shared_with=[list(shared)] * len(ids), **columns)
        for point_id, vector in zip(ids, vectors, strict=True):
            self.points[owner, point_id] = vector, frozenset(shared)

    def delete(self, owner: str, ids: list[str]) -> None:
        self.driver.delete(owner, "books", ids)
        for point_id in ids:
            self.points.pop((owner, point_id), None)

    def share(self, owner: str, ids: list[str], to: str, action: str = "grant") -> None:
        self.driver.share(owner, "books", ids, [to], action)
        for point_id in ids:
            vector, shared = self.points[owner, point_id]
            self.points[owner, point_id] = vector, shared | {to} if action == "grant" else shared - {to}

    def change(self) -> None:
        """A random write."""
        owner = str(self.rng.choice(TENANTS))
        mine = [point_id for of, point_id in self.points if of == owner]
        some = [str(i) for i in self.rng.choice(mine, min(len(mine), 4), replace=False)] if mine else []
        to = str(self.rng.choice([*TENANTS, "*"]))
        what = self.rng.choice(["add", "put", "delete", "grant", "revoke"], p=[0.35, 0.2, 0.15, 0.15, 0.15])
        if what == "add" or not some:
            self.add(int(self.rng.integers(1, 6)), owner, tuple({to} - {owner}))
        elif what == "put":
            self.put(owner, some, tuple({to} - {owner}))
        elif what == "delete":
            self.delete(owner, some)
        elif to != owner:
            self.share(owner, some, to, str(what))

    def seen_by(self, tenant: str) -> dict[tuple[str, str], Any]:
        return {
            key: vector
            for key, (vector, shared) in self.points.items()
            if key[0] == tenant or tenant in shared or "*" in shared
        }

    def nearest(self, tenant: str, query: Any, limit: int) -> list[tuple[str, str]]:
        seen = self.seen_by(tenant)
        return sorted(seen, key=lambda key: float(((seen[key] - query) ** 2).sum()))[:limit]

    def move(self, tier: Tier) -> None:
        """Wish for another tier."""
        self.driver.run("update_collection", None, ("books",), UpdateCollection(tier=tier))

    def check(self, limit: int = 8, **given: Any) -> None:
        """All tenants find the nearest of what they may see, at its distance."""
        for tenant in TENANTS:
            query = self.rng.standard_normal(D).astype(np.float32)
            hits = self.driver.search(tenant, "books", query, limit, **given)
            assert [(hit.owner, hit.id) for hit in hits] == self.nearest(tenant, query, limit)
            for hit in hits:
                true = np.linalg.norm(self.points[hit.owner, hit.id][0] - query)
                assert abs(hit.distance - true) < 1e-3

    def path_of(self, tenant: str = "acme") -> str:
        """The path that a search of the tenant takes."""
        return str(self.explained(tenant).path)

    def explained(self, tenant: str) -> Any:
        """How a search of the tenant was answered."""
        block = np.zeros(D, np.float32)
        return self.driver.run("search", tenant, ("books",), SearchHead(limit=1, explain=True), block).explain


@contextmanager
def opened_books(
    path: Path,
    rng: np.random.Generator,
    points: dict[Any, Any] | None = None,
    tier: Tier = Tier.HYBRID,
    metric: Metric = Metric.L2,
    **given: Any,
) -> Iterator[Books]:
    with opened(path, **{"index_from_points": FROM, **given}) as driver:
        if points is None:
            for tenant in TENANTS:
                driver.create_tenant(tenant)
            driver.create("books", D, metric, tier=tier)
        yield Books(driver, rng, points)


@contextmanager
def indexed_books(path: Path, rng: np.random.Generator, n: int = 80, **given: Any) -> Iterator[Books]:
    """A collection that has its index."""
    with opened_books(path, rng, **given) as books:
        for tenant in TENANTS:
            books.add(n // 2, tenant)
            books.add(n // 2, tenant, tuple({"globex", "*"} - {tenant}))
        assert books.work() and books.path_of() == "index"
        yield books
