"""Our own index among the contenders: the one that the server keeps, called without a server around it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender
from bench.tenants.workload import Access, Float32s, Int64s, K, Workload
from vdb.engine.choosing import Sample, Wish, trained
from vdb.index.curator.index import CuratorIndex, Effort, Found, Vectors
from vdb.index.curator.model import prepared
from vdb.index.curator.state import State
from vdb.kernels import Kernels, current, warm
from vdb.storage.vectors_file import VectorsFile
from vdb.types import EVERYONE_ID, Metric

FACTORS = (1, 1.5, 2, 3, 4, 5, 7, 10, 14, 20, 30)
"""Of the budget: so many times n^0.6 rows are scored, n being what the tenant may see."""
POWER = 0.6
CANDIDATES = (40, 60, 100)
SAMPLE_ROWS = 100_000
BLOCK_ROWS = 16_384
SEQUENCE = 1


class Ours(Contender):
    """The shared clustering with tenant directories, coded as the server would choose."""

    name = "ours"

    def __init__(self, is_public: bool = False) -> None:
        """`is_public`: points are everyone's, whoever owns them in the workload."""
        self._is_public = is_public
        self._index: CuratorIndex | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._kernels: Kernels = current()
        self._factor = 0.0
        self._candidates = 0
        self._how = ""
        self._efforts: dict[int, Effort] = {}

    @property
    def settings(self) -> Sequence[str]:
        return [f"budget {factor} n^{POWER}, candidates {n}" for n in CANDIDATES for factor in FACTORS]

    def build(self, workload: Workload) -> None:
        warm(background=False)
        self._kernels = current()
        metric = Metric(workload.metric)
        vectors = prepared(workload.vectors, metric)
        n = len(vectors)
        sample = vectors
        if n > SAMPLE_ROWS:
            sample = vectors[np.sort(np.random.default_rng(1).choice(n, SAMPLE_ROWS, replace=False))]
        sizes = workload.access.sizes[workload.asking()]
        given = Sample(sample, n, int(np.median(sizes)), metric, workload.recorded)
        model, tuning = trained(given, Wish(), True, lambda: None)
        self._how = tuning.origin
        tenants, granted = pairs_of(workload.access)
        self._index = CuratorIndex.build(
            model,
            np.arange(n, dtype=np.uint32),
            np.where(self._is_public, EVERYONE_ID, workload.access.owners + 1).astype(np.uint32),
            np.zeros(n, np.int64),
            tenants,
            granted,
            self._kept(vectors),
            SEQUENCE,
            self._kernels,
        )

    def _kept(self, vectors: Float32s) -> Vectors:
        """Full vectors where the server has them: in a file, mapped."""
        file = self._file(vectors.shape[1])
        for first in range(0, len(vectors), BLOCK_ROWS):
            block = vectors[first : first + BLOCK_ROWS]
            file.put(np.arange(first, first + len(block), dtype=np.uint32), block)
        return file

    def _file(self, dimension: int) -> VectorsFile:
        self._folder = tempfile.TemporaryDirectory(prefix="vdb-bench-")
        return VectorsFile(Path(self._folder.name) / "vectors.vdb", dimension)

    @property
    def _state(self) -> State:
        assert self._index is not None, "build comes first"
        return self._index.state

    def use(self, setting: str) -> None:
        budget, candidates = setting.split(", ")
        self._factor, self._candidates = float(budget.split()[1]), int(candidates.split()[1])
        self._efforts = {}

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        found = self.found(tenant, query)
        row = found.row if found.row[-1] >= 0 else found.row[found.row >= 0]
        return self._state.rows.pids[row]

    def found(self, tenant: int, query: Float32s) -> Found:
        """The k nearest rows, with what the search of them took, counted."""
        assert self._index is not None, "build comes first"
        state = self._index.state
        mine, public = state.reading(tenant + 1), state.reading(EVERYONE_ID)
        effort = self._efforts.get(tenant)
        if effort is None:  # the server's planner knows it as well
            effort = self._efforts[tenant] = Effort(
                int(self._factor * (mine.n_rows + public.n_rows) ** POWER), self._candidates
            )
        return self._index.search(state, mine, public, query, K, SEQUENCE, 0, effort, kernels=self._kernels)

    @property
    def index(self) -> CuratorIndex:
        """The index that `build` made."""
        assert self._index is not None, "build comes first"
        return self._index

    @property
    def facts(self) -> dict[str, float | str]:
        state = self._state
        rows, directories, model = state.rows, state.directories, state.model
        n = rows.n_laid
        n_own = int((directories.spans[:, 1] - directories.spans[:, 0]).sum())
        return {
            "cells": len(model.leaves),
            "encoding": f"{model.encoding.form.name} of {model.encoding.dimension}, chosen by {self._how}",
            "kernels": self._kernels.name,
            "code bytes per row": rows.codes.shape[1],
            "directory bytes": directories.nbytes,
            "directory bytes per grant": round(directories.nbytes / max(1, len(directories.listed)), 3),
            "directory bytes per own row": round((directories.nbytes - directories.listed.nbytes) / max(1, n_own), 3),
            "codes, directories and cells of raw": round(
                (n * (rows.codes.shape[1] + rows.cells.itemsize) + directories.nbytes) / (4 * n * model.dimension), 4
            ),
            "bytes in RAM of raw": round(self._index.nbytes / (4 * n * model.dimension), 4) if self._index else 0,
        }


def pairs_of(access: Access) -> tuple[NDArray[np.uint32], tuple[Int64s, NDArray[np.uint32]]]:
    """Who is granted what, by tenant: tenants, where each one's rows start, and the rows, ascending."""
    rows = np.repeat(np.arange(access.n_points, dtype=np.uint32), np.diff(access.offsets))
    order = np.argsort(access.grantees, kind="stable")
    tenants, counts = np.unique(access.grantees, return_counts=True)
    starts = np.zeros(len(tenants) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return (tenants + 1).astype(np.uint32), (starts, rows[order])
