"""Growth: an index trained on 1 % of the points, which then takes the rest with churn, finds what a fresh one finds."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.index.curator.world import Memory
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.model import prepared
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding, laid_out
from vdb.kernels import cpu_kernels
from vdb.types import EVERYONE_ID, Metric

N_POINTS, DIMENSION, N_TENANTS = 6_000, 24, 6
FIRST_SHARE = 0.01
STEP = 300
MOST_LOST = 0.01
"""Recall@10 that may be lost beside a fresh build."""
N_QUERIES = 200

Floats = NDArray[np.float32]


@dataclass
class Collection:
    """Points as they stand in the end: `owner` of each, `shared` (n, tenants) to whom else."""

    vectors: Floats
    owner: NDArray[np.uint32]
    shared: NDArray[np.bool_]

    def sees(self, tenant: int) -> NDArray[np.bool_]:
        return np.asarray((self.owner == tenant) | self.shared[:, tenant - 1])


def mixture(rng: np.random.Generator) -> Collection:
    """Clusters that come one after the other: the first points tell nothing of the later ones."""
    centres = rng.standard_normal((40, DIMENSION)) * 2
    of_point = np.sort(rng.integers(0, len(centres), N_POINTS))
    vectors = (centres[of_point] + rng.standard_normal((N_POINTS, DIMENSION))).astype(np.float32)
    return peopled(prepared(vectors, Metric.COSINE), rng)


def peopled(vectors: Floats, rng: np.random.Generator) -> Collection:
    owner = rng.integers(1, N_TENANTS + 1, len(vectors)).astype(np.uint32)
    shared = rng.random((len(vectors), N_TENANTS)) < 0.2
    shared[np.arange(len(vectors)), owner - 1] = False
    return Collection(vectors, owner, shared)


def built(collection: Collection, pids: NDArray[np.uint32], sequence: int) -> CuratorIndex:
    rows = collection.vectors[pids]
    lists = [np.flatnonzero(collection.shared[pids, t]).astype(np.uint32) for t in range(N_TENANTS)]
    starts = np.concatenate(([0], np.cumsum([len(rows) for rows in lists]))).astype(np.int64)
    return CuratorIndex.build(
        train(rows, len(rows), Metric.COSINE, default_encoding(rows.shape[1])), pids, collection.owner[pids],
        np.zeros(len(pids), np.int64), np.arange(1, N_TENANTS + 1, dtype=np.uint32), (starts, np.concatenate(lists)),
        Memory(rows.copy()), sequence, cpu_kernels(),
    )  # fmt: skip


def put(index: CuratorIndex, collection: Collection, pids: NDArray[np.uint32], sequence: int, is_noise: bool) -> None:
    """Write points with all their grants; `is_noise`: with the vectors of others, to be replaced."""
    for owner in range(1, N_TENANTS + 1):
        mine = pids[collection.owner[pids] == owner]
        puts: dict[int, list[int] | None] = {owner: None}
        for t in range(N_TENANTS):
            positions = np.flatnonzero(collection.shared[mine, t]).tolist()
            if positions:
                puts[-(t + 1)] = positions
        if len(mine):
            vectors = collection.vectors[mine[::-1] if is_noise else mine]
            index.put(owner, mine, vectors, np.zeros(len(mine), np.int64), puts, sequence)


def grown(collection: Collection, step: int, rng: np.random.Generator) -> tuple[CuratorIndex, int, int]:
    """The index that took all points but the first share with churn, its sequence, and how many layouts that took."""
    n_first = int(FIRST_SHARE * len(collection.vectors))
    pids = np.arange(len(collection.vectors), dtype=np.uint32)
    index, sequence, n_layouts = built(collection, pids[:n_first], 1), 1, 0
    for first in range(n_first, len(pids), step):
        batch = pids[first : first + step]
        # churn: some are written with other vectors first, some of the old are written anew, grants go and come back
        noisy, old = (
            batch[rng.random(len(batch)) < 0.2],
            rng.choice(pids[:first], min(first, step // 10), replace=False),
        )
        put(index, collection, noisy, sequence + 1, is_noise=True)
        put(index, collection, batch, sequence + 2, is_noise=False)
        index.kill(old, sequence + 3)
        put(index, collection, old, sequence + 4, is_noise=False)
        tenant = int(rng.integers(1, N_TENANTS + 1))
        of_owner = batch[collection.owner[batch] == tenant]
        foreign = of_owner[~collection.shared[of_owner, tenant % N_TENANTS]]
        if tenant % N_TENANTS + 1 != tenant and len(foreign):
            grantee = tenant % N_TENANTS + 1
            positions = list(range(len(foreign)))
            none = np.zeros(len(foreign), np.int64)
            index.put(tenant, foreign, collection.vectors[foreign], none, {-grantee: positions}, sequence + 5)
            index.revoke(grantee, foreign)
        sequence += 5
        if index.should_lay_out:
            index = laid_out(index, index.begin_layout(sequence)).index
            n_layouts += 1
    return index, sequence, n_layouts


def recall(index: CuratorIndex, collection: Collection, sequence: int, queries: Floats) -> float:
    """Recall@10 over all tenants, with the server's own budget; fails at the first foreign hit."""
    found, state = [], index.state
    for i, query in enumerate(queries):
        tenant = i % N_TENANTS + 1
        sees = collection.sees(tenant)
        mine, everyones = state.reading(tenant), state.reading(EVERYONE_ID)
        effort = Effort(math.ceil(10 * int(sees.sum()) ** 0.6), 40)
        hits = index.search(state, mine, everyones, query, 10, sequence, 0, effort, kernels=cpu_kernels())
        pids = state.rows.pids[hits.row[hits.row >= 0]]
        assert sees[pids].all(), f"tenant {tenant} is shown what is not its own"
        nearest = np.argsort(-(collection.vectors @ query) - 10 * sees, kind="stable")[:10]
        found.append(len(set(pids.tolist()) & set(nearest.tolist())) / 10)
    return float(np.mean(found))


