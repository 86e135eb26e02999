"""Exact scans of a contiguous copy of what each tenant may see.

Only tenants that ask have copies, in random order until the limit of memory; the figure is scaled from these to all.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.tenants.code_scan import PRODUCT, scan_codes
from bench.tenants.contender import Contender, LeftOut
from bench.tenants.limits import Limits
from bench.tenants.workload import Float32s, Int64s, K, Workload
from vdb.index.leanvec.codes import encode
from vdb.kernels.cpu.dots import ALIGNED

CANDIDATES = (20, 40)
"""Rows that the scan of codes hands to the re-rank."""


class ExactFloats(Contender):
    """Float32 rows: one BLAS product of matrix and vector, then the k smallest."""

    name = "exact scan, float32"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._copies: dict[int, tuple[Float32s, Float32s | None, Int64s]] = {}
        self._share = 1.0

    @property
    def settings(self) -> Sequence[str]:
        return ("",)

    def build(self, workload: Workload) -> None:
        is_l2 = workload.metric == "l2"
        tenants, self._share = chosen_tenants(workload, 4 * workload.dimension + 8, self._limits)
        for tenant in tenants:
            rows = workload.access.rows_of(tenant)
            copy = workload.vectors[rows]
            halves = 0.5 * np.einsum("ij,ij->i", copy, copy) if is_l2 else None
            self._copies[tenant] = copy, halves, rows

    def use(self, setting: str) -> None:
        """There is one setting only."""

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        copy, halves, rows = self._copies[tenant]
        scores = copy @ query
        if halves is not None:
            scores -= halves
        np.negative(scores, out=scores)
        return rows[smallest(scores, K)]

    @property
    def tenants(self) -> frozenset[int]:
        return frozenset(self._copies)

    @property
    def built_share(self) -> float:
        return self._share


class ExactCodes(Contender):
    """8-bit codes of full dimension, each tenant's contiguous, and a re-rank with the one copy of the vectors."""

    name = "exact scan, codes"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._copies: dict[int, tuple[NDArray[np.uint8], Float32s, Float32s, Float32s, Int64s]] = {}
        self._share = 1.0
        self._scratch: tuple[NDArray[np.int8], Float32s, Int64s, Float32s, Int64s] | None = None
        self._vectors: Float32s = np.empty((0, 0), np.float32)

    @property
    def settings(self) -> Sequence[str]:
        return tuple(f"rerank {m}" for m in CANDIDATES)

    def build(self, workload: Workload) -> None:
        self._vectors = workload.vectors
        tenants, self._share = chosen_tenants(workload, workload.dimension + 20, self._limits)
        for tenant in tenants:
            rows = workload.access.rows_of(tenant)
            copy = workload.vectors[rows]
            halves = np.zeros(len(rows), np.float32)
            if workload.metric == "l2":
                np.einsum("ij,ij->i", copy, copy, out=halves)
                halves /= 2
            coded = encode(copy)
            self._copies[tenant] = _padded(coded.codes), coded.step, coded.bias, halves, rows

    def use(self, setting: str) -> None:
        m, d = int(setting.split()[1]), self._vectors.shape[1]
        self._scratch = (
            np.zeros(-(-d // ALIGNED) * ALIGNED, np.int8),
            np.empty(m, np.float32),
            np.empty(m, np.int64),
            np.empty(K, np.float32),
            np.empty(K, np.int64),
        )

    def search(self, tenant: int, query: Float32s) -> NDArray[np.integer]:
        assert self._scratch is not None
        coded, candidate_scores, candidates, scores, found = self._scratch
        copies = self._copies[tenant]
        n = scan_codes(*copies, self._vectors, query, coded, candidate_scores, candidates, scores, found)
        return found[:n]

    @property
    def facts(self) -> dict[str, float | str]:
        return {"parameters": f"8 bits, product by {PRODUCT}"}

    @property
    def tenants(self) -> frozenset[int]:
        return frozenset(self._copies)

    @property
    def built_share(self) -> float:
        return self._share


def _padded(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes with zeros up to a width that the product takes."""
    return np.ascontiguousarray(np.pad(codes, ((0, 0), (0, -codes.shape[1] % ALIGNED))))


def smallest(scores: Float32s, k: int) -> Int64s:
    """Places of the k smallest, ascending; all where there are fewer."""
    if len(scores) <= k:
        return np.argsort(scores)
    chosen = np.argpartition(scores, k)[:k]
    return chosen[np.argsort(scores[chosen])]


def chosen_tenants(workload: Workload, row_bytes: int, limits: Limits) -> tuple[list[int], float]:
    """Tenants that ask, in random order while their rows fit the limit, and their share of all tenants' rows."""
    chosen: list[int] = []
    n_rows = 0
    for tenant in np.random.default_rng(0).permutation(workload.asking()).tolist():
        size = int(workload.access.sizes[tenant])
        if (n_rows + size) * row_bytes > limits.build_bytes:
            break
        chosen.append(tenant)
        n_rows += size
    if not chosen:
        raise LeftOut("the first tenant alone is more than the limit of memory")
    return chosen, n_rows / workload.n_seen
