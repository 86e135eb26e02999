"""Points of several owners, beside the index on disk that is made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.index.curator.world import Memory, distances
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.training import train
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort, Found
from vdb.storage.lists import Lists
from vdb.types import EVERYONE_ID, Metric

Floats = NDArray[np.float32]

EVERYTHING = Effort(budget=1 << 40, candidates=1 << 14)
NOW_MS = 1_000_000
SEQUENCE = 7


@dataclass
class Points:
    """Point i has pid 3 i + 1; `shared` maps tenant to points, ascending."""

    vectors: Floats
    owners: NDArray[np.uint32]
    expires_at_ms: NDArray[np.int64]
    shared: dict[int, list[int]]
    metric: Metric = Metric.COSINE

    @property
    def pids(self) -> NDArray[np.uint32]:
        return np.arange(len(self.vectors), dtype=np.uint32) * np.uint32(3) + np.uint32(1)

    def seen(self, tenant: int) -> NDArray[np.intp]:
        """Points that a tenant may see now."""
        mine = set(np.flatnonzero(self.owners == tenant).tolist())
        mine |= {*self.shared.get(tenant, ()), *self.shared.get(EVERYONE_ID, ())}
        return np.array([i for i in sorted(mine) if not 0 < self.expires_at_ms[i] <= NOW_MS], np.intp)

    def nearest(self, tenant: int, query: Floats, k: int) -> list[tuple[float, int]]:
        """(distance, pid) of the k nearest that a tenant sees."""
        seen = self.seen(tenant)
        found = distances(query, self.vectors[seen], self.metric)
        return sorted(zip(found.tolist(), self.pids[seen].tolist(), strict=True))[:k]


def clustered(rng: np.random.Generator, n: int, dimension: int, n_clusters: int, spread: float = 0.3) -> Floats:
    centres = rng.standard_normal((n_clusters, dimension))
    rows = centres[rng.integers(n_clusters, size=n)] + spread * rng.standard_normal((n, dimension))
    return rows.astype(np.float32)


def some_points(rng: np.random.Generator, n: int, metric: Metric = Metric.COSINE, dimension: int = 24) -> Points:
    """Tenant 1 owns half of them, 2 and 3 the rest but for a few; some are shared, some expire, some are the same."""
    vectors = clustered(rng, n, dimension, max(1, n // 40))
    vectors[rng.random(n) < 0.02] = 0
    vectors[rng.random(n) < 0.03] = vectors[0]
    owners = rng.choice([1, 2, 3, 9], n, p=[0.5, 0.3, 0.17, 0.03]).astype(np.uint32)
    expires_at_ms = rng.choice([0, NOW_MS - 5_000, NOW_MS + 5_000], n, p=[0.8, 0.1, 0.1]).astype(np.int64)
    shared = {
        tenant: np.flatnonzero((rng.random(n) < share) & (owners != tenant)).tolist()
        for tenant, share in ((1, 0.01), (2, 0.2), (5, 0.3), (EVERYONE_ID, 0.05))
    }
    return Points(vectors, owners, expires_at_ms, shared, metric)


def arguments(points: Points) -> dict[str, Any]:
    """What an index is built of, but its model and the vectors."""
    tenants = sorted(points.shared)
    lists = [np.array(points.shared[tenant], np.uint32) for tenant in tenants]
    starts = np.concatenate(([0], np.cumsum([len(rows) for rows in lists]))).astype(np.int64)
    granted = np.concatenate([np.zeros(0, np.uint32), *lists])
    return {
        "pids": points.pids,
        "owners": points.owners,
        "expires_at_ms": points.expires_at_ms,
        "tenants": np.array(tenants, np.uint32),
        "granted": (starts, granted),
        "sequence": SEQUENCE,
    }


def built(points: Points, folder: Path, encoding: Encoding | None = None) -> tuple[SpannIndex, Lists]:
    ready = prepared(points.vectors, points.metric)
    model = train(ready, len(ready), points.metric, encoding or Encoding(Form.LVQ8, ready.shape[1]))
    lists = Lists(folder)
    ordered = Memory(np.zeros((len(ready), ready.shape[1]), np.float32))
    index = SpannIndex.build(model, vectors=Memory(ready), ordered=ordered, lists=lists, **arguments(points))
    return index, lists


def in_memory(points: Points) -> CuratorIndex:
    ready = prepared(points.vectors, points.metric)
    model = train(ready, len(ready), points.metric, Encoding(Form.LVQ8, ready.shape[1]))
    return CuratorIndex.build(model, vectors=Memory(ready), **arguments(points))


def search(index: SpannIndex, tenant: int, query: Floats, k: int, effort: Effort = EVERYTHING) -> Found:
    return index.search(index.state, tenant, query, k, SEQUENCE, NOW_MS, effort)
