"""A collection in process, by `vdb.open`, as the tracks of big-ann-benchmarks use one.

Ids are the harness's numbers, uint32. Vectors of its datasets may be uint8 or int8; they are stored as float32. Answers
are int32 (q, k), −1 where fewer were found. The server's defaults hold, but for the cap of memory, which is the
harness's business, and recorded queries: the test queries must not tune the index.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import vdb
from vdb.kernels import warm
from vdb.protocol.statistics import VectorIndex

__all__ = ["QUERY_ARGUMENTS", "Points", "known", "n_threads"]

QUERY_ARGUMENTS = ("recall", "budget", "rerank", "exact", "threads")
_METRICS = {"euclidean": "l2", "ip": "ip", "angular": "cosine"}
_COLLECTION, _TENANT = "points", "bench"
_SETTINGS: dict[str, Any] = {"record_queries": False, "memory_bytes": 1 << 36, "max_map_bytes": 1 << 40}
_CHUNK_ROWS, _CHUNK_IDS = 10_000, 10_000
_BUILD_TIMEOUT_S = 12 * 3600.0
_POLL_S = 0.05
_LEAST_TUNED = 5_000


class Points:
    """The points of one tenant. Threads may search; one writes. `close` it."""

    def __init__(self, folder: Path, metric: str, dimension: int, arguments: Mapping[str, Any]) -> None:
        """Open the database in `folder`, made where missing. `arguments`: `tier`, and `index_from_points`."""
        warm(background=False)
        self._n_from = int(arguments.get("index_from_points", 1_000))
        self._tier = str(arguments.get("tier", "auto"))
        self._database = vdb.open(folder, index_from_points=self._n_from, **_SETTINGS)
        if not self._database.collections():
            self._database.create_collection(
                _COLLECTION, dimension, metric=_METRICS[metric], tier=self._tier, fields={"tags": "list"},
                indexes=["tags"] if arguments.get("has_tags") else None,
            )  # fmt: skip
        self._points = self._database.collection(_COLLECTION, tenant=_TENANT)

    def close(self) -> None:
        """Close the database; what it holds stays in the folder."""
        self._database.close()

    def put(self, ids: Sequence[int], vectors: ArrayLike, tags: Sequence[Sequence[int]] | None = None) -> None:
        """Store vectors (n, d) durably; an id that is there is replaced."""
        rows = np.asarray(vectors)
        for first in range(0, len(rows), _CHUNK_ROWS):
            part = slice(first, first + _CHUNK_ROWS)
            payloads = None if tags is None else [{"tags": list(one)} for one in tags[part]]
            self._points.upsert([str(one) for one in ids[part]], rows[part].astype(np.float32), payloads)

    def remove(self, ids: Sequence[int]) -> None:
        """Delete durably; ids that are not there are nothing to do."""
        for first in range(0, len(ids), _CHUNK_IDS):
            self._points.delete([str(one) for one in ids[first : first + _CHUNK_IDS]])

    def settle(self) -> None:
        """Wait until the index is made of what is there, and measured; for a bulk load."""
        if self._points.count() < max(1, self._n_from):
            return
        self._await_index()
        if self._tier != "disk" and self._points.count() >= _LEAST_TUNED:
            self._database.tune(_COLLECTION, timeout_s=_BUILD_TIMEOUT_S)

    def search(
        self, queries: ArrayLike, k: int, effort: Mapping[str, Any], filters: Sequence[Any] | None = None
    ) -> NDArray[np.int32]:
        """The k nearest of each query (q, d), with a filter each where there are filters; by several threads."""
        asked = np.asarray(queries).astype(np.float32)
        given = {name: value for name, value in effort.items() if name != "threads"}
        if "rerank" in given:
            given["rerank"] = max(k, given["rerank"])
        answer = np.full((len(asked), k), -1, np.int32)

        def ask(place: int) -> None:
            chosen = None if filters is None else filters[place]
            hits = self._points.search(asked[place], k, filter=chosen, with_payload=False, **given)
            answer[place, : len(hits)] = [int(hit.id) for hit in hits]

        _in_threads(ask, len(asked), n_threads(effort))
        return answer

    def _await_index(self) -> None:
        deadline = time.monotonic() + _BUILD_TIMEOUT_S
        while time.monotonic() < deadline:
            index = self._database.collection_stats(_COLLECTION).index
            if isinstance(index, VectorIndex) and index.state == "ready" and index.stage is None:
                return
            time.sleep(_POLL_S)
        raise TimeoutError("the index was not made in time")


def known(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The arguments; raises ValueError for one of another name, which would otherwise seem to have no effect."""
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"unknown arguments {', '.join(unknown)}: there are {', '.join(names)}")
    return dict(given)


def n_threads(effort: Mapping[str, Any]) -> int:
    """How many threads ask: as many as are named, else as there are cores."""
    return int(effort.get("threads") or os.cpu_count() or 1)


def _in_threads(ask: Callable[[int], None], n: int, n_at_once: int) -> None:
    if n_at_once == 1:
        for place in range(n):
            ask(place)
        return
    with ThreadPool(n_at_once) as pool:
        pool.map(ask, range(n), chunksize=max(1, n // (8 * n_at_once)))
