"""The shared index of a collection whose posting lists lie on disk.

In RAM are the heads of the lists, directories, and where pages lie: some 10 bytes per row, whatever its dimension. Any
number of threads search `state`, without locks.
Source: SPANN (arXiv 2111.08566) over the readings of Curator (arXiv 2401.07119); DESIGN §2.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from vdb.errors import CorruptData
from vdb.index.curator.layout import cut, spans_of
from vdb.index.curator.model import Model
from vdb.index.curator.room import seconds_of
from vdb.index.curator.state import Directories, Pairs
from vdb.index.kmeans import Check, unasked
from vdb.index.spann.coding import spread_of
from vdb.index.spann.deepening import deepened
from vdb.index.spann.state import Ended, State
from vdb.kernels import Kernels, current
from vdb.kernels.reference import Float32s, Int64s, UInt32s
from vdb.storage.list_pages import Shape
from vdb.storage.lists import Lists
from vdb.types import EVERYONE_ID, Metric

ENTRY_ROWS = 81
"""Rows of a reading that an entry holds at most, unless its node is a leaf: about two pages."""
OWN_WHOLE = 1_000
LIST_WHOLE = 100
"""Runs and lists up to this long have no entries: they are scanned whole. A granted row may have a page of its own."""
BLOCK_ROWS = 8_192


class Vectors(Protocol):
    """Full-precision vectors in slots, mapped."""

    @property
    def rows(self) -> Float32s:
        """float32 (slots, D), all that were put."""

    def put(self, slots: UInt32s, vectors: Float32s) -> None: ...


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a search goes: rows of lists scanned, beyond those that are scanned whole; candidates compared by their
    vectors, at most; how much farther than the nearest list another may be, as a ratio of distances (not for inner
    product); and how many standard deviations of their errors estimates of candidates may be worse than the k-th."""

    budget: int
    candidates: int
    ratio: float = float("inf")
    spreads: float = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Of one query, nearest first: distance float32 (k,) as kernels state it (L2 squared), row int64 (k,), −1 for none,
    pid uint32 (k,).

    statistics int64 (8,): lists scored, lists read, rows scored, rows compared, pages of lists, pages of vectors; 0, 0.
    """

    distance: Float32s
    row: Int64s
    pid: UInt32s
    statistics: Int64s


class SpannIndex:
    """Made by `build`, or of a state that was opened. What is written later is not in it."""

    def __init__(self, state: State) -> None:
        self.state = state

    @classmethod
    def build(
        cls,
        model: Model,
        pids: UInt32s,
        owners: UInt32s,
        expires_at_ms: Int64s,
        tenants: UInt32s,
        granted: Pairs,
        vectors: Vectors,
        ordered: Vectors,
        lists: Lists,
        sequence: int,
        kernels: Kernels | None = None,
        check: Check = unasked,
    ) -> Self:
        """An index of these points as they stand at `sequence`; slot i of `vectors` is point i's, prepared.

        `model` is one for RAM, whose cells are split. Vectors are written to `ordered` in the order of the layout:
        those of a list lie together. Pages go to a new generation of `lists`. Raises DiskFull, StorageFailure.
        """
        chosen = kernels or current()
        deep, cells = deepened(model, vectors.rows[: len(pids)], chosen, check)
        keys = np.zeros(len(pids), np.uint64)
        chosen.sharing_keys(*granted, keys)
        check()
        order = np.lexsort((keys, cells, owners)).astype(np.uint32)
        directories = _directories(deep, owners, cells, order, tenants, granted, chosen)
        expires_at = seconds_of(expires_at_ms) if expires_at_ms.any() else None
        has_offsets = deep.metric is Metric.L2
        n_columns = 2 + has_offsets + (expires_at is not None)
        writer = lists.writer(Shape(deep.encoding.row_bytes, n_columns))
        for first in range(0, len(order), BLOCK_ROWS):
            check()
            here = order[first : first + BLOCK_ROWS]
            slots = np.arange(first, first + len(here), dtype=np.uint32)
            block = vectors.rows[here]
            ordered.put(slots, block)
            codes, offsets = deep.encode_rows(block)
            columns = [pids[here], slots]
            columns += [offsets.view(np.uint32)] if has_offsets else []
            columns += [expires_at[here]] if expires_at is not None else []
            writer.add(codes, columns)
        pages = lists.open(writer.finish())
        has_expiry = expires_at is not None
        spread = spread_of(deep, vectors.rows[: len(pids)])
        return cls(State(deep, pages, directories, ordered.rows, Ended(), has_expiry, spread, sequence, chosen))

    def search(
        self, state: State, tenant: int, query: Float32s, k: int, sequence: int, now_ms: int, effort: Effort
    ) -> Found:
        """The nearest rows that a tenant may see, its own, granted ones and everyone's.

        Raises CorruptData where a page is damaged: the index is to be made anew.
        """
        margin = effort.spreads * state.spread if effort.spreads < float("inf") else effort.spreads
        found = Found(np.empty(k, np.float32), np.empty(k, np.int64), np.empty(k, np.uint32), np.empty(8, np.int64))
        state.kernels.search_lists(
            query, *state.tables, state.table(tenant), state.table(EVERYONE_ID), sequence - state.base_sequence,
            now_ms // 1000, effort.budget, effort.ratio, margin, max(k, effort.candidates), found.distance,
            found.row, found.pid, found.statistics,
        )  # fmt: skip
        if found.statistics[6]:
            raise CorruptData(f"page {found.statistics[6] - 1} of posting lists is damaged")
        return found


def _directories(
    model: Model, owners: UInt32s, cells: UInt32s, order: UInt32s, tenants: UInt32s, granted: Pairs, kernels: Kernels
) -> Directories:
    """Every tenant's reading over rows in their order."""
    place = np.empty(len(order), np.uint32)
    place[order] = np.arange(len(order), dtype=np.uint32)
    starts, pairs = granted
    listed = np.empty(len(pairs), np.uint32)
    cells = cells[order]
    kernels.list_rows(starts, pairs, place, cells, listed)
    everyone, spans = spans_of(owners[order], tenants, starts)
    return cut(model, everyone, spans, listed, cells, kernels, (ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE))
