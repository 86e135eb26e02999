"""Ours among databases in process: `vdb.open`, each point durable, searches of one tenant checked against the store.

Settings are recall targets, as callers give them; what is found then is what the row says. Queries are not recorded.
A restart does not wait for compiled kernels: until they are loaded NumPy answers, as on a server.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vdb
from bench.race.peers.contender import Float32s, Rows
from bench.race.peers.serving import serve
from bench.race.peers.stored import Stored, payload
from vdb.kernels import warm
from vdb.protocol.statistics import VectorIndex

__all__ = ["OursDatabase"]

_BATCH_ROWS = 1_000
_COLLECTION, _TENANT = "points", "race"
_SETTINGS: dict[str, Any] = {"record_queries": False, "index_from_points": 1_000}
_LEAST_TUNED = 5_000
"""Points from which an encoding is chosen by measurement and recall is measured."""
_BUILD_S, _POLL_S = 3_600.0, 0.05


class OursDatabase(Stored):
    """Settings: the recall asked for."""

    settings: Sequence[str] = [f"recall {target}" for target in (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)]

    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        warm(background=False)
        self.open(folder)
        self._database.create_collection(_COLLECTION, dimension=vectors.shape[1], metric=metric)
        for first in range(0, len(vectors), _BATCH_ROWS):
            some = vectors[first : first + _BATCH_ROWS]
            rows = range(first, first + len(some))
            self._points.upsert([str(row) for row in rows], some, [{"group": payload(row)} for row in rows])
        self._await_index()
        if len(vectors) >= _LEAST_TUNED:
            self._database.tune(_COLLECTION, timeout_s=_BUILD_S)
        index = self._await_index()
        return f"tier {index.tier}, encoding {index.encoding}, {index.cells} cells"

    def open(self, folder: Path) -> None:
        self._database: Any = vdb.open(folder / "data", **_SETTINGS)
        self._points: Any = self._database.collection(_COLLECTION, tenant=_TENANT)

    def aim(self, setting: str) -> None:
        self._recall = float(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        hits = self._points.search(query, k, with_payload=False, recall=self._recall)
        return np.fromiter((int(hit.id) for hit in hits), np.int64, len(hits))

    def shut(self) -> None:
        self._database.close()

    def _await_index(self) -> VectorIndex:
        """The index, once it answers and no other is being made; raises TimeoutError."""
        end = time.monotonic() + _BUILD_S
        while time.monotonic() < end:
            index = self._database.collection_stats(_COLLECTION).index
            if isinstance(index, VectorIndex) and index.state == "ready" and index.stage is None:
                return index
            time.sleep(_POLL_S)
        raise TimeoutError("the index was not made in time")


if __name__ == "__main__":
    serve(OursDatabase())
