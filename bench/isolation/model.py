"""The model: what a multi-tenant collection is, in dictionaries. It knows no index, no store and no snapshot.

An expired point does not exist, whether or not it is still on disk. Time is handed in, in epoch milliseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CollectionNotFound, PointNotFound, SharingForbidden, UnknownGrantee, VersionConflict
from vdb.types import EVERYONE, Metric, Role, Sharing

Vector = tuple[float, ...]
Payload = dict[str, Any]
Matches = Callable[[Payload], bool]
Place = tuple[str, str]
"""(owner, id) of a point."""


@dataclass(slots=True)
class ModelPoint:
    """One point; `order` is its place in insertion order."""

    order: int
    vector: Vector | None
    payload: Payload
    expires_at_ms: int
    shared: frozenset[str]
    version: int


@dataclass(frozen=True, slots=True)
class Written:
    """One point of an upsert; `shared` None keeps the grants."""

    id: str
    vector: Vector | None
    payload: Payload
    expires_at_ms: int
    shared: frozenset[str] | None
    if_version: int | None = None
    if_absent: bool = False


@dataclass
class ModelCollection:
    """One collection; `members` None lets every tenant use it."""

    name: str
    metric: Metric
    sharing: Sharing
    members: set[str] | None
    points: dict[Place, ModelPoint] = field(default_factory=dict)
    n_inserted: int = 0
    sequence: int = 0

    def check_usable(self, tenant: str) -> None:
        if self.members is not None and tenant not in self.members:
            raise CollectionNotFound

    def check_sharing(self, role: Role, to: frozenset[str], tenants: Sequence[str]) -> None:
        """What granting to `to` is refused with; who may not grant at all learns nothing about the names."""
        if role is Role.WRITE and self.sharing is not Sharing.TENANTS:
            raise SharingForbidden
        usable = set(tenants) if self.members is None else self.members
        if to - usable - {EVERYONE}:
            raise UnknownGrantee
        if EVERYONE in to and role is not Role.ADMIN:
            raise SharingForbidden

    def live(self, place: Place, now_ms: int) -> ModelPoint | None:
        point = self.points.get(place)
        return None if point is None or 0 < point.expires_at_ms <= now_ms else point

    def visible(self, tenant: str, now_ms: int, scope: str = "visible") -> list[tuple[Place, ModelPoint]]:
        """What a tenant may see (or owns), in insertion order."""
        found = [
            (place, point)
            for place, point in self.points.items()
            if self.live(place, now_ms)
            and (place[0] == tenant or (scope == "visible" and point.shared & {tenant, EVERYONE}))
        ]
        return sorted(found, key=lambda entry: entry[1].order)

    def upsert(self, owner: str, batch: Sequence[Written], now_ms: int) -> None:
        """Raises VersionConflict, and then changes nothing."""
        olds = [self.live((owner, new.id), now_ms) for new in batch]
        for new, old in zip(batch, olds, strict=True):
            version = None if old is None else old.version
            if (new.if_absent and old is not None) or new.if_version not in (None, version):
                raise VersionConflict
        self.sequence += 1
        for new, old in zip(batch, olds, strict=True):
            if old is None:
                self.n_inserted += 1
            shared = new.shared if new.shared is not None else old.shared if old else frozenset()
            self.points[owner, new.id] = ModelPoint(
                old.order if old else self.n_inserted,
                new.vector,
                new.payload,
                new.expires_at_ms,
                shared - {owner},
                self.sequence,
            )

    def delete(self, owner: str, ids: Sequence[str], now_ms: int) -> int:
        """How many of them existed."""
        self.sequence += 1
        n_live = sum(self.live((owner, point_id), now_ms) is not None for point_id in ids)
        for point_id in ids:
            self.points.pop((owner, point_id), None)
        return n_live

    def delete_where(self, owner: str, matches: Matches) -> None:
        """As a job does: what it finds, live or not."""
        for place, point in list(self.points.items()):
            if place[0] == owner and matches(point.payload):
                del self.points[place]

    def merge(self, owner: str, ids: Sequence[str], patch: Payload, mode: str, now_ms: int) -> None:
        """Raises PointNotFound, and then changes nothing."""
        points = self._all(owner, ids, now_ms)
        self.sequence += 1
        for point in points:
            merged = {**point.payload, **patch} if mode == "merge" else patch
            point.payload = {name: value for name, value in merged.items() if mode == "replace" or value is not None}
            point.version = self.sequence

    def grant(self, owner: str, ids: Sequence[str], to: frozenset[str], now_ms: int) -> None:
        """Raises PointNotFound, and then changes nothing."""
        points = self._all(owner, ids, now_ms)
        self.sequence += 1
        for point in points:
            point.shared = (point.shared | to) - {owner}

    def revoke(self, owner: str, ids: Sequence[str], to: frozenset[str], now_ms: int) -> None:
        self.sequence += 1
        for point_id in ids:
            point = self.live((owner, point_id), now_ms)
            if point is not None:
                point.shared -= to

    def forget_tenant(self, tenant: str) -> None:
        """Its points, the grants to it, its membership."""
        self.points = {place: point for place, point in self.points.items() if place[0] != tenant}
        for point in self.points.values():
            point.shared -= {tenant}
        if self.members is not None:
            self.members.discard(tenant)

    def _all(self, owner: str, ids: Sequence[str], now_ms: int) -> list[ModelPoint]:
        points = [self.live((owner, point_id), now_ms) for point_id in ids]
        if None in points:
            raise PointNotFound
        return [point for point in points if point is not None]


def distances(metric: Metric, query: Vector, vectors: Sequence[Vector]) -> NDArray[np.float64]:
    """The distances a search must answer, in float64."""
    rows = np.array(vectors, np.float64).reshape(len(vectors), len(query))
    one = np.array(query, np.float64)
    if metric is Metric.L2:
        squares: NDArray[np.float64] = ((rows - one) ** 2).sum(axis=1)
        return np.sqrt(squares)
    products: NDArray[np.float64] = rows @ one
    if metric is Metric.IP:
        return -products
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    cosines: NDArray[np.float64] = np.divide(products, norms, out=np.zeros(len(rows)), where=norms > 0)
    return 1.0 - cosines
