"""LanceDB (lancedb): an inverted file of codes, re-ranked by full vectors; it keeps lists in a cache of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq, IvfRq

from .asking import main
from .contender import Float32s, Peer, Rows

REFINE = 8
"""Times as many candidates as asked for are compared by their vectors."""
BLOCK_ROWS = 50_000
PQ_COMPONENTS = 4
"""Of a vector, for each byte of product quantization."""


class Lance(Peer):
    efforts = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320)
    needs_a_question = True

    def __init__(self, form: str) -> None:
        self._form = form

    def build(self, vectors: Path, folder: Path, ram_bytes: int, n_threads: int) -> dict[str, float | str]:
        rows = np.load(vectors, mmap_mode="r")
        n, d = rows.shape
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), d))])

        def blocks() -> Iterator[pa.RecordBatch]:
            for first in range(0, n, BLOCK_ROWS):
                some = np.array(rows[first : first + BLOCK_ROWS])
                columns = [pa.array(np.arange(first, first + len(some))), None]
                columns[1] = pa.FixedSizeListArray.from_arrays(pa.array(some.reshape(-1)), d)
                yield pa.record_batch(columns, schema=schema)

        table = lancedb.connect(str(folder)).create_table("rows", data=blocks(), schema=schema)
        n_lists = max(1, round(n**0.5))
        if self._form == "rq":
            config: Any = IvfRq(distance_type="l2", num_partitions=n_lists)
        else:
            config = IvfPq(distance_type="l2", num_partitions=n_lists, num_sub_vectors=d // PQ_COMPONENTS)
        table.create_index("vector", config=config)
        return {"parameters": f"IVF_{self._form.upper()}, {n_lists} lists, refine {REFINE}"}

    def open(self, folder: Path, ram_bytes: int) -> None:
        session = lancedb.Session(index_cache_size_bytes=ram_bytes, metadata_cache_size_bytes=ram_bytes // 4)
        self._table: Any = lancedb.connect(str(folder), session=session).open_table("rows")

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        asked = self._table.search(query, vector_column_name="vector").distance_type("l2").select(["id", "_distance"])
        found = asked.nprobes(effort).refine_factor(REFINE).limit(k).to_arrow()
        ids: Rows = found.column("id").to_numpy()
        return ids

    def close(self) -> None:
        del self._table


if __name__ == "__main__":
    main(Lance(sys.argv[1]), sys.argv[2:])
