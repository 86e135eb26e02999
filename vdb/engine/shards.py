"""Open shards: opened on first use, pinned while used, the least recently used closed when too many are open."""

from collections.abc import Callable
from typing import Any

from vdb.engine.opened import Pool
from vdb.engine.shard import Shard
from vdb.errors import CollectionNotFound, QueueFull
from vdb.storage.catalog import CollectionDocument


class Shards(Pool[CollectionDocument, Shard]):
    """The open shards of a server. Thread-safe; `close` closes all of them."""

    def __init__(self, open_shard: Callable[[CollectionDocument], Shard], max_open: int) -> None:
        super().__init__(open_shard, max_open, lambda: CollectionNotFound("no such collection"))

    def submit(self, shard: Shard, *ticket: Any, adds_rows: bool = False, **options: Any) -> Any:
        """As any write. `adds_rows`: the index is to take rows of it, so that it raises QueueFull too where those
        before it wait to be laid out."""
        if adds_rows and shard.index.is_full:
            self.release(shard)
            raise QueueFull("too many points wait to be written to lists on disk", retry_after_s=1.0)
        return super().submit(shard, *ticket, **options)
