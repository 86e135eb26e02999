"""Whether the arrays of a layout fit each other: kernels trust what they are given, and checksums only tell bit rot.

Nothing may point outside of its array, and what searches rely on without looking holds: rows lie by (owner, cell),
lists by (cell, row), runs, lists and entries follow each other without gaps, no row is named twice. Shapes and types as
in docs/storage-format.md; n = rows, v = nodes, t = tenants, p = places in lists, e = entries.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.state import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    N_SPANS,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
)
from vdb.index.spann.state import NO_ROW
from vdb.kernels.distinct import distinct
from vdb.types import Metric

Arrays = Mapping[str, NDArray[np.generic]]
Int64s = NDArray[np.int64]
Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Name → type and shape."""

BLOCK_PLACES = 1 << 20
"""Places of lists that are looked at together."""


def check_shapes(arrays: Arrays, metric: Metric, dimension: int, encoding: Encoding, is_projected: bool) -> None:
    """Types and shapes of all arrays of a layout in RAM; raises CorruptData."""
    n = len(arrays["pids"])
    n_expiries = n if len(arrays["expires_at"]) else 0
    wanted: Shapes = dict.fromkeys(("pids", "slots", "owners", "cells"), ("u4", (n,)))
    wanted |= {
        "codes": ("u1", (n, encoding.row_bytes)),
        "offsets": ("f4", (n if metric is Metric.L2 else 0,)),
        "expires_at": ("u4", (n_expiries,)),
    }
    _check_shapes(arrays, wanted, dimension, encoding, is_projected)


def check_laid_shapes(arrays: Arrays, n_rows: int, dimension: int, encoding: Encoding, is_projected: bool) -> None:
    """Types and shapes of all arrays of a layout whose rows lie on disk; raises CorruptData."""
    wanted: Shapes = {
        "cells": ("u4", (n_rows,)),
        "row_of_pid": ("u4", (len(arrays["row_of_pid"]),)),
        "unnamed": ("u4", (len(arrays["unnamed"]),)),
    }
    _check_shapes(arrays, wanted, dimension, encoding, is_projected)


def _check_shapes(arrays: Arrays, wanted: Shapes, dimension: int, encoding: Encoding, is_projected: bool) -> None:
    """These, and those that every layout has."""
    v, t, d = len(arrays["children"]), len(arrays["tenants"]), encoding.dimension
    wanted |= {
        "tenants": ("u4", (t,)),
        "spans": ("i8", (t, N_SPANS)),
        "entries": ("u4", (2, arrays["entries"].shape[-1])),
        "listed": ("u4", (len(arrays["listed"]),)),
        "children": ("i4", (v, 2)),
        "centroid": ("f4", (v, dimension)),
        "radius": ("f4", (v,)),
    }
    if is_projected:
        wanted |= {"of_queries": ("f4", (d, dimension)), "of_rows": ("f4", (d, dimension))}
        wanted |= {"mean": ("f4", (dimension,)), "energy": ("f8", (d,))}
    for name, (kind, shape) in wanted.items():
        _require(arrays[name].dtype == np.dtype(f"<{kind}") and arrays[name].shape == shape, f"of {name}")
    is_whole = encoding.form in (Form.FLOAT32, Form.FLOAT16) or not is_projected
    _require(1 <= d <= dimension and v > 0 and (is_projected or d == dimension), "of the model")
    _require(not (is_whole and d != dimension), "of the model")


def check_model(model: Model) -> None:
    """A tree whose nodes follow their parents, and finite numbers; raises CorruptData."""
    children, n = model.children, len(model.children)
    is_leaf = (children == -1).all(axis=1)
    inner = children[~is_leaf].astype(np.int64)
    parents = np.flatnonzero(~is_leaf)[:, None]
    _require(bool(((inner > parents) & (inner < n)).all()), "of the tree")
    _require(np.array_equal(np.sort(inner.ravel()), np.arange(1, n)), "of the tree")
    projection = model.projection
    floats = [model.centroid, model.radius]
    floats += [projection.of_queries, projection.of_rows, projection.mean] if projection is not None else []
    _require(all(bool(np.isfinite(values).all()) for values in floats), "of the model")


def check_rows(arrays: Arrays, n_cells: int, n_slots: int) -> None:
    """Rows by (owner, cell), each of another pid and slot; raises CorruptData."""
    cells, owners = arrays["cells"].astype(np.uint64), arrays["owners"].astype(np.uint64)
    order = (owners << np.uint64(32)) | cells
    _require(bool((order[1:] >= order[:-1]).all() and (cells < n_cells).all()), "of the rows")
    _require(bool((arrays["slots"].astype(np.int64) < n_slots).all()), "of the slots")
    for name in ("pids", "slots"):
        _require(len(distinct(arrays[name])) == len(arrays[name]), f"of the {name}")


