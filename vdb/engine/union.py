"""The candidates of both legs of one query, each scored by both: what a leg did not find itself is looked up.

A point that one leg missed has a score there all the same: zero instead of it would punish points for a leg's depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdb.engine.nearest import Listed, Nearest
from vdb.engine.shard import Snapshot
from vdb.rag.fuse import Candidates
from vdb.storage.env import Transaction
from vdb.storage.keyspace import EVERYONE_ID, Space
from vdb.storage.points import find_granted, has_any, read_vectors
from vdb.types import Metric

Float64s = NDArray[np.float64]


@dataclass(slots=True)
class Union:
    """n candidates: `pids` and `owners` (n,), `distance` (n,) nan where there is none, `sparse` (n,) BM25, and the rank
    in each leg, from 1, 0 where the leg did not list it."""

    pids: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    distance: Float64s
    sparse: Float64s
    dense_rank: NDArray[np.int32]
    sparse_rank: NDArray[np.int32]
    sparse_bound: float = 0.0
    """The most that the sparse leg could score for the query."""
    looked_up: dict[int, bytes] = field(default_factory=dict)
    """pid → vector of candidates whose distance was looked up: nobody has seen yet whether it is sound."""

    def __len__(self) -> int:
        return len(self.pids)

    @property
    def candidates(self) -> Candidates:
        """What a fusion reads of them."""
        return Candidates(-self.distance, self.sparse, self.dense_rank, self.sparse_rank, self.sparse_bound)

    def without(self, gone: NDArray[np.bool_]) -> "Union":
        """Those that are not `gone` (n,), ranks closed up: what may not be seen leaves no gap."""
        kept = ~gone
        return Union(
            self.pids[kept],
            self.owners[kept],
            self.distance[kept],
            self.sparse[kept],
            _closed_up(self.dense_rank[kept]),
            _closed_up(self.sparse_rank[kept]),
            self.sparse_bound,
            self.looked_up,
        )


class Words(NamedTuple):
    """What the words' leg lists, best first: `pids` and `owners` uint32 (n,), `scores` float64 (n,)."""

    pids: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    scores: Float64s


NO_WORDS = Words(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0))


def union_of(dense: Listed, sparse: Words) -> Union:
    """The candidates of both legs' lists, best first. What a list does not hold is nan, and for `sparse` 0."""
    n_dense, n_sparse = len(dense.pids), len(sparse.pids)
    place_of = dict(zip(dense.pids.tolist(), range(n_dense), strict=True))
    at = np.array([place_of.setdefault(pid, len(place_of)) for pid in sparse.pids.tolist()], np.int64)
    n = len(place_of)
    pids, owners = np.empty(n, np.uint32), np.empty(n, np.uint32)
    distance, score = np.empty(n), np.zeros(n)
    dense_rank, sparse_rank = np.zeros(n, np.int32), np.zeros(n, np.int32)
    pids[at], owners[at], score[at] = sparse
    distance[:n_dense], pids[:n_dense], owners[:n_dense] = dense
    distance[n_dense:] = np.nan
    dense_rank[:n_dense] = np.arange(1, n_dense + 1)
    sparse_rank[at] = np.arange(1, n_sparse + 1)
    return Union(pids, owners, distance, score, dense_rank, sparse_rank)


def grantees_of(txn: Transaction, tenant_id: int) -> tuple[int, ...]:
    """Of everyone and the tenant, those that points are granted to."""
    return tuple(grantee for grantee in (EVERYONE_ID, tenant_id) if has_any(txn, Space.GRANT, grantee))


def owners_of(
    txn: Transaction, tenant_id: int, pids: NDArray[np.uint32], grantees: tuple[int, ...]
) -> NDArray[np.uint32]:
    """Whose each point is (n,) uint32, of points that the tenant may see: its own, unless it was granted to one of the
    `grantees`, see `grantees_of`."""
    owners = np.full(len(pids), tenant_id, np.uint32)
    for grantee in grantees:
        granted = find_granted(txn, grantee, pids.tolist())
        for i, pid in enumerate(pids.tolist()):
            owners[i] = granted.get(pid, owners[i])
    return owners


def stored_vectors(
    txn: Transaction, owners: NDArray[np.uint32], pids: NDArray[np.uint32], dimension: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors (n, d) of points, and which of them (n,) have one; rows of the others are zero."""
    return joined(read_vectors(txn, list(zip(owners.tolist(), pids.tolist(), strict=True))), dimension)


def joined(found: Sequence[bytes | None], dimension: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored vectors as a matrix (n, d), and which of them (n,) are there; rows of the others are zero."""
    n_bytes = 4 * dimension
    has = np.array([value is not None and len(value) == n_bytes for value in found], np.bool_)
    nothing = bytes(n_bytes)
    block = b"".join([value if there and value else nothing for value, there in zip(found, has, strict=True)])
    return np.frombuffer(block, "<f4").reshape(len(found), dimension), has


def distances(query: NDArray[np.float32], vectors: NDArray[np.float32], metric: Metric) -> Float64s:
    """The distance (n,) of `query` (d,) to each row of `vectors` (n, d), as a search by the vector states it."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = _distances(query, vectors, metric)
        if np.isfinite(found).all():
            return found.astype(np.float64)
    return _distances(query.astype(np.float64), vectors.astype(np.float64), metric)  # squares beyond float32


def _distances(query: NDArray[Any], rows: NDArray[Any], metric: Metric) -> NDArray[Any]:
    if metric is Metric.L2:
        difference = rows - query
        squared: NDArray[Any] = np.einsum("ij,ij->i", difference, difference)
        root: NDArray[Any] = np.sqrt(squared)
        return root
    dots: NDArray[Any] = rows @ query
    if metric is Metric.IP:
        return -dots
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows) * (query @ query))
    cosine: NDArray[Any] = np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)
    clipped: NDArray[Any] = np.clip(1.0 - cosine, 0.0, 2.0)
    return clipped


def complete(union: Union, snapshot: Snapshot, source: Nearest, query: NDArray[np.float32], metric: Metric) -> None:
    """Fill in the distances of candidates that the dense leg did not list: by vectors at hand, else by stored ones."""
    missing = np.isnan(union.distance).nonzero()[0]
    if not len(missing):
        return
    at_hand = source.distances_of(query, union.pids[missing])
    if at_hand is not None:
        found, has = at_hand
        if has.all():
            union.distance[missing] = found
            return
        union.distance[missing[has]] = found[has]
        missing = missing[~has]
    owners, pids = union.owners[missing].tolist(), union.pids[missing].tolist()
    stored = read_vectors(snapshot.txn, list(zip(owners, pids, strict=True)))
    vectors, has = joined(stored, len(query))
    union.distance[missing[has]] = distances(query, vectors[has], metric)
    union.looked_up.update((pid, value) for pid, value in zip(pids, stored, strict=True) if value is not None)


def _closed_up(ranks: NDArray[np.int32]) -> NDArray[np.int32]:
    listed = np.flatnonzero(ranks)
    closed = np.zeros_like(ranks)
    closed[listed[np.argsort(ranks[listed], kind="stable")]] = np.arange(1, len(listed) + 1)
    return closed
