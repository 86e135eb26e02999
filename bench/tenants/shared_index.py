"""Peers that hold all points once: faiss HNSW and IVF, with a bitmap of what a tenant may see as selector.

Bitmaps and parameters of every tenant that asks are made before the clock starts, which is the best case for them.
A tenant who may see all is searched without a selector.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender
from bench.tenants.limits import Limits, Stopwatch, peer
from bench.tenants.store import Store, load_facts, save_facts
from bench.tenants.workload import Float32s, K, Workload

M = 16
EF_CONSTRUCTION = 100
EF = (16, 32, 64, 128, 256, 512, 1024, 2048)
N_PROBE = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CHUNK = 10_000
_TRAIN_ROWS_PER_CELL = 64
_FILE = "index.faiss"


class _Bitmapped(Contender):
    """A faiss index over all points and a bitmap for each tenant that asks."""

    _kind: str

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._index: Any = None
        self._selectors: dict[int, Any] = {}
        self._parameters: dict[int, Any] = {}
        self._facts: dict[str, float | str] = {}

    def build(self, workload: Workload) -> None:
        faiss = peer("faiss")
        key = f"faiss-{self._kind}-{workload.vectors_key}-{workload.metric}"
        folder = self._store.made(key, lambda new: self._make(new, workload))
        self._index = faiss.read_index(str(folder / _FILE))
        self._facts = load_facts(folder)
        faiss.omp_set_num_threads(1)
        for tenant in workload.asking():
            rows = workload.access.rows_of(tenant)
            seen = np.zeros(workload.access.n_points, np.bool_)
            seen[rows] = True
            is_all = len(rows) == workload.access.n_points
            self._selectors[tenant] = None if is_all else faiss.IDSelectorBitmap(np.packbits(seen, bitorder="little"))

    def use(self, setting: str) -> None:
        value = int(setting.split()[1])
        self._parameters = {tenant: self._parameter(value, chosen) for tenant, chosen in self._selectors.items()}

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        _, found = self._index.search(query[np.newaxis], K, params=self._parameters[tenant])
        ids: NDArray[np.integer] = found[0]
        return ids

    @property
    def facts(self) -> dict[str, float | str]:
        return self._facts

    def _make(self, folder: Path, workload: Workload) -> None:
        faiss = peer("faiss")
        faiss.omp_set_num_threads(self._limits.n_threads)
        watch = Stopwatch()
        index, parameters = self._empty(workload)
        n, adding = workload.access.n_points, Stopwatch()
        trained_s = (watch.cpu_s - adding.cpu_s) / self._limits.n_threads
        for first in range(0, n, _CHUNK):
            index.add(workload.vectors[first : first + _CHUNK])
            adding.check(min(1.0, (first + _CHUNK) / n), self._limits, trained_s)
        faiss.write_index(index, str(folder / _FILE))
        save_facts(folder, {"build s": watch.wall_s, "build CPU s": watch.cpu_s, "parameters": parameters})

    @abstractmethod
    def _empty(self, workload: Workload) -> tuple[Any, str]:
        """An index ready to add points to, trained where it must be, and its parameters in words."""

    @abstractmethod
    def _parameter(self, value: int, selector: Any) -> Any:
        """The parameters of a search."""


class FaissHnsw(_Bitmapped):
    """faiss IndexHNSWFlat with a bitmap selector."""

    name = "faiss HNSW, bitmap"
    _kind = f"hnsw-m{M}-efc{EF_CONSTRUCTION}"

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"ef {ef}" for ef in EF)

    def _empty(self, workload: Workload) -> tuple[Any, str]:
        faiss = peer("faiss")
        index = faiss.IndexHNSWFlat(workload.dimension, M, _faiss_metric(faiss, workload.metric))
        index.hnsw.efConstruction = EF_CONSTRUCTION
        return index, f"M {M}, efConstruction {EF_CONSTRUCTION}"

    def _parameter(self, value: int, selector: Any) -> Any:
        return peer("faiss").SearchParametersHNSW(efSearch=value, sel=selector)


class FaissIvf(_Bitmapped):
    """faiss IndexIVFFlat with a bitmap selector; 4·√n lists."""

    name = "faiss IVF, bitmap"
    _kind = "ivf"

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"nprobe {n}" for n in N_PROBE)

    def _empty(self, workload: Workload) -> tuple[Any, str]:
        faiss = peer("faiss")
        n, metric = workload.access.n_points, _faiss_metric(faiss, workload.metric)
        n_lists = max(1, round(4 * n**0.5))
        quantizer = faiss.IndexFlat(workload.dimension, metric)
        index = faiss.IndexIVFFlat(quantizer, workload.dimension, n_lists, metric)
        index.own_fields = True
        quantizer.this.disown()
        index.cp.seed = 1
        index.cp.min_points_per_centroid = 1
        sample = np.random.default_rng(1).permutation(n)[: _TRAIN_ROWS_PER_CELL * n_lists]
        index.train(workload.vectors[np.sort(sample)])
        return index, f"{n_lists} lists"

    def _parameter(self, value: int, selector: Any) -> Any:
        return peer("faiss").SearchParametersIVF(nprobe=value, sel=selector)


def _faiss_metric(faiss: Any, metric: str) -> int:
    """Vectors of length 1 are ordered alike by L2, which k-means is made for."""
    return int(faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2)
