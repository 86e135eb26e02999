"""What an index keeps in RAM for each tenant and each grant: bytes, counted, of indexes with few components per row.

Tenants own three points each: bytes beyond the same index of one owner. Grants are random, each point's to different
tenants: bytes beyond the same index without them.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from bench.report import Figure
from bench.scaling.memory import Found
from bench.scaling.sets import figures
from bench.tenants.access import single
from bench.tenants.ours import pairs_of
from bench.tenants.workload import Access
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Model
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding
from vdb.kernels import warm
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

TENANTS = (100, 1_000, 10_000, 100_000, 1_000_000)
POINTS_PER_TENANT, DIMENSION = 3, 16
GRANTED_ROWS, GRANTS_PER_POINT = 100_000, 10
N_TRAINED = 20_000


def measure(given: argparse.Namespace) -> list[Figure]:
    """Figures of every number of tenants."""
    warm(background=False)
    found: list[Figure] = []
    for n_tenants in (50, 100, 200) if given.quick else given.sizes or TENANTS:
        n_granted = min(GRANTED_ROWS, 100 * n_tenants)
        found += figures("directories", n_tenants, _of(n_tenants, n_granted, given.seed))
        print(f"{n_tenants:,} tenants are done", flush=True)
    return found


def _of(n_tenants: int, n_granted: int, seed: int) -> Found:
    n = n_tenants * POINTS_PER_TENANT
    rng = np.random.default_rng([seed, 30])
    owning = np.repeat(np.arange(1, n_tenants + 1, dtype=np.uint32), POINTS_PER_TENANT)
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        rows = rng.standard_normal((max(n, n_granted), DIMENSION)).astype(np.float32)
        vectors = VectorsFile(Path(folder) / "vectors", DIMENSION)
        vectors.put(np.arange(len(rows), dtype=np.uint32), rows)
        model = train(rows[:N_TRAINED], n, Metric.L2, default_encoding(DIMENSION))
        apart = _bytes(model, vectors, owning, single(n)) - _bytes(model, vectors, np.ones(n, np.uint32), single(n))
        alone = np.full(n_granted, n_tenants + 1, np.uint32)
        access = _shared(n_granted, n_tenants, rng)
        granted = _bytes(model, vectors, alone, access) - _bytes(model, vectors, alone, single(n_granted))
        vectors.close()
    return {
        "bytes in RAM per tenant": (apart / n_tenants, "B"),
        "bytes in RAM per grant": (granted / access.n_grants, "B"),
        "grants per tenant": (access.n_grants / n_tenants, ""),
    }


def _shared(n: int, n_tenants: int, rng: np.random.Generator) -> Access:
    """Each point granted to so many different tenants, in a row from a random one on."""
    first = rng.integers(n_tenants, size=(n, 1))
    grantees = np.sort((first + np.arange(GRANTS_PER_POINT)) % n_tenants, axis=1).astype(np.int32)
    offsets = np.arange(n + 1, dtype=np.int64) * GRANTS_PER_POINT
    return Access(n_tenants + 1, np.full(n, n_tenants, np.int32), offsets, grantees.ravel())


def _bytes(model: Model, vectors: VectorsFile, owners: NDArray[np.uint32], access: Access) -> int:
    n = len(owners)
    index = CuratorIndex.build(
        model, np.arange(n, dtype=np.uint32), owners, np.zeros(n, np.int64), *pairs_of(access), vectors, 1
    )
    return index.nbytes
