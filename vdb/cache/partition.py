"""The entries of one partition: those that are eligible together, found by cosine.

A search compares the float32 vectors of its candidates, so its similarities are exact. Candidates are all rows of a
small partition; from a megabyte of vectors on those whose codes are nearest, and among very many those to which a
graph leads (`vdb/cache/candidates.py`). Vectors are of unit length and finite: who calls has refused zero vectors, nan
and infinity.

Bytes of a row of d components: 4 d for its vector, 12 for number and stamp, about 100 for finding it by its number, d
/ 2 + 8 for codes, and where there is a graph 4 d + 150. Up to half as much again is room for more, most of which the
system does not give until it is used.
"""

import threading
from typing import Final, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vdb.cache.candidates import Indexes
from vdb.cache.graph_keeper import GraphKeeper
from vdb.cache.rows import Rows
from vdb.kernels import current
from vdb.kernels.reference import Float32s, UInt32s
from vdb.kernels.reference_layout import UInt64s

Scalar = TypeVar("Scalar", bound=np.generic)

Found = tuple[UInt64s, Float32s]
"""Numbers uint64 (n,) and similarities float32 (n,), descending."""

LEAST_CANDIDATES: Final = 48
CANDIDATES_PER_HIT: Final = 3
PARTED_ABOVE: Final = 8
"""Times k: from so many candidates on, the best are parted from the rest before they are sorted."""


class _State(NamedTuple):
    """What a search takes, and finds unchanged at its end."""

    rows: Rows
    keeper: GraphKeeper | None


class Partition:
    """Any thread may call anything: writers take turns, searches wait for nobody. `close` ends the thread of a graph.

    What `add` has added is found, and what `remove` has removed is not, by every search that begins after it returned.
    """

    __slots__ = ("_indexes", "_lock", "_places", "_state")

    def __init__(self, dimension: int, indexes: Indexes | None = None) -> None:
        """Without `indexes` all rows are compared, however many."""
        self._indexes: Final = indexes or Indexes()
        self._state = _State(Rows.empty(dimension, 0, self._indexes), None)
        self._places: dict[int, int] = {}
        self._lock: Final = threading.Lock()

    @classmethod
    def bulk(cls, numbers: UInt64s, vectors: Float32s, indexes: Indexes | None = None) -> Self:
        """A partition of these entries; numbers differ. Arrays of the right dtype and order are kept, not copied."""
        partition = cls(vectors.shape[1], indexes)
        rows = Rows(_own(vectors, np.float32), _own(numbers, np.uint64), len(numbers), partition._indexes)
        with partition._lock:
            partition._places = dict(zip(numbers.tolist(), range(len(numbers)), strict=True))
            partition._take(rows, None)
        return partition

    @property
    def n_rows(self) -> int:
        """Live entries."""
        return self._state.rows.n_live

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and about those of the graph, room for more rows included."""
        rows, keeper = self._state
        return rows.nbytes + (keeper.nbytes if keeper else 0)

    @property
    def is_settled(self) -> bool:
        """Whether no graph is being made or filled."""
        keeper = self._state.keeper
        return keeper is None or not keeper.is_filling

    def close(self) -> None:
        """End the thread of the graph soon; searches go on, more slowly as rows change."""
        with self._lock:
            if self._state.keeper:
                self._state.keeper.close()

    def add(self, number: int, vector: Float32s) -> None:
        """Enter `number` with `vector` float32 (d,), of unit length; in place of what had that number."""
        with self._lock:
            self._end(number)
            rows, keeper = self._state
            if rows.is_full:
                rows = rows.grown()
                if keeper:
                    keeper.moved(rows)
            row = rows.vacant()
            rows.begin(row, number, vector)
            self._places[number] = row
            if keeper:
                keeper.note(row)
            self._take(rows, keeper)

    def remove(self, number: int) -> bool:
        """Take `number` out; whether it was there."""
        with self._lock:
            was_there = self._end(number)
            if self._state.rows.should_compact:
                if self._state.keeper:
                    self._state.keeper.close()
                rows = self._state.rows.compacted()
                numbers = rows.numbers[: rows.stop].tolist()
                self._places = dict(zip(numbers, range(len(numbers)), strict=True))
                self._take(rows, None)
            return was_there

    def _end(self, number: int) -> bool:
        row = self._places.pop(number, None)
        if row is None:
            return False
        rows, keeper = self._state
        rows.end(row)
        if keeper:
            keeper.note(row)
        return True

    def _take(self, rows: Rows, keeper: GraphKeeper | None) -> None:
        """With the lock: publish `rows`, with a graph to come where there are so many."""
        indexes = self._indexes
        if keeper is None and indexes.make_graph is not None and rows.n_live >= indexes.graph_from_rows:
            keeper = GraphKeeper(rows, indexes, self._lock)
        if rows is not self._state.rows or keeper is not self._state.keeper:
            self._state = _State(rows, keeper)

    def vector_of(self, number: int) -> Float32s | None:
        """A copy of the vector of an entry, float32 (d,); None where there is no such entry."""
        with self._lock:
            row = self._places.get(number)
            return None if row is None else self._state.rows.vectors[row].copy()

    def search(self, query: Float32s, k: int) -> Found:
        """The `k` entries nearest to `query` float32 (d,), of unit length; all of them where there are fewer.

        Equal similarities stand in any order.
        """
        may_ask_graph = True
        while True:
            state = self._state
            found = _nearest(state.rows, state.keeper if may_ask_graph else None, query, k)
            if found is not None and self._state is state:
                return found
            may_ask_graph = False


def _nearest(rows: Rows, keeper: GraphKeeper | None, query: Float32s, k: int) -> Found | None:
    """None where so many candidates have ended that there are not `k` left: look again, without the graph."""
    candidates = _candidates(rows, keeper, query, k)
    stamps = rows.stamps[candidates]
    similarities = np.empty(len(candidates), np.float32)
    current().compare_rows(query, rows.vectors, candidates, similarities)
    numbers = rows.numbers[candidates]
    is_whole = (rows.stamps[candidates] == stamps) & (stamps & 1 != 0)
    if not is_whole.all():
        if np.count_nonzero(is_whole) < k:
            return None
        similarities, numbers = similarities[is_whole], numbers[is_whole]
    best = _best(similarities, k)
    return numbers[best], similarities[best]


def _candidates(rows: Rows, keeper: GraphKeeper | None, query: Float32s, k: int) -> UInt32s:
    """Rows among which the `k` nearest are: `k` at least, unless there are fewer. Some may have ended."""
    m = max(LEAST_CANDIDATES, CANDIDATES_PER_HIT * k)
    if rows.codes is None or rows.n_live <= 2 * m:
        return rows.live()
    if keeper:
        near = keeper.candidates(rows, query, m)
        if near is not None and len(near) >= k:
            return near
    return rows.codes.nearest(query, rows.stop, rows.stamps, m)


def _own(array: NDArray[Scalar], dtype: type[Scalar]) -> NDArray[Scalar]:
    """In C order and writable: rows will be used again."""
    return np.require(array, dtype, ("C", "W"))


def _best(similarities: Float32s, k: int) -> NDArray[np.intp]:
    """Places of the `k` greatest, descending."""
    if len(similarities) > PARTED_ABOVE * k > 0:
        parted = np.argpartition(similarities, len(similarities) - k)[-k:]
        return parted[np.argsort(similarities[parted])[::-1]]
    return np.argsort(similarities)[::-1][:k]
