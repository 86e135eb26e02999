"""Loads a collection's index from its files and brings it up to what is committed."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vdb.engine.index_kind import Check, Kind, Served
from vdb.engine.index_saves import IndexSaves
from vdb.engine.kinds import Kinds
from vdb.engine.pace import Cancelled
from vdb.engine.replay import replay_all
from vdb.engine.serving import Serving

if TYPE_CHECKING:
    from vdb.engine.shard import Shard

logger = logging.getLogger(__name__)


class Loader:
    """Of one shard. One thread at a time, not beside the one that works on the index."""

    def __init__(self, shard: "Shard", kinds: Kinds, serving: Serving, saves: IndexSaves) -> None:
        self._shard = shard
        self._kinds = kinds
        self._serving = serving
        self._saves = saves

    def load(self, check: Check, tell: Callable[[str, float, Served], None]) -> bool:
        """Load an index of the kind that is wanted, or of the other, and let it answer; whether one does.

        Where that fails, whatever it was, it is made anew: searches go on without it. `tell` is told of what loaded.
        """
        self._serving.n_missed = 0
        for kind in self._kinds.loadable:
            began = time.perf_counter()
            try:
                index = self._loaded(kind, check)
            except Cancelled:
                return False  # forgotten meanwhile: it is loaded again
            except Exception as exc:
                logger.warning("an index is made anew", exc_info=exc, extra={"environment": self._shard.env.path.name})
                self._kinds.remove(kind)
            else:
                tell("an index was loaded", began, index)
                return True
        return False

    def _loaded(self, kind: Kind[Any], check: Check) -> Served:
        with self._serving.gathering(self._shard.readings.published_sequence):
            index, sequence = self._read(kind)
            kind.loaded(index)
            self._serving.catch_up(index, kind, sequence, check)
        return index

    def _read(self, kind: Kind[Any]) -> tuple[Served, int]:
        """The index of the files, brought up to what is committed now, and that sequence."""
        index, sequence, epoch = kind.read()
        with self._shard.env.read() as txn:
            self._saves.check(txn, epoch)
        return index, self.bring_up(index, sequence)

    def bring_up(self, index: Served, sequence: int) -> int:
        """Do on an index as of `sequence` what the log has since, up to what is committed now: that sequence."""
        with self._shard.env.read() as txn:
            now = replay_all(index, txn, sequence, self._shard.collection.dimension)
        index.raise_floor(now)
        return now
