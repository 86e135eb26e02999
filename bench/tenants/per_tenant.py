"""The peer to beat: one hnswlib index for each tenant, each with its own copy of the vectors.

Only tenants that ask are built, in random order until a limit is reached; memory is scaled from these to all: what an
empty index takes by the number of tenants (65,536 locks, 2.5 MiB, in hnswlib 0.8), the rest by that of points. Vectors
are of length 1 where the metric is cosine, so its inner product serves: hnswlib would else normalise every query.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import Contender, LeftOut
from bench.tenants.limits import Limits, Stopwatch, peer
from bench.tenants.store import Store, load_facts, save_facts
from bench.tenants.workload import Float32s, Int64s, K, Workload

M = 16
EF = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_SPACES = {"cosine": "ip", "ip": "ip", "l2": "l2"}
_BESIDE_VECTOR_BYTES = 8 * M + 24
"""Of an element: links of the bottom layer, label, counters; the upper layers add a little."""
_EMPTY_BYTES = 65_536 * 40
"""Of an index before its first element: a lock for each of so many hashes of labels."""


class PerTenantHnsw(Contender):
    """One hnswlib index per tenant."""

    name = "hnswlib per tenant"

    def __init__(self, store: Store, limits: Limits, ef_construction: int) -> None:
        self._store = store
        self._limits = limits
        self._ef_construction = ef_construction
        self._indexes: dict[int, Any] = {}
        self._sizes: dict[int, int] = {}
        self._facts: dict[str, float | str] = {}
        self._share = 1.0
        self._n_tenants = 0

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"ef {ef}" for ef in EF)

    def build(self, workload: Workload) -> None:
        hnswlib = peer("hnswlib")
        key = f"hnswlib-{workload.key}-m{M}-efc{self._ef_construction}"
        folder = self._store.made(key, lambda new: self._make(new, workload))
        for path in folder.glob("*.bin"):
            index = hnswlib.Index(_SPACES[workload.metric], workload.dimension)
            index.load_index(str(path))
            self._indexes[int(path.stem)] = index
        self._sizes = {tenant: index.get_current_count() for tenant, index in self._indexes.items()}
        self._facts = load_facts(folder)
        self._n_tenants = workload.n_readers
        self._share = sum(self._sizes.values()) / workload.n_seen

    def use(self, setting: str) -> None:
        ef = max(K, int(setting.split()[1]))
        for index in self._indexes.values():
            index.set_ef(ef)

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        labels, _ = self._indexes[tenant].knn_query(query, min(K, self._sizes[tenant]), num_threads=1)
        found: NDArray[np.integer] = labels[0]
        return found

    @property
    def tenants(self) -> frozenset[int]:
        return frozenset(self._indexes)

    @property
    def built_share(self) -> float:
        return self._share

    def scaled(self, n_bytes: float) -> float:
        fixed = len(self._indexes) * _EMPTY_BYTES
        return (n_bytes - fixed) / self._share + fixed / len(self._indexes) * self._n_tenants

    @property
    def facts(self) -> dict[str, float | str]:
        return self._facts

    def _make(self, folder: Path, workload: Workload) -> None:
        """Build and save indexes of tenants that ask, in random order, until one more would pass a limit."""
        watch = Stopwatch()
        row_bytes = 4 * workload.dimension + _BESIDE_VECTOR_BYTES
        n_rows = n_built = 0
        for tenant in np.random.default_rng(0).permutation(workload.asking()).tolist():
            rows = workload.access.rows_of(tenant)
            row_s = watch.cpu_s / self._limits.n_threads / n_rows if n_rows else 0.0  # nothing is known of the first
            expected_s = row_s * (n_rows + len(rows))
            expected_bytes = (n_rows + len(rows)) * row_bytes + (n_built + 1) * _EMPTY_BYTES
            if expected_s > self._limits.build_s or expected_bytes > self._limits.build_bytes:
                break
            self._index(workload, rows).save_index(str(folder / f"{tenant}.bin"))
            n_rows, n_built = n_rows + len(rows), n_built + 1
        if not n_built:
            raise LeftOut("the first tenant alone is more than the limits allow")
        facts = {"tenants built": n_built, "points built": n_rows, "tenants that ask": len(workload.asking())}
        parameters = f"M {M}, efConstruction {self._ef_construction}"
        save_facts(folder, facts | {"build s": watch.wall_s, "build CPU s": watch.cpu_s, "parameters": parameters})

    def _index(self, workload: Workload, rows: Int64s) -> Any:
        index = peer("hnswlib").Index(_SPACES[workload.metric], workload.dimension)
        index.init_index(len(rows), ef_construction=self._ef_construction, M=M, random_seed=1)
        index.add_items(workload.vectors[rows], rows, num_threads=self._limits.n_threads)
        return index
