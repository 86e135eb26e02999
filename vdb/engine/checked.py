"""Candidates of a search, held against their records: only what exists, is visible and matches in the snapshot passes.

With a filter the nearest candidates, of those that the payload indexes leave, are tested in growing rounds until enough
match, or all were tested: a filter never returns fewer than min(limit, matches).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdb.engine.matching import Matches
from vdb.engine.nearest import Nearest, Place
from vdb.engine.owners import is_visible
from vdb.engine.shard import Snapshot
from vdb.storage.codec import Record
from vdb.storage.env import Transaction
from vdb.storage.points import read_records

WIDENING = 8
FIRST_ROUND = 64
CHUNK = 256
"""Records read at a time."""


class Accepted(NamedTuple):
    """A candidate that passed: its distance, where it is stored, its record."""

    distance: float
    pid: int
    owner: int
    record: Record


@dataclass(slots=True)
class Checker:
    """Tests the candidates of one request in one snapshot."""

    tenant_id: int
    matches: Matches | None
    snapshot: Snapshot
    max_distance: float | None = None
    n_tested: int = 0
    recheck_us: float = 0.0
    records: dict[tuple[int, int], Record | None] = field(default_factory=dict)

    def nearest(self, source: Nearest, queries: NDArray[np.float32], limit: int) -> list[list[Accepted]]:
        """The `limit` nearest of each query (q, d) that pass, nearest first."""
        if self.matches is not None and not source.is_filtered:
            return [self._filtered(source, queries[i : i + 1], limit) for i in range(len(queries))]
        found = source.nearest(queries, limit)
        return [self._unfiltered(source, queries[i : i + 1], places, limit) for i, places in enumerate(found)]

    def _unfiltered(
        self, source: Nearest, query: NDArray[np.float32], found: list[Place], limit: int
    ) -> list[Accepted]:
        """The index shows what was granted since the snapshot, and what expired this second: others take its place."""
        accepted, is_cut = self.accepted(found, limit)
        if is_cut or len(accepted) == len(found) or len(found) < limit:
            return accepted
        return self._filtered(source, query, limit)

    def _filtered(self, source: Nearest, query: NDArray[np.float32], limit: int) -> list[Accepted]:
        """Test the nearest candidates in growing rounds; what was tested once is remembered."""
        n_rows = source.n_allowed
        k = limit if source.is_filtered else max(FIRST_ROUND, WIDENING * limit)
        while True:
            found = source.nearest(query, min(k, n_rows))[0]
            accepted, is_cut = self.accepted(found, limit)
            if len(accepted) >= limit or is_cut or k >= n_rows or len(found) < k:
                return accepted
            k *= WIDENING

    def accepted(self, found: Sequence[Place], limit: int) -> tuple[list[Accepted], bool]:
        """Those of `found`, in its order and at most `limit`, that pass; and whether max_distance ended them."""
        passed: list[Accepted] = []
        max_distance = self.max_distance
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            for (distance, pid, owner), record in zip(chunk, self.read(chunk), strict=True):
                if max_distance is not None and distance > max_distance:
                    return passed, True
                if record is not None:
                    passed.append(Accepted(distance, pid, owner, record))
                    if len(passed) == limit:
                        return passed, False
        return passed, False

    def read(self, found: Sequence[Place]) -> list[Record | None]:
        """The records of what may be hits; remembered only where a filter may ask again."""
        began = time.perf_counter()
        keys = [(owner, pid) for _, pid, owner in found]
        if self.matches is None:
            records = self._read(keys)
        else:
            new = [key for key in keys if key not in self.records]
            self.n_tested += len(new)
            for key, record in zip(new, self._read(new), strict=True):
                self.records[key] = record if record is not None and self.matches(record.payload) else None
            records = [self.records[key] for key in keys]
        self.recheck_us += (time.perf_counter() - began) * 1e6
        return records

    def _read(self, keys: list[tuple[int, int]]) -> list[Record | None]:
        return visible_records(self.snapshot.txn, keys, self.tenant_id, self.snapshot.now_ms)


def visible_records(
    txn: Transaction, keys: Sequence[tuple[int, int]], tenant_id: int, now_ms: int
) -> list[Record | None]:
    """The records, by (owner, pid), that exist and that a tenant may see; None for the others."""
    records = read_records(txn, keys)
    for i, record in enumerate(records):
        if record is not None:
            owner = keys[i][0]
            # Most are the tenant's own and never expire: no call for those.
            is_plain = owner == tenant_id and not record.expires_at_ms
            if not is_plain and not is_visible(record, owner, tenant_id, now_ms):
                records[i] = None
    return records
