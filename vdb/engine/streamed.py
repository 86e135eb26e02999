"""Candidates for a search, exactly, of vectors that are read from the store a block at a time and not kept.

For collections whose vectors are not to be in memory (tier `disk`): every row that the caller may see is compared, its
own, those granted to it, those of everyone, and the same is found as by `vdb.engine.nearest.FlatNearest`. A filter is
tested while records are read. A search holds some MiB, however large the reading is, and reads all of it each time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from vdb.engine.acceleration.offload import Offload
from vdb.engine.filters import Filter
from vdb.engine.matching import Matches
from vdb.engine.nearest import Place
from vdb.engine.row_sets import row_set_of
from vdb.engine.services import Services
from vdb.engine.shard import Snapshot
from vdb.engine.trust import is_sound
from vdb.errors import CorruptData
from vdb.index.base import Hits
from vdb.index.flat import FlatSegment, FlatState
from vdb.storage.catalog import CollectionDocument
from vdb.storage.codec import decode_record
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.points import (
    LAST_PID,
    count_grants,
    find_granted,
    iterate_grants,
    iterate_vectored,
    read_usage,
    read_vectored,
)

BLOCK_BYTES = 8 << 20
"""Vectors searched at a time, ..."""
BLOCK_ROWS = 16_384
"""... and no more rows than that."""
LOOKED_UP = 256
"""Records looked up at a time, where they do not lie one after the other."""
SPARSE = 8
"""Points that a filter leaves are looked up one by one where the owner has this many times as many."""

Stored = Iterator[tuple[int, int, bytes, bytes]]
"""(pid, owner, encoded record, vector bytes), pids ascending."""


@dataclass(slots=True)
class _Block:
    """Rows that are searched together."""

    pids: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    expiries: list[int] = field(default_factory=list)
    vectors: list[bytes] = field(default_factory=list)

    def add(self, pid: int, owner: int, expires_at_ms: int, vector: bytes) -> None:
        self.pids.append(pid)
        self.owners.append(owner)
        self.expiries.append(expires_at_ms)
        self.vectors.append(vector)

    def segment(self, collection: CollectionDocument, sequence: int) -> FlatSegment:
        """The rows as a segment. Their vectors are in it and no longer here: there is one copy."""
        n, dimension = len(self.pids), collection.dimension
        joined = b"".join(self.vectors)
        self.vectors.clear()
        return FlatSegment.bulk(
            dimension,
            collection.metric,
            np.array(self.pids, np.uint32),
            np.array(self.owners, np.uint32),
            np.full(n, sequence, np.int64),
            np.array(self.expiries, np.int64),
            np.frombuffer(joined, "<f4").reshape(n, dimension),
            sequence,
        )


@dataclass(slots=True)
class StreamedNearest:
    """One search: `allowed` are the pids that payload indexes leave of the filter, `matches` tests the rest of it."""

    collection: CollectionDocument
    tenant: int
    snapshot: Snapshot
    matches: Matches | None
    allowed: BitMap | None
    scan_us: float = 0.0
    offload: Offload = field(default_factory=Offload)
    _n_rows: int | None = None
    _n_read: int | None = None
    _n_seen: int = 0

    @property
    def n_rows(self) -> int:
        """By counters: points without a vector that were granted count too, and what is both granted and everyone's."""
        if self._n_rows is None:
            txn = self.snapshot.txn
            granted = sum(count_grants(txn, grantee, LAST_PID) for grantee in (self.tenant, EVERYONE_ID))
            self._n_rows = read_usage(txn, self.tenant).vectors + granted
        return self._n_rows

    @property
    def n_seen(self) -> int:
        """As a search has counted them; where payload indexes left some out unread, all that are stored."""
        if self._n_read is not None and self.allowed is None:
            return self._n_seen
        txn, tenant, others = self.snapshot.txn, self.tenant, BitMap()
        for grantee in (tenant, EVERYONE_ID):
            others.update(pid for pid, owner in iterate_grants(txn, grantee) if owner != tenant)
        return read_usage(txn, tenant).vectors + len(others)

    @property
    def n_allowed(self) -> int:
        """As a search has counted them, before one as many as there may be."""
        if self._n_read is not None:
            return self._n_read
        return self.n_rows if self.allowed is None else min(self.n_rows, len(self.allowed))

    @property
    def is_by_index(self) -> bool:
        return self.allowed is not None

    @property
    def is_indexed(self) -> bool:
        return False

    @property
    def is_filtered(self) -> bool:
        return self.matches is not None or self.allowed is not None

    def nearest(self, queries: NDArray[np.float32], k: int) -> list[list[Place]]:
        began = time.perf_counter()
        sequence, now_ms = self.snapshot.sequence, self.snapshot.now_ms
        best = _Best(len(queries), k)
        self._n_read = self._n_seen = 0
        for audience in (self._own(), self._granted(), self._everyones()):
            for block in self._blocks(audience):
                segment = block.segment(self.collection, sequence)
                state = segment.state
                best.add(state, segment.search(state, queries, min(k, state.n_rows), sequence, now_ms))
                time.sleep(0)  # gives the interpreter to whoever waits for it
        self.scan_us += (time.perf_counter() - began) * 1e6
        return best.places()

    def distances_of(
        self, query: NDArray[np.float32], pids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        return None

    def explain(self) -> dict[str, Any]:
        return {"path": "exact", "streamed": True}

    # What the store holds of the reading, each point once

    def _own(self) -> Stored:
        txn, tenant, allowed = self.snapshot.txn, self.tenant, self.allowed
        if allowed is not None and SPARSE * len(allowed) < read_usage(txn, tenant).vectors:
            yield from self._looked_up((pid, tenant) for pid in allowed)
            return
        for pid, value, vector in iterate_vectored(txn, tenant):
            if allowed is None or pid in allowed:
                yield pid, tenant, value, vector

    def _granted(self) -> Stored:
        yield from self._looked_up(self._grants(self.tenant))

    def _everyones(self) -> Stored:
        """Without those that the tenant owns, or was granted too."""
        txn, tenant = self.snapshot.txn, self.tenant
        others = ((pid, owner) for pid, owner in self._grants(EVERYONE_ID) if owner != tenant)
        while chunk := list(islice(others, LOOKED_UP)):
            twice = find_granted(txn, tenant, [pid for pid, _ in chunk])
            yield from self._looked_up((pid, owner) for pid, owner in chunk if pid not in twice)

    def _grants(self, grantee: int) -> Iterator[tuple[int, int]]:
        allowed = self.allowed
        granted = iterate_grants(self.snapshot.txn, grantee)
        return granted if allowed is None else (pair for pair in granted if pair[0] in allowed)

    def _looked_up(self, points: Iterator[tuple[int, int]]) -> Stored:
        while chunk := list(islice(points, LOOKED_UP)):
            yield from read_vectored(self.snapshot.txn, chunk)

    def _blocks(self, audience: Stored) -> Iterator[_Block]:
        """Rows that are alive, sound and match, in blocks of bounded size."""
        n_most = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * self.collection.dimension)))
        block, n_read = _Block(), self._n_read or 0
        for pid, owner, value, vector in audience:
            n_read += 1
            expires_at_ms = self._expiry(pid, value, vector)
            if expires_at_ms is not None:
                block.add(pid, owner, expires_at_ms, vector)
            if len(block.pids) == n_most:
                yield block
                block = _Block()
        self._n_read = n_read
        if block.pids:
            yield block

    def _expiry(self, pid: int, value: bytes, vector: bytes) -> int | None:
        """The expiry of a row that is searched, None for one that is not.

        One with a damaged record is: the search that would answer with it fails, the others do not.
        """
        try:
            record = decode_record(value)
        except CorruptData:
            return 0 if len(vector) == 4 * self.collection.dimension else None
        if record.is_expired(self.snapshot.now_ms):
            return None
        self._n_seen += 1
        if self.matches is not None and not self.matches(record.payload):
            return None
        return record.expires_at_ms if is_sound(record, vector, pid) else None


