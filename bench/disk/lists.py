"""One index on disk, built from the vectors of a workload and kept in `--cache`, and how a process opens it again.

Heads' full vectors, which no search reads, are not kept with it.
"""

import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.tenants.ours import pairs_of
from bench.tenants.store import Store
from bench.tenants.workload import Float32s, Int64s, Workload
from vdb.index.curator.model import Model
from vdb.index.curator.state import NO_PLACES, Directories
from vdb.index.curator.training import train
from vdb.index.spann.coding import default_encoding
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort
from vdb.index.spann.state import Laid
from vdb.kernels import warm
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import EVERYONE_ID, Metric

EFFORT = Effort(budget=1_700, candidates=60, ratio=1.2, spreads=2.5)
SAMPLE_ROWS = 100_000
_LISTS, _VECTORS, _MADE = "lists", "vectors.vdb", "made.pickle"
_FORMAT = "v2"
"""In the key of what is kept: changed when an index is built another way."""

UInt32s = NDArray[np.uint32]
NO_GRANTS = (np.zeros(0, np.uint32), (np.zeros(1, np.int64), np.zeros(0, np.uint32)))
"""Of points that only their owners see."""


@dataclass(frozen=True, slots=True)
class Made:
    """What of an index is in RAM; the rest lies in the folder beside it."""

    model: Model
    directories: Directories
    generation: int
    spread: float
    build_s: float
    build_cpu_s: float

    @contextmanager
    def opened(self, folder: Path) -> Iterator[SpannIndex]:
        """The index as a start would have it, but for what only writes and folds read."""
        lists, vectors = Lists(folder / _LISTS), VectorsFile(folder / _VECTORS, self.model.dimension)
        pages = lists.open(self.generation)
        try:
            nothing = NO_PLACES, NO_PLACES, NO_PLACES
            laid = Laid(self.model, pages, self.directories, vectors.rows, *nothing, False, self.spread, 1)
            yield SpannIndex(laid, vectors, vectors.n_slots)
            del laid
        finally:
            vectors.close()
            lists.close()


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What an index is built of: vectors of length 1, float32 (n, d), owners uint32 (n,), and who is granted what."""

    vectors: Float32s
    owners: UInt32s
    granted: tuple[UInt32s, tuple[Int64s, UInt32s]]
    metric: str

    @classmethod
    def of(cls, workload: Workload, is_public: bool = False) -> "Points":
        """Those of a workload, whose tenants then count from 1; or as everyone's."""
        owners = (workload.access.owners + 1).astype(np.uint32)
        owners = np.full_like(owners, EVERYONE_ID) if is_public else owners
        return cls(workload.vectors, owners, pairs_of(workload.access), workload.metric)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Vectors in an array, that an index is built of."""

    rows: Float32s


def made(cache: Path, workload: Workload, is_public: bool = False) -> Path:
    """The folder of the index of a workload's points, built where it is not there yet."""
    warm(background=False)
    key = f"disk-{_FORMAT}-{'public-' if is_public else ''}{workload.key}"
    return Store(cache).made(key, lambda folder: build(Points.of(workload, is_public), folder))


def read(folder: Path) -> Made:
    """What of the index in a folder is in RAM."""
    found: Made = pickle.loads((folder / _MADE).read_bytes())
    return found


def build(points: Points, folder: Path) -> None:
    """Fill a folder with an index."""
    n, dimension = points.vectors.shape
    ordered, lists = VectorsFile(folder / _VECTORS, dimension), Lists(folder / _LISTS)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    sample = np.sort(np.random.default_rng(1).choice(n, min(n, SAMPLE_ROWS), replace=False))
    model = train(np.array(points.vectors[sample]), n, Metric(points.metric), default_encoding(dimension))
    numbers = np.arange(n, dtype=np.uint32), points.owners, np.zeros(n, np.int64), *points.granted
    laid = SpannIndex.build(model, *numbers, Rows(points.vectors), ordered, lists, 1).state.laid
    ordered.flush()
    took = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    kept = laid.model.resting_on(np.zeros((0, dimension), np.float32))
    kept.__dict__.pop("table")  # of addresses, which mean nothing to another process
    found = Made(kept, laid.directories, laid.pages.generation, laid.spread, *took)
    (folder / _MADE).write_bytes(pickle.dumps(found))
    ordered.close()
    lists.close()
