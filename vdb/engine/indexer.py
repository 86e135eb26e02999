"""The thread that makes indexes and lays them out anew, one collection at a time."""

import logging
import threading

from vdb.engine.free_memory import release_free_memory
from vdb.engine.services import Services
from vdb.errors import CollectionNotFound, VdbError

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""How often open collections are looked at; a look is a few microseconds each."""


class Indexer:
    """`start` once; `stop` waits for the step in hand, which gives up soon."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vdb-indexer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """`services.is_stopping` is set by now."""
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        stopping = self._services.is_stopping
        while not stopping.is_set():
            self._wake.wait(INTERVAL_S)
            self._wake.clear()
            for collection_id in [shard.collection.id for shard in self._services.shards.open_shards()]:
                if stopping.is_set():
                    return
                self._look(collection_id)

    def _look(self, collection_id: int) -> None:
        collection = self._services.catalog.collection_by_id(collection_id)
        if collection is None:
            return
        try:
            with self._services.shards.use(collection, counts_as_use=False) as shard:
                if shard.index.work():
                    shard.count_index()
                    release_free_memory()
        except CollectionNotFound:
            return
        except Exception as exc:  # the next collection's index must be made all the same
            level = logging.WARNING if isinstance(exc, VdbError) else logging.ERROR
            logger.log(level, "an index was not made", exc_info=exc, extra={"collection": collection_id})