def streamed(
    services: Services,
    collection: CollectionDocument,
    tenant: int,
    snapshot: Snapshot,
    parsed: Filter | None,
    matches: Matches | None,
) -> StreamedNearest:
    """A search of all that a tenant may see at a snapshot; `matches` tests what `parsed` says."""
    rows = row_set_of(services, collection, snapshot, parsed)
    if rows is None:
        return StreamedNearest(collection, tenant, snapshot, matches, None)
    return StreamedNearest(collection, tenant, snapshot, None if rows.is_exact else matches, rows.pids)


class _Best:
    """The k nearest so far of each query, ascending by (distance, pid); owner 0, which nobody is, behind fewer."""

    def __init__(self, n_queries: int, k: int) -> None:
        self._k = k
        self._distance = np.zeros((n_queries, 0), np.float32)
        self._pid = np.zeros((n_queries, 0), np.uint32)
        self._owner = np.zeros((n_queries, 0), np.uint32)

    def add(self, state: FlatState, found: Hits) -> None:
        """Hits in rows of a state, none of which was there before."""
        distance = np.concatenate([self._distance, found.distance], axis=1)
        pid = np.concatenate([self._pid, state.pids[found.row]], axis=1)
        owner = np.concatenate([self._owner, np.where(found.row >= 0, state.owners[found.row], 0)], axis=1)
        order = np.lexsort((pid, distance), axis=1)[:, : self._k]
        self._distance, self._pid, self._owner = (
            np.take_along_axis(column, order, axis=1) for column in (distance, pid, owner.astype(np.uint32))
        )

    def places(self) -> list[list[Place]]:
        n_found = np.count_nonzero(self._owner, axis=1)
        rows = zip(self._distance, self._pid, self._owner, n_found.tolist(), strict=True)
        return [
            list(zip(distance[:n].tolist(), pid[:n].tolist(), owner[:n].tolist(), strict=True))
            for distance, pid, owner, n in rows
        ]
