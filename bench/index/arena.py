"""An index as the server keeps it, without the server: changes go in, layouts are made when they are due.

Vectors go to a file in a temporary folder, as the server's do; the store is not there.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from bench.tenants.ours import pairs_of
from bench.tenants.store import Store
from bench.tenants.workload import Access, Float32s, Int32s, Workload
from bench.tenants.worlds import Worlds
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import prepared
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding, laid_out
from vdb.kernels import warm
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

SAMPLE_ROWS = 100_000
BLOCK_ROWS = 65_536


@dataclass(slots=True)
class Arena:
    """One index and the sequence it stands at; `layout_s` are the CPU seconds of each layout so far."""

    index: CuratorIndex
    sequence: int
    layout_s: list[float] = field(default_factory=list)

    def next(self) -> int:
        """The sequence of the next change."""
        self.sequence += 1
        return self.sequence

    def keep_up(self) -> None:
        """Lay out where it is due, in this thread."""
        if self.index.should_lay_out:
            self.lay_out()

    def lay_out(self) -> None:
        """A successor takes the index's place, with what the server does beside: cells split, models replaced."""
        began = time.thread_time()
        moment = self.index.begin_layout(self.sequence)
        successor = laid_out(self.index, moment).index
        self.index.replay(successor)
        self.index.abandon_layout()
        self.index = successor
        self.layout_s.append(time.thread_time() - began)


def world(cache: Path, name: str, seed: int, is_quick: bool) -> Workload:
    """A workload of `bench tenants`."""
    return Worlds(Store(cache), seed, is_quick=is_quick).make(name)


@contextmanager
def arena(workload: Workload, rows: NDArray[np.int64], n_total: int | None = None) -> Iterator[Arena]:
    """An index over `rows` of a workload, which are its pids too; tenants count from 1.

    The model is made for `n_total` rows (default: those given).
    """
    warm(background=False)
    metric = Metric(workload.metric)
    with TemporaryDirectory(prefix="vdb-bench-") as folder:
        vectors = VectorsFile(Path(folder) / "vectors", workload.dimension)
        for first in range(0, len(rows), BLOCK_ROWS):
            some = rows[first : first + BLOCK_ROWS]
            slots = np.arange(first, first + len(some), dtype=np.uint32)
            vectors.put(slots, prepared(workload.vectors[some], metric))
        chosen = np.arange(len(rows))
        if len(rows) > SAMPLE_ROWS:
            chosen = np.sort(np.random.default_rng(1).choice(len(rows), SAMPLE_ROWS, replace=False))
        model = train(
            np.array(vectors.rows[chosen]), n_total or len(rows), metric, default_encoding(workload.dimension)
        )
        tenants, granted = pairs_of(part_of(workload.access, rows))
        index = CuratorIndex.build(
            replace(model, n_trained=len(rows)),
            rows.astype(np.uint32),
            (workload.access.owners[rows] + 1).astype(np.uint32),
            np.zeros(len(rows), np.int64),
            tenants,
            granted,
            vectors,
            1,
        )
        try:
            yield Arena(index, 1)
        finally:
            vectors.close()


def part_of(access: Access, rows: NDArray[np.int64]) -> Access:
    """Who may see `rows`, which are then numbered from 0 on."""
    lengths = np.diff(access.offsets)[rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    shift = np.repeat(access.offsets[rows] - offsets[:-1], lengths)
    grantees: Int32s = access.grantees[shift + np.arange(offsets[-1])]
    return Access(access.n_tenants, access.owners[rows], offsets, grantees)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a commit of one owner's points hands to the index, as the server makes it."""

    owner: int
    pids: NDArray[np.uint32]
    vectors: Float32s
    puts: dict[int, Sequence[int] | None]

    def put(self, arena: Arena) -> None:
        """Do it on the index."""
        never = np.zeros(len(self.pids), np.int64)
        arena.index.put(self.owner, self.pids, self.vectors, never, self.puts, arena.next())


def batch_of(workload: Workload, rows: NDArray[np.int64], pids: NDArray[np.uint32]) -> Batch:
    """`rows`, of one owner, as new points `pids` with their grants."""
    access = part_of(workload.access, rows)
    position = np.repeat(np.arange(len(rows)), np.diff(access.offsets))
    order = np.argsort(access.grantees, kind="stable")
    tenants, starts = np.unique(access.grantees[order], return_index=True)
    owner = int(access.owners[0]) + 1
    puts: dict[int, Sequence[int] | None] = {owner: None}
    for tenant, mine in zip(tenants.tolist(), np.split(position[order], starts[1:]), strict=True):
        puts[-(tenant + 1)] = mine.tolist()
    return Batch(owner, pids, np.array(workload.vectors[rows]), puts)
