"""Does committed changes on an index: as they are published, or as the log has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vdb.engine.index_kind import Served
from vdb.engine.readings import Change
from vdb.engine.trust import trusted_record
from vdb.errors import CorruptData
from vdb.storage.changes import LoggedChange, iterate_changes, read_changes_from
from vdb.storage.env import Transaction
from vdb.storage.keyspace import record_key
from vdb.storage.meta import read_sequence
from vdb.storage.points import read_vector


def take(index: Served, change: Change) -> None:
    """Do a committed change on an index."""
    _leave(index, change.sequence, change.kills)
    if change.puts:
        index.put(change.owner, change.pids, change.vectors, change.expires_at_ms, change.puts, change.sequence)


def _leave(index: Served, sequence: int, kills: Mapping[int, Any]) -> None:
    """Points that leave their owner are gone; others leave a grantee's reading."""
    for audience, pids in kills.items():
        numbers = np.asarray(pids, np.uint32)
        if audience > 0:
            index.kill(numbers, sequence)
        else:
            index.revoke(-audience, numbers)


def replay(index: Served, txn: Transaction, sequence: int, change: LoggedChange, dimension: int) -> None:
    """Do a logged change with the vectors as they are now; a point that is gone since is not put."""
    stored = [_sound_vector(txn, change.owner, pid) for pid in change.pids.tolist()]
    there = [i for i, vector in enumerate(stored) if vector is not None]
    vectors = np.frombuffer(b"".join(stored[i] or b"" for i in there), "<f4").reshape(len(there), dimension)
    puts: dict[int, Any] = dict(change.puts)
    if len(there) < len(stored):
        place = {position: i for i, position in enumerate(there)}
        everyone = range(len(stored))
        puts = {
            audience: [place[i] for i in (everyone if positions is None else positions) if i in place]
            for audience, positions in puts.items()
        }
    _leave(index, sequence, change.kills)
    if there:
        index.put(change.owner, change.pids[there], vectors, change.expires_at_ms[there], puts, sequence)


def replay_all(index: Served, txn: Transaction, since: int, dimension: int) -> int:
    """Do all that was committed since the sequence of an index, and return the newest; raises CorruptData where the log
    does not go back that far, and for an index that is ahead of its collection."""
    changes_from, now = read_changes_from(txn), read_sequence(txn)
    if changes_from is None or changes_from > since + 1:
        raise CorruptData("the log of changes does not go back to when the index was written")
    if since > now:
        raise CorruptData("the index is newer than the collection")
    for sequence, change in iterate_changes(txn, since):
        replay(index, txn, sequence, change, dimension)
    return now


def _sound_vector(txn: Transaction, owner: int, pid: int) -> bytes | None:
    """A point's vector; None where there is none, or it is damaged."""
    vector = read_vector(txn, owner, pid)
    value = None if vector is None else txn.get(record_key(owner, pid))
    if vector is None or value is None or trusted_record(value, vector, pid) is None:
        return None
    return vector
