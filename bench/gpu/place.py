"""An engine in this process with one indexed collection of one tenant, and its searches by backend.

Imports the whole package: only `bench.gpu.engine` reads it, when that is installed.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vdb.config import Settings
from vdb.engine.engine import Engine
from vdb.kernels.device import Device
from vdb.kernels.reference import Float32s, Int64s
from vdb.protocol.answers import Explain, Hit
from vdb.protocol.columns import SearchHead, UpsertHead
from vdb.protocol.requests import CreateCollection, CreateTenant, Empty, Request, SearchParams
from vdb.types import Metric, Role

__all__ = ["LIMIT", "Backend", "Place", "rows_of"]

Backend = Literal["auto", "cpu", "gpu"]
LIMIT = 10
_NAME, _TENANT = "vectors", "owner"
_BATCH = 10_000
_TIMEOUT_S = 400.0
_POLL_S = 0.1
_COMPILING_S = 120.0


class Place:
    """Whoever makes it closes it, and the device with it. Searches may come from several threads."""

    def __init__(self, folder: Path, device: Device, rows: Float32s, is_compiled: bool) -> None:
        """Points `p0`, `p1`, … of cosine, and their index, made once all are there."""
        settings = Settings(
            data_dir=folder, index_from_points=len(rows), compile_kernels=is_compiled, log_level="warning"
        )
        self.engine = Engine.open(settings, device=device)
        try:
            if is_compiled:
                self.engine.await_kernels(_COMPILING_S)
            self._fill(rows)
            self._await_index()
        except BaseException:
            self.engine.close()
            raise

    def close(self) -> None:
        """Close the engine; its folder is the caller's."""
        self.engine.close()

    def _fill(self, rows: Float32s) -> None:
        self._run("create_tenant", None, (), CreateTenant(name=_TENANT))
        made = CreateCollection(name=_NAME, dimension=rows.shape[1], metric=Metric.COSINE)
        self._run("create_collection", None, (), made)
        for first in range(0, len(rows), _BATCH):
            block = rows[first : first + _BATCH]
            ids = [f"p{first + i}" for i in range(len(block))]
            self._run("upsert", _TENANT, (_NAME,), UpsertHead(ids=ids), block.reshape(-1))

    def _await_index(self) -> None:
        until = time.monotonic() + _TIMEOUT_S
        while self._run("collection_stats", None, (_NAME,), Empty()).index.state != "ready":
            if time.monotonic() > until:
                raise TimeoutError("the index was not made in time")
            time.sleep(_POLL_S)

    def _run(self, name: str, tenant: str | None, path: Sequence[str], request: Request, vectors: Any = None) -> Any:
        answer = self.engine.run(name, self.engine.local_caller(Role.ADMIN, tenant), tuple(path), request, vectors)
        return answer.result(_TIMEOUT_S) if isinstance(answer, Future) else answer

    def search(self, queries: Float32s, backend: Backend) -> list[list[Hit]]:
        """The hits of each query (q, d), in one request."""
        answer = self._run("search", _TENANT, (_NAME,), self._head(len(queries), backend), queries.reshape(-1))
        return [found.hits for found in answer.results]

    def explained(self, queries: Float32s, backend: Backend) -> Explain:
        """How such a request went."""
        head = self._head(len(queries), backend)
        head.explain = True
        explain: Explain = self._run("search", _TENANT, (_NAME,), head, queries.reshape(-1)).explain
        return explain

    def await_device(self, queries: Float32s) -> str:
        """Search until the device answers; why it does not, if it does not, else an empty text."""
        until = time.monotonic() + _TIMEOUT_S
        while (explain := self.explained(queries, "gpu")).backend != "gpu":
            if time.monotonic() > until:
                return str(explain.backend_reason)
            time.sleep(_POLL_S)
        return ""

    @property
    def n_on_device(self) -> int:
        """Queries that the device has answered."""
        accelerator = self.engine.services.accelerator
        return accelerator.figures.n_searched if accelerator is not None else 0

    @staticmethod
    def _head(n: int, backend: Backend) -> SearchHead:
        return SearchHead(n_queries=n, limit=LIMIT, with_payload=False, params=SearchParams(backend=backend))


def rows_of(found: list[list[Hit]]) -> Int64s:
    """Row numbers int64 (q, LIMIT), −1 where there are fewer."""
    rows = np.full((len(found), LIMIT), -1, np.int64)
    for i, hits in enumerate(found):
        rows[i, : len(hits)] = [int(hit.id[1:]) for hit in hits]
    return rows