def check_laid(arrays: Arrays, n_cells: int, n_nodes: int, n_slots: int) -> None:
    """Rows on disk by (owner, list), each of one pid, and readings over them; raises CorruptData."""
    cells, rows = arrays["cells"].astype(np.uint64), arrays["row_of_pid"].astype(np.uint32)
    n = len(cells)
    owners = _owners_of(arrays, n)
    order = (owners.astype(np.uint64) << np.uint64(32)) | cells
    _require(bool((order[1:] >= order[:-1]).all() and (cells < n_cells).all()), "of the rows")
    held = rows[rows != NO_ROW]
    _require(len(held) == n and bool((held.astype(np.int64) < n).all()) and len(distinct(held)) == n, "of the pids")
    unnamed = arrays["unnamed"].astype(np.int64)
    is_right = bool((np.diff(unnamed) > 0).all()) and (not len(unnamed) or int(unnamed[-1]) < n_slots)
    _require(is_right and n + len(unnamed) == n_slots, "of the slots")
    check_directories({**arrays, "pids": arrays["cells"], "owners": owners}, n_nodes)


def _owners_of(arrays: Arrays, n: int) -> NDArray[np.uint32]:
    """Whose each of n rows is, by the runs of their tenants, which follow each other without gaps."""
    spans = arrays["spans"].astype(np.int64)
    owning = np.flatnonzero(spans[:, OWN_STOP] != spans[:, OWN_FIRST])
    first, stop = spans[owning, OWN_FIRST], spans[owning, OWN_STOP]
    ends = np.append(0, stop)
    _require(bool((first == ends[:-1]).all() and (np.diff(ends) > 0).all()) and int(ends[-1]) == n, "of the runs")
    owners: NDArray[np.uint32] = np.repeat(arrays["tenants"][owning].astype(np.uint32), stop - first)
    return owners


def check_directories(arrays: Arrays, n_nodes: int) -> None:
    """Spans, lists and entries that follow each other; raises CorruptData. After `check_rows`."""
    n, n_listed, n_entries = (arrays[name].shape[-1] for name in ("pids", "listed", "entries"))
    spans = arrays["spans"].astype(np.int64)
    tenants = arrays["tenants"].astype(np.int64)
    limits = np.array([n, n, n_entries, n_listed, n_listed, n_entries, n_entries, 0, 0], np.int64)
    _require(bool(((spans >= 0) & (spans <= limits)).all() and (np.diff(tenants) > 0).all()), "of the spans")
    owners = arrays["owners"]
    first, stop = np.searchsorted(owners, tenants), np.searchsorted(owners, tenants, "right")
    is_owner = stop > first
    is_right = (spans[:, OWN_FIRST] == np.where(is_owner, first, 0)) & (
        spans[:, OWN_STOP] == np.where(is_owner, stop, 0)
    )
    _require(bool(is_right.all()) and int((stop - first).sum()) == n, "of the runs")
    held = spans[spans[:, LIST_STOP] != spans[:, LIST_FIRST]]
    ends = np.append(0, held[:, LIST_STOP])
    _require(bool((held[:, LIST_FIRST] == ends[:-1]).all() and (np.diff(ends) > 0).all()), "of the lists")
    _require(int(ends[-1]) == n_listed, "of the lists")
    _check_listed(arrays, held)
    _check_entries(arrays, spans, n_nodes)


def _check_listed(arrays: Arrays, held: Int64s) -> None:
    """Each list by (cell, row), none of the tenant's own rows in it."""
    listed, cells = arrays["listed"], arrays["cells"]
    n = len(cells)
    for begin in range(0, len(listed), BLOCK_PLACES):
        rows = listed[begin : begin + BLOCK_PLACES + 1].astype(np.int64)  # one more: blocks are ordered too
        _require(bool((rows < n).all()), "of the lists")
        of = np.searchsorted(held[:, LIST_STOP], np.arange(begin, begin + len(rows)), "right")
        is_own = (rows >= held[of, OWN_FIRST]) & (rows < held[of, OWN_STOP])
        order = (cells[rows].astype(np.int64) << 32) | rows
        _require(not is_own.any() and bool(((np.diff(order) > 0) | (np.diff(of) > 0)).all()), "of the lists")


def _check_entries(arrays: Arrays, spans: Int64s, n_nodes: int) -> None:
    """Entries cut what they cut into parts that follow each other."""
    entries = arrays["entries"].astype(np.int64)
    counts = spans[:, [OWN_ENTRIES, LIST_ENTRIES]]
    starts = np.cumsum(counts.sum(axis=1)) - counts.sum(axis=1)
    has_any = counts.sum(axis=1) > 0
    is_placed = (spans[:, ENTRIES_FIRST] == starts) | ~has_any
    nodes, begins = entries
    _require(bool(is_placed.all()) and int(counts.sum()) == len(nodes), "of the entries")
    first = spans[:, [OWN_FIRST, LIST_FIRST]].ravel()
    stop = spans[:, [OWN_STOP, LIST_STOP]].ravel()
    of = np.repeat(np.arange(2 * len(spans)), counts.ravel())
    is_first = np.append(True, np.diff(of) > 0)[: len(of)]
    ends = np.append(begins[1:], 0)[: len(of)]
    ends = np.where(np.append(is_first[1:], True)[: len(of)], stop[of], ends)
    _require(bool((begins[is_first] == first[of[is_first]]).all() and (begins < ends).all()), "of the entries")
    _require(bool((nodes < n_nodes).all()), "of the entries")


def _require(is_sound: bool, what: str) -> None:
    if not is_sound:
        raise CorruptData(f"the index's layout contradicts itself: {what}")
