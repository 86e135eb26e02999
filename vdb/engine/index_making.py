"""Makes a collection's index from its store and lets it answer, beside one that does or where there is none."""

from typing import TYPE_CHECKING, Any

from vdb.engine.index_kind import Check, Kind, Served
from vdb.engine.index_loading import Loader
from vdb.engine.index_saves import IndexSaves
from vdb.engine.serving import Serving
from vdb.storage.meta import read_sequence

if TYPE_CHECKING:
    from vdb.engine.shard import Shard


class Maker:
    """Of one shard. Used by the thread that works on its index."""

    def __init__(self, shard: "Shard", serving: Serving, saves: IndexSaves, loader: Loader) -> None:
        self._shard = shard
        self._serving = serving
        self._saves = saves
        self._loader = loader

    def make(self, kind: Kind[Any], check: Check) -> tuple[Served, int]:
        """An index of a kind, saved, which answers now, and the sequence that was saved.

        Raises what `kind.build` and a commit raise, Cancelled where what answers was forgotten meanwhile.
        """
        self._shard.queue.submit(lambda group: group.keep_changes(), 0).result()
        with self._serving.gathering(self._shard.readings.published_sequence):
            with self._shard.env.read() as txn:
                since = read_sequence(txn)
            index, sequence = kind.build(self._shard.env, check)
            check()
            self.save(kind, index, sequence)
            kind.adopt()
            # Of a build that went on from an earlier one the changes before this block are in the log only.
            now = sequence if sequence >= since else self._loader.bring_up(index, sequence)
            self._serving.catch_up(index, kind, now, check)
        return index, sequence

    def save(self, kind: Kind[Any], index: Served, sequence: int) -> None:
        """Save the layout of an index that was just made, as of `sequence`; raises what `kind.save` does."""
        self._saves.save(lambda epoch: kind.save(index, sequence, epoch))
