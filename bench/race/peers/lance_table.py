"""LanceDB: a table on disk with an index of its vectors; answers are re-ranked by the full vectors.

`pq`: IVF_PQ, √n lists, a byte for 4 components. `hnsw`: IVF_HNSW_SQ, one graph of 8-bit codes. Index and metadata are
kept in the library's cache. Its runtime answers in threads of its own: they are counted as the process's CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import HnswSq, IvfPq

from .contender import Float32s, Rows
from .serving import serve
from .stored import Stored, payload

BLOCK_ROWS = 20_000
PQ_COMPONENTS = 4
_METRICS = {"l2": "l2", "cosine": "cosine", "ip": "dot"}
_MADE = "metric.txt"


class LanceTable(Stored):
    """Settings: lists or ef, and times as many candidates as asked for that are compared by their vectors."""

    def __init__(self, form: str) -> None:
        self._form = form

    @property
    def settings(self) -> Sequence[str]:
        if self._form == "pq":
            pairs = [(1, 4), (2, 4), (4, 4), (8, 4), (8, 10), (16, 10), (32, 10), (64, 10), (64, 20), (128, 20)]
            return [f"nprobes {n}, refine {refine}" for n, refine in pairs]
        pairs = [(12, 1), (20, 1), (30, 2), (40, 2), (60, 2), (80, 2), (120, 4), (200, 4), (400, 4), (800, 8)]
        return [f"ef {ef}, refine {refine}" for ef, refine in pairs]

    def fill(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        n, d = vectors.shape
        schema = pa.schema([("id", pa.int64()), ("group", pa.string()), ("vector", pa.list_(pa.float32(), d))])

        def blocks() -> Iterator[pa.RecordBatch]:
            for first in range(0, n, BLOCK_ROWS):
                some = vectors[first : first + BLOCK_ROWS]
                rows = np.arange(first, first + len(some))
                groups = pa.array([payload(row) for row in rows.tolist()])
                held = pa.FixedSizeListArray.from_arrays(pa.array(some.reshape(-1)), d)
                yield pa.record_batch([pa.array(rows), groups, held], schema=schema)

        table = lancedb.connect(str(folder / "data")).create_table("points", data=blocks(), schema=schema)
        kind = _METRICS[metric]
        if self._form == "pq":
            n_lists = max(1, round(n**0.5))
            config: Any = IvfPq(distance_type=kind, num_partitions=n_lists, num_sub_vectors=max(1, d // PQ_COMPONENTS))
            said = f"IVF_PQ, {n_lists} lists, a byte for {PQ_COMPONENTS} components"
        else:
            config = HnswSq(distance_type=kind, num_partitions=1, m=20, ef_construction=300)
            said = "IVF_HNSW_SQ, 1 list, m 20, ef_construction 300"
        table.create_index("vector", config=config)
        (folder / _MADE).write_text(kind)
        self.open(folder)
        return said

    def aim(self, setting: str) -> None:
        effort, refine = setting.split(", ")
        self._effort, self._refine = int(effort.split()[1]), int(refine.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        asked = (
            self._table.search(query, vector_column_name="vector")
            .distance_type(self._metric)
            .select(["id", "_distance"])
        )
        asked = asked.nprobes(self._effort) if self._form == "pq" else asked.nprobes(1).ef(max(k, self._effort))
        ids: Rows = asked.refine_factor(self._refine).limit(k).to_arrow().column("id").to_numpy()
        return ids

    def open(self, folder: Path) -> None:
        self._metric = (folder / _MADE).read_text()
        self._table: Any = lancedb.connect(str(folder / "data")).open_table("points")

    def shut(self) -> None:
        del self._table


if __name__ == "__main__":
    serve(LanceTable(sys.argv[1]))
