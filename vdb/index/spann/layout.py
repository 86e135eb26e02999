"""Lays rows out on disk: (owner, list, sharing list), a generation of pages, and every tenant's reading over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vdb.index.curator.layout import cut, spans_of
from vdb.index.curator.model import Model
from vdb.index.curator.state import Directories, Pairs
from vdb.index.kmeans import Check, unasked
from vdb.index.spann.state import NO_ROW
from vdb.kernels import Kernels
from vdb.kernels.reference import UInt8s, UInt32s
from vdb.storage.list_pages import Shape
from vdb.storage.lists import Lists, Pages
from vdb.types import Metric

ENTRY_ROWS = 81
"""Rows of a reading that an entry holds at most, unless its node is a leaf: about two pages."""
OWN_WHOLE = 1_000
LIST_WHOLE = 100
"""Runs and lists up to this long have no entries: they are scanned whole. A granted row may have a page of its own."""
BLOCK_ROWS = 2_048
"""Rows moved at once: meanwhile no other thread has the interpreter. 8,192 take up to 6 ms."""

Fetch = Callable[[UInt32s], tuple[UInt8s, Sequence[UInt32s]]]
"""Codes and columns (pids, slots, squared norms for L2, expiries where a row has one) of rows by their old numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Rows to lay out, by their old numbers: owners and lists uint32 (n,); `tenants` ascending are those that `granted`
    is about."""

    owners: UInt32s
    cells: UInt32s
    tenants: UInt32s
    granted: Pairs


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A layout on disk: its pages and directories, `cells` uint32 (n,) of rows by their new numbers, `row_of_pid`
    uint32 by pid, `slots` uint32 (n,)."""

    pages: Pages
    directories: Directories
    cells: UInt32s
    row_of_pid: UInt32s
    slots: UInt32s


def lay_out(
    model: Model, given: Numbers, has_expiry: bool, fetch: Fetch, lists: Lists, kernels: Kernels, check: Check = unasked
) -> Written:
    """Write a new generation of `lists`, block by block. Raises DiskFull, StorageFailure, and what `fetch` does."""
    order = _order(given, kernels, check)
    cells = given.cells[order]
    directories = _directories(model, given, cells, order, kernels)
    check()
    n = len(order)
    pids, slots = np.empty(n, np.uint32), np.empty(n, np.uint32)
    writer = lists.writer(Shape(model.encoding.row_bytes, 2 + (model.metric is Metric.L2) + has_expiry))
    for first in range(0, n, BLOCK_ROWS):
        check()
        here = slice(first, min(first + BLOCK_ROWS, n))
        codes, columns = fetch(order[here])
        pids[here], slots[here] = columns[:2]
        writer.add(codes, columns)
    row_of_pid = np.full(int(pids.max()) + 1 if n else 0, NO_ROW, np.uint32)
    row_of_pid[pids] = np.arange(n, dtype=np.uint32)
    return Written(lists.open(writer.finish()), directories, cells, row_of_pid, slots)


def _order(given: Numbers, kernels: Kernels, check: Check) -> UInt32s:
    keys = np.zeros(len(given.owners), np.uint64)
    kernels.sharing_keys(*given.granted, keys)
    check()
    return np.lexsort((keys, given.cells, given.owners)).astype(np.uint32)


def _directories(model: Model, given: Numbers, cells: UInt32s, order: UInt32s, kernels: Kernels) -> Directories:
    """Every tenant's reading over rows in their order; `cells` are theirs."""
    place = np.empty(len(order), np.uint32)
    place[order] = np.arange(len(order), dtype=np.uint32)
    starts, pairs = given.granted
    listed = np.empty(len(pairs), np.uint32)
    kernels.list_rows(starts, pairs, place, cells, listed)
    everyone, spans = spans_of(given.owners[order], given.tenants, starts)
    return cut(model, everyone, spans, listed, cells, kernels, (ENTRY_ROWS, OWN_WHOLE, LIST_WHOLE))
