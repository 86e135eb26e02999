"""A collection as the tests think of it, beside the index that is tested: every write goes to both.

The world remembers how it stood at every sequence, so that states taken long ago can be asked as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.index import CuratorIndex, Effort, Found
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import laid_out
from vdb.kernels import Kernels, cpu_kernels
from vdb.types import EVERYONE_ID, Metric

Floats = NDArray[np.float32]

EVERYTHING = Effort(budget=1 << 40, candidates=1 << 14)
TOLERANCE = 2e-4


class Memory:
    """Vectors in slots, in RAM."""

    def __init__(self, rows: Floats) -> None:
        self.rows = rows

    def put(self, slots: Any, vectors: Floats) -> None:
        if int(slots.max()) >= len(self.rows):
            longer = np.zeros((int(slots.max()) + 8, self.rows.shape[1]), np.float32)
            longer[: len(self.rows)] = self.rows
            self.rows = longer
        self.rows[slots] = vectors


@dataclass(frozen=True)
class Point:
    owner: int
    vector: Floats
    expires_at_ms: int = 0
    shared: frozenset[int] = frozenset()


def distances(query: Floats, vectors: Floats, metric: Metric) -> NDArray[np.float64]:
    """As the kernels state them: L2 squared."""
    rows, wanted = vectors.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        return np.asarray(((rows - wanted) ** 2).sum(axis=1))
    if metric is Metric.IP:
        return np.asarray(-rows @ wanted)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
    return np.asarray(1 - np.divide(rows @ wanted, norms, out=np.zeros(len(rows)), where=norms > 0))


@dataclass
class World:
    """Tenants 1 to n own points, and are granted those of others; `tenants` see, one of them owns nothing."""

    rng: np.random.Generator
    metric: Metric = Metric.L2
    encoding: Encoding = field(default_factory=lambda: Encoding(Form.LVQ8, 8))
    dimension: int = 8
    n_tenants: int = 5
    kernels: Kernels = field(default_factory=cpu_kernels)

    def __post_init__(self) -> None:
        self.points: dict[int, Point] = {}
        self.sequence = 1
        self.next_pid = 0
        self.history: dict[int, dict[int, Point]] = {}
        self.granted_at: dict[tuple[int, int], int] = {}
        self.revoked_at: dict[tuple[int, int], int] = {}
        self.n_layouts = 0

    @property
    def tenants(self) -> list[int]:
        return list(range(1, self.n_tenants + 3))

    def vectors(self, n: int) -> Floats:
        """Some are zero, some the same."""
        rows = self.rng.standard_normal((n, self.dimension)).astype(np.float32)
        rows[self.rng.random(n) < 0.03] = 0
        rows[self.rng.random(n) < 0.05] = 1
        return rows

    def grantees(self, owner: int, n_most: int = 3) -> frozenset[int]:
        everybody = [*self.tenants[:-1], EVERYONE_ID]
        n = int(self.rng.integers(0, n_most + 1))
        return frozenset(int(t) for t in self.rng.choice(everybody, n, replace=False)) - {owner}

    def build(self, points: Sequence[Point]) -> None:
        """The index of these points."""
        self.points = dict(enumerate(points))
        self.next_pid = len(points)
        raw = np.array([point.vector for point in points], np.float32).reshape(len(points), self.dimension)
        ready = prepared(raw, self.metric)
        tenants = sorted({tenant for point in points for tenant in point.shared})
        lists = [[pid for pid, point in self.points.items() if tenant in point.shared] for tenant in tenants]
        starts = np.concatenate(([0], np.cumsum([len(pids) for pids in lists]))).astype(np.int64)
        self.index = self.made(
            train(ready, len(ready), self.metric, self.encoding),
            np.arange(len(points), dtype=np.uint32),
            np.array([point.owner for point in points], np.uint32),
            np.array([point.expires_at_ms for point in points], np.int64),
            np.array(tenants, np.uint32),
            (starts, np.array([pid for pids in lists for pid in pids], np.uint32)),
            Memory(ready),
        )
        self._note()

    def made(self, *points: Any) -> Any:
        """The index that is tested, of these points as they stand now."""
        build: Any = CuratorIndex.build
        return build(*points, self.sequence, self.kernels)

    def some_points(self, n: int) -> list[Point]:
        points = []
        for vector in self.vectors(n):
            owner = int(self.rng.integers(1, self.n_tenants + 1))
            points.append(Point(owner, vector, self._expiry(), self.grantees(owner)))
        return points

    def _expiry(self) -> int:
        return int(self.rng.integers(1, 100)) * 1000 if self.rng.random() < 0.2 else 0

    def _note(self) -> None:
        self.history[self.sequence] = dict(self.points)

    # Writes

    def put(self, owner: int, points: dict[int, Point]) -> None:
        """New points of `owner`, or the same with other vectors; grants that a point no longer has are revoked."""
        self.sequence += 1
        puts: dict[int, list[int] | None] = {owner: None if self.rng.random() < 0.5 else list(range(len(points)))}
        for position, (pid, point) in enumerate(points.items()):
            before = self.points.get(pid)
            for tenant in before.shared - point.shared if before else ():
                self._revoke(tenant, [pid])
            for tenant in point.shared:
                places = puts.setdefault(-tenant, [])
                assert places is not None
                places.append(position)
                self.granted_at[tenant, pid] = self.sequence
            self.points[pid] = point
        self.next_pid = max(self.next_pid, max(points, default=-1) + 1)
        given = list(points.values())
        self.index.put(
            owner,
            np.array(list(points), np.uint32),
            np.array([point.vector for point in given], np.float32),
            np.array([point.expires_at_ms for point in given], np.int64),
            puts,
            self.sequence,
        )
        self._note()

    def insert(self, n: int, owner: int | None = None) -> list[int]:
        chosen = owner or int(self.rng.integers(1, self.n_tenants + 1))
        pids = list(range(self.next_pid, self.next_pid + n))
        vectors = self.vectors(n)
        self.put(
            chosen,
            {pid: Point(chosen, vectors[i], self._expiry(), self.grantees(chosen)) for i, pid in enumerate(pids)},
        )
        return pids

    def replace(self, pids: Iterable[int]) -> None:
        """The points of one owner get new vectors, and other grants some of them."""
        chosen = list(pids)
        vectors = self.vectors(len(chosen))
        new = {}
        for i, pid in enumerate(chosen):
            old = self.points[pid]
            shared = old.shared if self.rng.random() < 0.7 else self.grantees(old.owner)
            new[pid] = Point(old.owner, vectors[i], self._expiry(), shared)
        self.put(self.points[chosen[0]].owner, new)

    def delete(self, pids: Iterable[int]) -> None:
        self.sequence += 1
        gone = list(pids)
        for pid in gone:
            del self.points[pid]
        self.index.kill(np.array(gone, np.uint32), self.sequence)
        self._note()

    def grant(self, tenant: int, pids: Iterable[int]) -> None:
        """Points of one owner, which the tenant is not granted."""
        self.sequence += 1
        chosen = list(pids)
        for pid in chosen:
            old = self.points[pid]
            self.points[pid] = Point(old.owner, old.vector, old.expires_at_ms, old.shared | {tenant})
            self.granted_at[tenant, pid] = self.sequence
        given = [self.points[pid] for pid in chosen]
        self.index.put(
            given[0].owner,
            np.array(chosen, np.uint32),
            np.array([point.vector for point in given], np.float32),
            np.array([point.expires_at_ms for point in given], np.int64),
            {-tenant: list(range(len(chosen)))},
            self.sequence,
        )
        self._note()

    def revoke(self, tenant: int, pids: Iterable[int]) -> None:
        self.sequence += 1
        chosen = list(pids)
        for pid in chosen:
            old = self.points[pid]
            self.points[pid] = Point(old.owner, old.vector, old.expires_at_ms, old.shared - {tenant})
        self._revoke(tenant, chosen)
        self._note()

    def _revoke(self, tenant: int, pids: list[int]) -> None:
        for pid in pids:
            self.revoked_at[tenant, pid] = self.sequence
        self.index.revoke(tenant, np.array(pids, np.uint32))

    def change_something(self) -> None:
        """One random write."""
        live = list(self.points)
        what = self.rng.choice(["insert", "replace", "delete", "grant", "revoke"], p=[0.35, 0.2, 0.1, 0.2, 0.15])
        if what == "insert" or len(live) < 10:
            self.insert(int(self.rng.integers(1, 20)))
            return
        some = self.points[live[int(self.rng.integers(len(live)))]]
        of_owner = [pid for pid in live if self.points[pid].owner == some.owner]
        tenant = int(self.rng.choice([*self.tenants, EVERYONE_ID]))
        if what == "replace":
            self.replace(self._some(of_owner))
        elif what == "delete":
            self.delete(self._some(live))
        elif what == "grant":
            able = [pid for pid in of_owner if tenant not in self.points[pid].shared and tenant != some.owner]
            if able:
                self.grant(tenant, self._some(able))
        else:
            able = [pid for pid in live if tenant in self.points[pid].shared]
            if able:
                self.revoke(tenant, self._some(able))

    def _some(self, pids: list[int]) -> list[int]:
        return [int(p) for p in self.rng.choice(pids, min(len(pids), int(self.rng.integers(1, 9))), replace=False)]

    def lay_out(self, n_meanwhile: int = 0) -> None:
        """A new layout; so many writes happen while it is made."""
        old = self.index
        moment = old.begin_layout(self.sequence)
        for _ in range(n_meanwhile):
            self.change_something()
        successor = self.successor(old, moment)
        old.replay(successor)
        for _ in range(n_meanwhile):
            self.change_something()
        old.replay(successor)
        old.abandon_layout()
        self.index = successor
        self.n_layouts += 1

    def successor(self, old: Any, moment: Any) -> Any:
        return laid_out(old, moment).index

    # Questions

    def visible(self, tenant: int, sequence: int, now_ms: int) -> dict[int, Point]:
        """What a tenant may see as of a sequence."""
        return {
            pid: point
            for pid, point in self.history[sequence].items()
            if (point.owner == tenant or tenant in point.shared or EVERYONE_ID in point.shared)
            and (not point.expires_at_ms or point.expires_at_ms > now_ms)
        }

    def search(self, index: Any, state: Any, tenant: int, query: Floats, k: int, sequence: int, now_ms: int = 0) -> Any:
        """All that the tenant sees is compared."""
        mine, everyones = state.reading(tenant), state.reading(EVERYONE_ID)
        found: Found = index.search(
            state, mine, everyones, query, k, sequence, now_ms, EVERYTHING, kernels=self.kernels
        )
        return found

    def check(
        self,
        tenant: int,
        sequence: int | None = None,
        index: Any = None,
        state: Any = None,
        now_ms: int = 0,
    ) -> None:
        """Everything the tenant sees comes, nothing else does, nearest first and at its true distance.

        Of a state that is behind: what was revoked since may be missing, what was granted since may be there.
        """
        asked = self.sequence if sequence is None else sequence
        index = index or self.index
        state = state or index.state
        query = self.vectors(1)[0]
        expected = self.visible(tenant, asked, now_ms)
        history = self.history[asked]
        found = self.search(index, state, tenant, query, len(history) + 5, asked, now_ms)
        pids = self.found_pids(found, state)
        assert len(set(pids)) == len(pids), f"tenant {tenant} is answered a point twice at {asked}"
        extra, missing = set(pids) - set(expected), set(expected) - set(pids)
        for pid in extra:
            since = max(self.granted_at.get((tenant, pid), 0), self.granted_at.get((EVERYONE_ID, pid), 0))
            assert since > asked and pid in history, f"tenant {tenant} is shown {pid} at {asked}"
        for pid in missing:
            since = max(self.revoked_at.get((tenant, pid), 0), self.revoked_at.get((EVERYONE_ID, pid), 0))
            assert since > asked, f"tenant {tenant} is not shown {pid} at {asked}"
        vectors = np.array([history[pid].vector for pid in pids], np.float32).reshape(len(pids), self.dimension)
        true = distances(query, vectors, self.metric)
        measured = found.distance[: len(pids)]
        np.testing.assert_allclose(measured, true, rtol=TOLERANCE, atol=TOLERANCE)
        assert (np.diff(measured) >= 0).all()

    def found_pids(self, found: Any, state: Any) -> list[int]:
        pids: list[int] = state.rows.pids[found.row[found.row >= 0]].tolist()
        return pids

    def check_all(self, now_ms: int = 0) -> None:
        for tenant in self.tenants:
            self.check(tenant, now_ms=now_ms)