@pytest.fixture(autouse=True)
def many_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdb.index.curator.layout.OWN_WHOLE", 400)
    monkeypatch.setattr("vdb.index.curator.layout.LIST_WHOLE", 200)


def test_an_index_that_grew_hundredfold_finds_what_a_fresh_one_finds(rng: np.random.Generator) -> None:
    collection = mixture(rng)
    grew, sequence, n_layouts = grown(collection, STEP, rng)
    fresh = built(collection, np.arange(N_POINTS, dtype=np.uint32), sequence)
    queries = collection.vectors[rng.choice(N_POINTS, N_QUERIES)] + 0.05 * rng.standard_normal((N_QUERIES, DIMENSION))
    asked = prepared(queries.astype(np.float32), Metric.COSINE)
    of_grown, of_fresh = recall(grew, collection, sequence, asked), recall(fresh, collection, sequence, asked)
    assert n_layouts > 3 and grew.n_live == N_POINTS
    assert of_grown >= of_fresh - MOST_LOST, f"{of_grown:.4f} after growth, {of_fresh:.4f} built at once"


def test_a_model_of_few_rows_is_replaced_when_they_are_eight_times_as_many(rng: np.random.Generator) -> None:
    collection = peopled(prepared(rng.standard_normal((900, DIMENSION)).astype(np.float32), Metric.COSINE), rng)
    pids = np.arange(900, dtype=np.uint32)
    few = built(collection, pids[:100], 1)
    few = few.successor(few.begin_layout(1), replace(few.state.model, n_trained=100))
    put(few, collection, pids[100:790], 2, is_noise=False)
    assert not laid_out(few, few.begin_layout(2)).is_trained
    put(few, collection, pids[790:], 3, is_noise=False)
    outcome = laid_out(few, few.begin_layout(3))
    assert outcome.is_trained and outcome.index.state.model.n_trained == 900
