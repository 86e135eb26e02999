"""Rows of an index and readings of it, as a device holds them: made of plain arrays, without an index around them.

Forms are coded as `vdb.index.curator.model` codes them; constants go to the heads. Every row has the pid of its number.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vdb.index.leanvec.codes import encode
from vdb.kernels.device import (
    COLUMNS,
    ENTRIES_AT,
    LIST_AT,
    LIST_N,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    PAGE_ROWS,
    Device,
    Queries,
    ResidentModel,
    ResidentRows,
    Wanted,
    coded_width,
)
from vdb.kernels.reference import L2, Float32s, Int64s, UInt8s, UInt32s
from vdb.kernels.reference_cells import FLOAT16, FLOAT32, LVQ4, LVQ8, quantize

__all__ = [
    "ALIVE",
    "FORMS",
    "SEQUENCE",
    "Coded",
    "code_bytes",
    "coded",
    "lists",
    "model_of",
    "queries_of",
    "resident",
    "runs",
    "runs_with_entries",
    "whole",
]

FORMS: Final = {"int8": LVQ8, "int4": LVQ4, "float16": FLOAT16, "float32": FLOAT32}
ALIVE: Final = 0xFFFF_FFFF
SEQUENCE: Final = 1_000
"""Of all that is asked: rows that ended at 1 are not seen, others are."""

Coded = tuple[UInt8s, UInt32s]
"""Codes uint8 (n, W) and heads uint32 (n, 4)."""


def code_bytes(form: int, dimension: int) -> int:
    """The width of a row's codes on a device."""
    n_bytes = {LVQ8: dimension, LVQ4: (dimension + 1) // 2, FLOAT16: 2 * dimension, FLOAT32: 4 * dimension}[form]
    return coded_width(n_bytes)


def coded(rows: Float32s, form: int, metric: int) -> Coded:
    """Rows (n, d) float32 as a device holds them, all of them alive."""
    codes = np.zeros((len(rows), code_bytes(form, rows.shape[1])), np.uint8)
    heads = np.zeros((len(rows), 4), np.uint32)
    if form in (LVQ8, LVQ4):
        made = encode(rows, 8 if form == LVQ8 else 4)
        codes[:, : made.codes.shape[1]] = made.codes
        heads[:, 0], heads[:, 1] = made.step.view(np.uint32), made.bias.view(np.uint32)
    else:
        kept = np.ascontiguousarray(rows, np.float16 if form == FLOAT16 else np.float32).view(np.uint8)
        codes[:, : kept.shape[1]] = kept
    if metric == L2:
        heads[:, 2] = np.einsum("ij,ij->i", rows, rows).astype(np.float32).view(np.uint32)
    heads[:, 3] = ALIVE
    return codes, heads


def whole(n: int) -> int:
    """So many rows, rounded up to pages."""
    return -(-n // PAGE_ROWS) * PAGE_ROWS


def resident(
    device: Device, of_rows: Coded, n_copies: int = 1, vectors: Float32s | None = None,
    places: UInt32s | None = None, entries: UInt32s | None = None,
) -> ResidentRows:  # fmt: skip
    """Rows (n,) on a device, written `n_copies` times one after the other: row i of copy c has the number c · n + i."""
    n = len(of_rows[0])
    capacity = whole(n * n_copies)
    codes, heads = (device.make((capacity, part.shape[1]), part.dtype) for part in of_rows)
    kept = None if vectors is None else device.make((capacity, vectors.shape[1]), np.float32)
    for copy in range(n_copies):
        device.write(codes, copy * n, of_rows[0])
        device.write(heads, copy * n, of_rows[1])
        if kept is not None and vectors is not None:
            device.write(kept, copy * n, vectors)
    return ResidentRows(
        codes=codes,
        heads=heads,
        times=device.make((capacity, 2), np.uint32),
        pids=device.put(np.arange(capacity, dtype=np.uint32)),
        vectors=kept,
        pages=device.put(np.arange(capacity // PAGE_ROWS, dtype=np.int32)),
        places=device.put(np.zeros(1, np.uint32) if places is None else places),
        entries=device.put(np.zeros((2, 1), np.uint32) if entries is None else entries),
        has_times=False,
    )


def model_of(device: Device, form: int, dimension: int, metric: int, centroids: Float32s) -> ResidentModel:
    """What rows mean; centroids (v, d) become nodes."""
    codes, heads = coded(centroids, LVQ8, metric)
    heads[:, 3] = 0
    return ResidentModel(metric, form, dimension, device.put(codes), device.put(heads))


def queries_of(vectors: Float32s) -> Queries:
    """Unprojected queries (q, d), compared as they are."""
    codes, step, total = quantize(vectors)
    return Queries(vectors, vectors, codes, step, total, np.ones(len(vectors), np.float32))


def runs(first: Int64s, n: int, budget: int = 0) -> Wanted:
    """Query i reads the run of n rows from `first[i]` on, whole."""
    readings = np.zeros((len(first), 2, COLUMNS), np.int64)
    readings[:, 0, OWN_FIRST], readings[:, 0, OWN_STOP] = first, first + n
    return _wanted(readings, budget)


def lists(at: Int64s, n: int) -> Wanted:
    """Query i reads the n rows that `places` names from `at[i]` on."""
    readings = np.zeros((len(at), 2, COLUMNS), np.int64)
    readings[:, 0, LIST_AT], readings[:, 0, LIST_N] = at, n
    return _wanted(readings, 0)


def runs_with_entries(first: Int64s, n: int, entries_at: Int64s, n_entries: int, budget: int) -> Wanted:
    """Runs that are cut into entries, of which as many are visited as hold `budget` rows."""
    wanted = runs(first, n, budget)
    wanted.readings[:, 0, OWN_ENTRIES], wanted.readings[:, 0, ENTRIES_AT] = n_entries, entries_at
    return wanted


def _wanted(readings: Int64s, budget: int) -> Wanted:
    n = len(readings)
    sequence: NDArray[np.int64] = np.full(n, SEQUENCE, np.int64)
    return Wanted(readings, sequence, np.ones(n, np.int64), np.full(n, budget, np.int64))
