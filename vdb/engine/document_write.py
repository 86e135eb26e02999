"""A document inside a commit: chunks that are stale go, the others are put, all by one write or none.

What is stored was looked at before, to see what is unchanged; where it has changed since, nothing is written.
"""

from dataclasses import dataclass

from vdb.engine.document_payloads import NO_HEAD, Head, head_of
from vdb.engine.edit import Removal
from vdb.engine.point_write import PointWrite
from vdb.engine.shard import ShardGroup, epoch_ms
from vdb.errors import VersionConflict
from vdb.protocol.answers import Written
from vdb.storage.chunk_ids import find_chunks
from vdb.storage.codec import Record
from vdb.storage.env import Transaction
from vdb.storage.points import read_record, read_records


class ChangedMeanwhile(VersionConflict):
    """Somebody else has written the document between the look at it and the commit."""

    code = VersionConflict.code


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is of a document at one moment: number → pid of its chunks, and the first one's record."""

    pids: dict[int, int]
    first: Record | None
    head: Head

    @property
    def is_whole(self) -> bool:
        """Whether it has the chunks that its first one speaks of, and no other."""
        return len(self.pids) == self.head.n_chunks and max(self.pids, default=-1) == self.head.n_chunks - 1

    def is_live(self, now_ms: int) -> bool:
        """Whether there is a document, which has not expired."""
        return self.first is not None and not self.first.is_expired(now_ms)


NOTHING_STORED = Stored({}, None, NO_HEAD)


def read_stored(txn: Transaction, owner: int | None, document: bytes) -> Stored:
    """What is stored of an owner's document; an owner None has none."""
    pids = find_chunks(txn, owner, document) if owner is not None else {}
    if not pids or owner is None:
        return NOTHING_STORED
    first = read_record(txn, owner, pids[0]) if 0 in pids else None
    return Stored(pids, first, NO_HEAD if first is None else head_of(first, document.decode()))


@dataclass(slots=True)
class DocumentWrite:
    """Puts the chunks of `points`, and removes those numbered `n_chunks` and up."""

    points: PointWrite
    document: bytes
    n_chunks: int
    seen: Stored

    def apply(self, group: ShardGroup) -> Written:
        """Raises ChangedMeanwhile, and what `PointWrite.apply` raises; then nothing of it is written."""
        owner, pids, first = self.points.owner, self.seen.pids, self.seen.first
        if find_chunks(group.txn, owner, self.document) != pids:
            raise ChangedMeanwhile("the document was changed by another write")
        if first is not None:
            now = read_record(group.txn, owner, pids[0])
            if now is None or (now.version, now.shared) != (first.version, first.shared):
                raise ChangedMeanwhile("the document was changed by another write")
        return self.points.apply(group, [pid for number, pid in pids.items() if number >= self.n_chunks])


@dataclass(frozen=True, slots=True)
class Removed:
    """What removing a document came to."""

    sequence: int
    was_there: bool
    n_chunks: int


@dataclass(slots=True)
class DocumentRemoval:
    """Removes all chunks of one document."""

    owner: int
    dimension: int
    document: bytes

    def apply(self, group: ShardGroup) -> Removed:
        pids = list(find_chunks(group.txn, self.owner, self.document).values())
        sequence = group.next_sequence()
        removal, now_ms, n_live = Removal(self.owner, self.dimension), epoch_ms(), 0
        for pid, record in zip(pids, read_records(group.txn, [(self.owner, pid) for pid in pids]), strict=True):
            if record is not None:
                removal.remove(group, pid, record)
                n_live += not record.is_expired(now_ms)
        removal.finish(group, sequence)
        return Removed(sequence, n_live > 0, n_live)
