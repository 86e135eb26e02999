"""zvec: a collection on disk, HNSW of full vectors; one query thread. Its defaults are m 50 and ef_construction 500."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zvec

from .contender import Float32s, Rows
from .serving import serve
from .stored import Stored, payload

M, EF_CONSTRUCTION = 16, 200
BATCH_ROWS = 1_000
_POINTS = "points"
_METRICS = {"l2": zvec.MetricType.L2, "cosine": zvec.MetricType.COSINE, "ip": zvec.MetricType.IP}


class Zvec(Stored):
    """Settings: ef."""

    settings: Sequence[str] = [f"ef {ef}" for ef in (10, 16, 24, 36, 56, 80, 120, 180, 260, 400, 600)]

    def __init__(self) -> None:
        self._is_started = False
        self._collection: Any = None

    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._start(n_threads)
        graph = zvec.HnswIndexParam(metric_type=_METRICS[metric], m=M, ef_construction=EF_CONSTRUCTION)
        vector = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, vectors.shape[1], graph)
        group = zvec.FieldSchema("group", zvec.DataType.STRING)
        schema = zvec.CollectionSchema("points", fields=[group], vectors=[vector])
        self._collection = zvec.create_and_open(str(folder / _POINTS), schema)
        for first in range(0, len(vectors), BATCH_ROWS):
            self._insert(first, vectors[first : first + BATCH_ROWS])
        self._collection.optimize(zvec.OptimizeOption(concurrency=n_threads))
        self._collection.flush()
        return f"HNSW, m {M}, ef_construction {EF_CONSTRUCTION}"

    def _insert(self, first: int, some: Float32s) -> None:
        docs = [
            zvec.Doc(id=str(first + i), vectors={"vector": row}, fields={"group": payload(first + i)})
            for i, row in enumerate(some)
        ]
        refused = [status for status in self._collection.insert(docs) if not status.ok()]
        if refused:
            raise RuntimeError(f"{len(refused)} rows were refused: {refused[0]}")

    def aim(self, setting: str) -> None:
        self._param = zvec.HnswQueryParam(ef=int(setting.split()[1]))

    def search(self, query: Float32s, k: int) -> Rows:
        asked = zvec.Query("vector", vector=query, param=self._param)
        found = self._collection.query(asked, topk=k, output_fields=[])
        return np.fromiter((int(doc.id) for doc in found), np.int64, len(found))

    def open(self, folder: Path) -> None:
        if not self._is_started:
            self._start(1)
        self._collection = zvec.open(str(folder / _POINTS))

    def shut(self) -> None:
        self._collection.close()

    def _start(self, n_threads: int) -> None:
        """Once in a process."""
        zvec.init(query_threads=1, optimize_threads=n_threads, log_level=zvec.LogLevel.ERROR)
        self._is_started = True


if __name__ == "__main__":
    serve(Zvec())
