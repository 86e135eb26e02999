"""What chooses candidates in partitions too large to compare whole; `vdb/index` has it, the engine hands it in."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from vdb.kernels.reference import Float32s, UInt32s


class Codes(Protocol):
    """Short codes of all rows, scanned. One writer; readers beside it need no lock."""

    @property
    def nbytes(self) -> int: ...

    def put(self, first: int, vectors: Float32s) -> None:
        """Code vectors (n, d) for the rows from `first` on."""

    def grown(self, capacity: int, n: int) -> Self:
        """The first `n` rows in arrays of `capacity`."""

    def nearest(self, query: Float32s, rows: UInt32s | int, stamps: UInt32s, m: int) -> UInt32s:
        """About the `m` nearest of `rows`, or of so many first ones, whose stamps are odd."""


class Graph(Protocol):
    """Links between rows. Any thread may call anything."""

    @property
    def n_rows(self) -> int: ...

    @property
    def n_dropped(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def put(self, rows: UInt32s, vectors: Float32s) -> None:
        """Enter rows (n,), each once; one that is there gets the new vector. Raises VdbError."""

    def drop(self, rows: UInt32s) -> None:
        """These rows are not found any more, those of them that are there."""

    def nearest(self, query: Float32s, m: int, patience_s: float) -> UInt32s | None:
        """About the `m` nearest rows; None where another way is better."""


def _on_a_thread(work: Callable[[], None]) -> None:
    """No daemon: one that is in a library's code when the process ends has it aborted. `GraphKeeper` sees the end."""
    threading.Thread(target=work, name="vdb-cache-graph").start()


@dataclass(frozen=True, slots=True)
class Indexes:
    """`make_codes` and `make_graph` take dimension and capacity; a graph needs codes.

    None is made of fewer than `graph_from_rows`. `beside` runs a function on another thread, for minutes at worst.
    """

    make_codes: Callable[[int, int], Codes] | None = None
    make_graph: Callable[[int, int], Graph] | None = None
    graph_from_rows: int = 65_536
    beside: Callable[[Callable[[], None]], None] = _on_a_thread
