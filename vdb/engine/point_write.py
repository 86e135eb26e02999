"""Points written inside a commit: new ones in runs, the rest one by one with what is stored of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from vdb.engine.batch import Batch, Condition
from vdb.engine.owners import check_live
from vdb.engine.readings import Change
from vdb.engine.services import Services
from vdb.engine.shard import ShardGroup, epoch_ms
from vdb.errors import Problem, VersionConflict
from vdb.protocol.answers import Written
from vdb.storage.codec import NOTHING, Record, Usage, encode_record
from vdb.storage.points import find_pids, insert_plain, put_point, read_record, remove_point


@dataclass(slots=True)
class PointWrite:
    """Points that are inserted or replaced by one write of a commit."""

    services: Services
    owner: int
    batch: Batch
    grants: list[tuple[int, ...] | None] | None
    now_ms: int = 0

    def apply(self, group: ShardGroup, stale: Sequence[int] = ()) -> Written:
        """Write every point, and remove those of the owner whose pids are `stale`.

        Raises VersionConflict or QuotaExceeded, which undoes this write alone.
        """
        check_live(self.services, self.owner, {grantee for grantees in self.grants or () for grantee in grantees or ()})
        self.now_ms = epoch_ms()  # not earlier: what expired in the queue is gone, with its grants
        sequence = group.next_sequence()
        found = find_pids(group.txn, self.owner, self.batch.ids)
        if not found and not stale and self.batch.is_plain:
            self._insert_plain(group, sequence)
        else:
            _Replacement(self, group, sequence).run(found, stale)
        return Written(sequence=sequence)

    def _insert_plain(self, group: ShardGroup, sequence: int) -> None:
        """The common case: new points without expiry, grants or conditions."""
        batch = self.batch
        ids = batch.ids
        first = group.take_pids(len(ids))
        vectors = vector_bytes(batch)
        records = [
            encode_record(Record(ids[i], sequence, sequence, 0, (), batch.payloads[i], v is not None, crc32(v or b"")))
            for i, v in enumerate(vectors)
        ]
        insert_plain(group.txn, group.index_changes, self.owner, first, records, vectors, ids, batch.payloads)
        n_id_bytes, n_payload_bytes = sum(map(len, ids)), sum(map(len, batch.payloads))
        group.count(self.owner, Usage(len(ids), len(batch.vectors), n_id_bytes, n_payload_bytes))
        pids = np.arange(first, first + len(ids), dtype=np.uint32)
        if batch.rows is not None:
            pids = pids[[i for i, row in enumerate(batch.rows) if row >= 0]]
        if len(pids):
            expiries = np.zeros(len(pids), np.int64)
            puts: dict[int, list[int] | None] = {self.owner: None}
            group.tell(Change(sequence, self.owner, pids, batch.vectors, expiries, puts, inserts_only=True))


def vector_bytes(batch: Batch) -> list[bytes | None]:
    """Each point's stored vector, None where it has none."""
    raw = batch.vectors.astype("<f4", copy=False).tobytes()
    width = batch.vectors.shape[1] * 4
    rows = range(len(batch.ids)) if batch.rows is None else batch.rows
    return [raw[row * width : (row + 1) * width] if row >= 0 else None for row in rows]


class _Replacement:
    """The general case: point by point, with what is already stored."""

    def __init__(self, write: PointWrite, group: ShardGroup, sequence: int) -> None:
        self.write = write
        self.group = group
        self.sequence = sequence
        self.positions: list[int] = []
        self.pids: list[int] = []
        self.puts: dict[int, list[int] | None] = {}
        self.kills: dict[int, list[int]] = {}
        self.added = NOTHING

    def run(self, found: dict[bytes, int], stale: Sequence[int]) -> None:
        batch = self.write.batch
        for pid in stale:
            old = read_record(self.group.txn, self.write.owner, pid)
            if old is not None:
                self._remove(pid, old)
        vectors = vector_bytes(batch)
        for i, point_id in enumerate(batch.ids):
            self._write_point(i, point_id, found.get(point_id), vectors[i])
        self.group.count(self.write.owner, self.added)
        self._tell()

    def _write_point(self, i: int, point_id: bytes, pid: int | None, vector: bytes | None) -> None:
        old = self._stored(pid)
        self._check(i, old)
        if pid is None or old is None:
            pid = self.group.take_pids(1)
        new = self._record(i, point_id, old, vector)
        put_point(self.group.txn, self.group.index_changes, self.write.owner, pid, old, new, vector)
        self.added = self.added.plus(new.usage)
        if old is not None:
            self.added = self.added.minus(old.usage)
        self._note(i, pid, old, new)

    def _stored(self, pid: int | None) -> Record | None:
        """What is stored of a point; an expired one is removed first, with its grants: it does not exist any more."""
        if pid is None:
            return None
        old = read_record(self.group.txn, self.write.owner, pid)
        if old is None or not old.is_expired(self.write.now_ms):
            return old
        self._remove(pid, old)
        return None

    def _check(self, i: int, old: Record | None) -> None:
        conditions = self.write.batch.conditions
        if conditions is None or conditions[i] == Condition():
            return
        condition = conditions[i]
        wanted, stored = condition.if_version, old.version if old else None
        if (condition.if_absent and old is not None) or (wanted is not None and wanted != stored):
            field = "if_absent" if condition.if_absent else "if_version"
            detail = "the point exists" if condition.if_absent else "the point has another version, or does not exist"
            raise VersionConflict(detail, problems=(Problem(self.write.batch.pointer(i, field), detail),))

    def _record(self, i: int, point_id: bytes, old: Record | None, vector: bytes | None) -> Record:
        write, batch = self.write, self.write.batch
        given = write.grants[i] if write.grants is not None else None
        shared = given if given is not None else (old.shared if old else ())
        expires_at_ms = batch.expires_at_ms[i] if batch.expires_at_ms is not None else 0
        has_vector = vector is not None
        return Record(
            point_id, self.sequence, self.sequence, expires_at_ms, shared, batch.payloads[i], has_vector,
            crc32(vector or b""),
        )  # fmt: skip

    def _note(self, i: int, pid: int, old: Record | None, new: Record) -> None:
        """Collect what RAM must learn of this point."""
        if old is not None and old.has_vector:
            gone = set(old.shared) - set(new.shared) if new.has_vector else set(old.shared)
            for grantee in gone:
                self.kills.setdefault(-grantee, []).append(pid)
            if not new.has_vector:
                self.kills.setdefault(self.write.owner, []).append(pid)
        if new.has_vector:
            position = len(self.positions)
            self.positions.append(i)
            self.pids.append(pid)
            for audience in (self.write.owner, *(-grantee for grantee in new.shared)):
                places = self.puts.setdefault(audience, [])
                if places is not None:
                    places.append(position)

    def _remove(self, pid: int, old: Record) -> None:
        remove_point(self.group.txn, self.group.index_changes, self.write.owner, pid, old)
        self.added = self.added.minus(old.usage)
        for audience in (self.write.owner, *(-grantee for grantee in old.shared)):
            self.kills.setdefault(audience, []).append(pid)

    def _tell(self) -> None:
        batch = self.write.batch
        rows = self.positions if batch.rows is None else [batch.rows[i] for i in self.positions]
        expiries = [0] * len(rows) if batch.expires_at_ms is None else [batch.expires_at_ms[i] for i in self.positions]
        change: Any = Change(
            self.sequence,
            self.write.owner,
            np.array(self.pids, np.uint32),
            batch.vectors[rows],
            np.array(expiries, np.int64),
            self.puts,
            self.kills,
        )
        self.group.tell(change)
