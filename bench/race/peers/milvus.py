"""milvus-lite's client in a race between servers: pymilvus over gRPC, ids alone are asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pymilvus import DataType, MilvusClient

from .contender import Contender, Float32s, Rows
from .serving import serve

M, EF_CONSTRUCTION = 16, 200
_METRICS = {"cosine": "COSINE", "l2": "L2", "ip": "IP"}
_BATCH = 1_000
_NAME = "points"


class Milvus(Contender):
    """Settings: ef of searches."""

    settings: Sequence[str] = [f"ef {ef}" for ef in (10, 20, 40, 80, 160, 320)]

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._client = MilvusClient(uri=self._address)
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = self._client.prepare_index_params()
        made = {"M": M, "efConstruction": EF_CONSTRUCTION}
        index.add_index("vector", index_type="HNSW", metric_type=_METRICS[metric], params=made)
        self._client.create_collection(_NAME, schema=schema)
        for first in range(0, len(vectors), _BATCH):
            rows = vectors[first : first + _BATCH]
            self._client.insert(_NAME, [{"id": first + i, "vector": row} for i, row in enumerate(rows)])
        self._client.flush(_NAME)
        self._client.create_index(_NAME, index)
        self._client.load_collection(_NAME)
        self._params: dict[str, object] = {}
        self.search(vectors[0], 1)
        return f"HNSW {metric}, M {M}, efConstruction {EF_CONSTRUCTION}"

    def use(self, setting: str) -> None:
        self._params = {"ef": int(setting.split()[1])}

    def search(self, query: Float32s, k: int) -> Rows:
        found = self._client.search(
            _NAME, data=[query], limit=k, anns_field="vector", search_params={"params": self._params}
        )
        return np.array([hit["id"] for hit in found[0]], np.int64)

    def load(self, folder: Path) -> None:
        self._client = MilvusClient(uri=self._address)
        self._client.load_collection(_NAME)
        self._params = {}

    def close(self) -> None:
        self._client.close()


if __name__ == "__main__":
    serve(Milvus(int(sys.argv[1])))
