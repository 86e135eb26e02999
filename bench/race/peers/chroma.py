"""Chroma's client in a race between servers: JSON over one connection, ids alone are asked for."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .contender import Contender, Float32s, Rows
from .exchange import Exchange, Refused
from .serving import serve

M, EF_CONSTRUCTION = 16, 100
"""Chroma's defaults."""
_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_BATCH = 1_000
_LOCKED_S = 60.0
_SPACES = {"cosine": "cosine", "l2": "l2", "ip": "ip"}


class Chroma(Contender):
    """Settings: ef of searches, changed in the collection; the server reads it when it starts."""

    settings: Sequence[str] = [f"ef {ef}" for ef in (10, 20, 40, 80, 160)]

    def __init__(self, port: int) -> None:
        self._server = Exchange(port)
        self._setting = ""

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        graph = {"space": _SPACES[metric], "ef_construction": EF_CONSTRUCTION, "max_neighbors": M}
        made = {"name": "points", "configuration": {"hnsw": graph}}
        self._path = f"{_COLLECTIONS}/{self._server.ask('POST', _COLLECTIONS, made)['id']}"
        for first in range(0, len(vectors), _BATCH):
            rows = vectors[first : first + _BATCH]
            coded = [base64.b64encode(row.tobytes()).decode() for row in rows]  # as Chroma's own client sends them
            ids = [str(first + i) for i in range(len(rows))]
            self._server.ask("POST", f"{self._path}/add", {"ids": ids, "embeddings": coded})
        self.search(vectors[0], 1)
        return f"hnsw {metric}, max_neighbors {M}, ef_construction {EF_CONSTRUCTION}"

    def use(self, setting: str) -> None:
        if setting != self._setting:
            changed = {"new_configuration": {"hnsw": {"ef_search": int(setting.split()[1])}}}
            self._put(changed)
            self._setting = setting

    def search(self, query: Float32s, k: int) -> Rows:
        asked = {"query_embeddings": [query.tolist()], "n_results": k, "include": []}
        found = json.loads(self._server.post(f"{self._path}/query", json.dumps(asked, separators=(",", ":")).encode()))
        return np.array(found["ids"][0], np.int64)

    def _put(self, changed: Mapping[str, object]) -> None:
        deadline = time.monotonic() + _LOCKED_S
        while True:  # its database may be locked by its own work in the background
            try:
                self._server.ask("PUT", self._path, changed)
                return
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def load(self, folder: Path) -> None:
        self._path = f"{_COLLECTIONS}/{self._server.ask('GET', _COLLECTIONS)[0]['id']}"


if __name__ == "__main__":
    serve(Chroma(int(sys.argv[1])))
