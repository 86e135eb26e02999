"""A graph that compares everything, for tests of what stands around one; it can be held up and can fail."""

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vdb.cache.candidates import Indexes
from vdb.cache.partition import Partition
from vdb.index.coded_rows import CodedRows
from vdb.kernels.reference import Float32s, UInt32s


class PlainGraph:
    """What was put is found until it is dropped."""

    def __init__(self, dimension: int, capacity: int) -> None:
        self.vectors: dict[int, NDArray[np.float32]] = {}
        self.n_dropped = 0
        self.n_asked = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()

    @property
    def n_rows(self) -> int:
        return len(self.vectors)

    @property
    def nbytes(self) -> int:
        return sum(vector.nbytes for vector in self.vectors.values())

    def put(self, rows: UInt32s, vectors: Float32s) -> None:
        self.gate.wait(10)
        self.drop(rows)
        with self.lock:
            self.vectors.update(zip(rows.tolist(), vectors.copy(), strict=True))

    def drop(self, rows: UInt32s) -> None:
        with self.lock:
            self.n_dropped += sum(self.vectors.pop(row, None) is not None for row in rows.tolist())

    def nearest(self, query: Float32s, m: int, patience_s: float) -> UInt32s | None:
        self.n_asked += 1
        with self.lock:
            found = dict(self.vectors)
        near = sorted(found, key=lambda row: -float(found[row] @ query))
        return np.array(near[:m], np.uint32)


def with_graph(made: list[PlainGraph], from_rows: int = 200) -> Indexes:
    """Codes, and plain graphs that are noted in `made`."""

    def make(dimension: int, capacity: int) -> PlainGraph:
        made.append(PlainGraph(dimension, capacity))
        return made[-1]

    return Indexes(make_codes=CodedRows, make_graph=make, graph_from_rows=from_rows)


def wait(is_so: Callable[[], bool]) -> None:
    """Until it is; fails after ten seconds."""
    for _ in range(10_000):
        if is_so():
            return
        time.sleep(0.001)
    raise AssertionError("it never was")


def settle(partition: Partition) -> None:
    """Until no graph is being made or filled."""
    wait(lambda: partition.is_settled)
