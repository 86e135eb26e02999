"""vdb for ann-benchmarks, in three forms: `Vdb` in process by `vdb.open`, `VdbServer` over HTTP, `VdbIndex` the index.

`VdbServer` is what compares with servers, `Vdb` with databases in process; a library of indexes does neither store nor
check, and compares with `VdbIndex`. Test queries are not recorded, so that no query group is tuned by an earlier one.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from numpy.typing import ArrayLike, NDArray

import vdb
import vdb.testing
from vdb.client.sync import Operations
from vdb.kernels import warm
from vdb.protocol.statistics import VectorIndex

from .library import VdbIndex as VdbIndex  # the harness looks for all three here
from .plugin import Plugin

__all__ = ["Vdb", "VdbServer"]

_COLLECTION, _TENANT = "points", "bench"
_SETTINGS: dict[str, Any] = {"record_queries": False, "memory_bytes": 1 << 36}
"""The cap of memory is the harness's business."""
_INDEX_FROM_POINTS = 1_000
"""So few that `random-xs` is indexed; the server's own default is 20,000."""
_LEAST_TUNED = 5_000
"""Rows from which the server chooses an encoding by measurement and measures what recall costs."""
_BUILD_TIMEOUT_S = 12 * 3600.0
_POLL_S = 0.05


class _Database(Plugin):
    """Points of one tenant in one collection, by the methods of the SDK.

    Arguments: `tier` (`memory`, `hybrid`, `disk`); `form` and `dimension`, the encoding, chosen by measurement without;
    `index_from_points`, below which every search is exact.
    """

    build_arguments = ("tier", "form", "dimension", "index_from_points")
    n_per_batch = 64

    def __init__(self, metric: str, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__(metric, arguments)
        self._stack = ExitStack()
        self._settings = _SETTINGS | {
            "index_from_points": self.arguments.get("index_from_points", _INDEX_FROM_POINTS),
        }
        try:
            self._operations: Operations = self._opened()
        except BaseException:
            self._stack.close()
            raise
        self._points = self._operations.collection(_COLLECTION, tenant=_TENANT)

    def fit(self, X: ArrayLike) -> None:
        """Store X (n, d), each row durably, and wait until its index is made and tuned."""
        vectors = np.asarray(X, np.float32)
        tier = self.arguments.get("tier", "auto")
        self._operations.create_collection(
            _COLLECTION, dimension=vectors.shape[1], metric=self.metric, tier="hybrid" if tier == "disk" else tier
        )
        self._points.upsert([str(row) for row in range(len(vectors))], vectors)
        if len(vectors) >= self._settings["index_from_points"] > 0:
            self._await_index(lambda index: True)
            self._arrange(tier, len(vectors))

    def query(self, q: ArrayLike, n: int) -> NDArray[np.int64]:
        hits = self._points.search(np.asarray(q, np.float32), n, with_payload=False, **self._effort(n))
        return np.array([int(hit.id) for hit in hits], np.int64)

    def get_additional(self) -> dict[str, Any]:
        """How the index is made, kept beside the results."""
        index = self._index()
        if index is None or index.tier is None:
            return {"encoding": "exact", "version": vdb.__version__}
        return {
            "encoding": str(index.encoding), "cells": index.cells, "tier": str(index.tier), "version": vdb.__version__
        }  # fmt: skip

    def done(self) -> None:
        """Close the database, or stop the server, and remove its data."""
        self._stack.close()

    def _opened(self) -> Operations:
        """The database, which `self._stack` closes."""
        raise NotImplementedError

    def _search_many(self, queries: NDArray[np.float32], n: int) -> list[list[int]]:
        found = self._points.search(queries, n, with_payload=False, **self._effort(n))
        return [[int(hit.id) for hit in hits] for hits in found]

    def _arrange(self, tier: str, n: int) -> None:
        """Have the index made of all points: trained and measured, or laid out on disk, where nothing is tuned."""
        if tier == "disk":
            self._operations.update_collection(_COLLECTION, tier="disk")
            self._await_index(lambda index: index.tier == "disk" and not index.late_rows)
        elif n >= _LEAST_TUNED or "form" in self.arguments:
            named = {name: self.arguments[name] for name in ("form", "dimension") if name in self.arguments}
            self._operations.tune(_COLLECTION, timeout_s=_BUILD_TIMEOUT_S, **named)

    def _await_index(self, is_met: Any) -> None:
        """Wait until an index answers and no other is being made; raises TimeoutError."""
        for _ in _polls():
            index = self._index()
            if index is not None and index.state == "ready" and index.stage is None and is_met(index):
                return
        raise TimeoutError("the index was not made in time")

    def _index(self) -> VectorIndex | None:
        index = self._operations.collection_stats(_COLLECTION).index
        return index if isinstance(index, VectorIndex) else None


class Vdb(_Database):
    """In process, by `vdb.open`: the engine with its store, without HTTP."""

    form = "vdb"

    def _opened(self) -> Operations:
        warm(background=False)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-ann-"))
        return self._stack.enter_context(vdb.open(folder, **self._settings))


class VdbServer(_Database):
    """`vdb serve` as a process of its own on a free port of 127.0.0.1, asked by the SDK.

    It starts with the algorithm, before the harness's clock does, and `done` stops it.
    """

    form = "vdb-server"

    def _opened(self) -> Operations:
        self._server = self._stack.enter_context(vdb.testing.server(**self._settings))
        self._await_kernels()
        return self._server.admin()

    def get_memory_usage(self) -> float:
        """Kilobytes in RAM of the server's process, mapped files included, as the harness counts its own. Linux."""
        lines = Path(f"/proc/{self._server.pid}/status").read_text(encoding="utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))

    def _await_kernels(self) -> None:
        """Until the compiled kernels answer: the first start on a machine compiles them, which takes minutes."""
        for _ in _polls():
            with urlopen(f"{self._server.url}/readyz") as answer:
                if json.load(answer)["kernels"] != "numpy":
                    return
        raise TimeoutError("the compiled kernels are not there")


def _polls() -> Iterator[None]:
    """Once every little while, until a build takes too long."""
    deadline = time.monotonic() + _BUILD_TIMEOUT_S
    for _ in repeat(None):
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_S)
