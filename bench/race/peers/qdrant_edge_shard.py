"""Qdrant Edge: the server's segments in process, with its write-ahead log; HNSW of its default shape, in one segment.

Upserts are logged; `optimize` is called until there is nothing left to do. One thread searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeVectorParams,
    HnswIndexConfig,
    Point,
    Query,
    SearchParams,
    SearchRequest,
    UpdateOperation,
)

from .contender import Float32s, Rows
from .serving import serve
from .stored import Stored, payload

M, EF_CONSTRUCTION, FULL_SCAN_KB = 16, 100, 10_000
BATCH_ROWS = 1_000
_INDEXED_FROM_KB = 100
_SHARD = "shard"
_DISTANCES = {"l2": Distance.Euclid, "cosine": Distance.Cosine, "ip": Distance.Dot}


class QdrantEdge(Stored):
    """Settings: hnsw_ef."""

    settings: Sequence[str] = [f"ef {ef}" for ef in (10, 16, 24, 36, 56, 80, 120, 180, 260, 400, 600)]

    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        graph = HnswIndexConfig(M, EF_CONSTRUCTION, FULL_SCAN_KB, max_indexing_threads=n_threads)
        config = EdgeConfig(
            vectors=EdgeVectorParams(size=vectors.shape[1], distance=_DISTANCES[metric]),
            hnsw_config=graph,
            optimizers=EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=_INDEXED_FROM_KB),
            max_search_threads=1,
        )
        place = folder / _SHARD
        place.mkdir()
        self._shard = EdgeShard.create(str(place), config)
        for first in range(0, len(vectors), BATCH_ROWS):
            some = vectors[first : first + BATCH_ROWS].tolist()
            points = [Point(first + i, row, {"group": payload(first + i)}) for i, row in enumerate(some)]
            self._shard.update(UpdateOperation.upsert_points(points))
        while self._shard.optimize():
            pass
        self._shard.flush()
        return f"m {M}, ef_construct {EF_CONSTRUCTION}; {self._shard.info().segments_count} segments"

    def aim(self, setting: str) -> None:
        self._params = SearchParams(hnsw_ef=int(setting.split()[1]))

    def search(self, query: Float32s, k: int) -> Rows:
        found = self._shard.search(SearchRequest(Query.Nearest(query.tolist()), k, params=self._params))
        return np.fromiter((point.id for point in found), np.int64, len(found))

    def open(self, folder: Path) -> None:
        self._shard = EdgeShard.load(str(folder / _SHARD))

    def shut(self) -> None:
        self._shard.close()


if __name__ == "__main__":
    serve(QdrantEdge())
