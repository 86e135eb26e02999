"""The store's side of an index on disk: an id that it shares with the saved layout, and its log of changes from there.

Sequences alone do not tell whether an index is of a collection's past: a store that was put back to an older state by
hand and written to since has reached the sequence of a layout that was saved before. The store learns the random id of
a layout in a commit before it is saved, and keeps that of the one which is replaced, so that whichever of the two a
crash leaves is known.
"""

import secrets
from collections.abc import Callable
from typing import Any

from vdb.engine.commit import CommitQueue
from vdb.errors import CorruptData
from vdb.storage.changes import drop_changes
from vdb.storage.env import Transaction
from vdb.storage.keyspace import META_INDEX_EPOCH, META_INDEX_EPOCH_BEFORE
from vdb.storage.meta import read_number, write_number

NONE = 0
"""No layout has this id."""
DROP_STEP = 10_000


class IndexSaves:
    """Of one collection. Used by whoever works on its index."""

    def __init__(self, queue: CommitQueue[Any]) -> None:
        self._queue = queue
        self._on_disk = NONE

    def check(self, txn: Transaction, epoch: int) -> None:
        """The layout that was read has this id; raises CorruptData where the store does not know it."""
        known = {read_number(txn, META_INDEX_EPOCH), read_number(txn, META_INDEX_EPOCH_BEFORE)} - {NONE}
        if epoch not in known:
            raise CorruptData("the index is not of this collection's past: one of them was put back")
        self._on_disk = epoch

    def save(self, write: Callable[[int], None]) -> None:
        """Have `write` save a layout under a new id. Raises what a commit and `write` raise."""
        before, epoch = self._on_disk, 1 + secrets.randbits(62)

        def learn(group: Any) -> None:
            write_number(group.txn, META_INDEX_EPOCH, epoch)
            write_number(group.txn, META_INDEX_EPOCH_BEFORE, before)

        self._queue.submit(learn, 0, frees_space=True).result()
        write(epoch)
        self._on_disk = epoch

    def trim(self, sequence: int, is_cancelled: Callable[[], bool]) -> None:
        """Remove from the log what the files hold, in small writes."""
        n_dropped = DROP_STEP
        while n_dropped == DROP_STEP and not is_cancelled():
            future = self._queue.submit(lambda group: drop_changes(group.txn, sequence, DROP_STEP), 0, frees_space=True)
            n_dropped = int(future.result())
