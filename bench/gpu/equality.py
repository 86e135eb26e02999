"""Whether the device answers as the reference does: the same rows on small integers, the same recall on drawn rows.

On small integers every product and sum is exact in any format and order, and many distances are equal, so rows must be
the same in the same order. The exact search and the assignment are held against sums of int64; readings against the
twin, all forms and metrics. On rows with the spectrum of embeddings, clustered and cut into entries, device and twin
search with the same effort; recall is by distance against the exact neighbours. About 60 s, most of them for the twin.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.gpu.generated import Spectrum, small_integers
from bench.gpu.judged import largest_gap, n_other, recall
from bench.gpu.machine import Machine
from bench.gpu.readings import (
    FORMS,
    Coded,
    coded,
    lists,
    model_of,
    queries_of,
    resident,
    runs,
    runs_with_entries,
)
from bench.report import Figure
from vdb.index.leanvec.codes import pack
from vdb.kernels import reference_batches
from vdb.kernels.device import Candidates, Device, DeviceFound, Queries, Wanted
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import COSINE, IP, L2, Float32s, Int64s, UInt32s
from vdb.kernels.reference_cells import LVQ4, LVQ8

__all__ = ["measure"]

_D, _K, _M = 128, 10, 64
_METRICS = {"cosine": COSINE, "l2": L2, "ip": IP}
_MOST = 3
"""Of an integer: products of 128 are at most 1,152, halves hold integers to 2,048."""
_HIDDEN = 1 << 32
"""Beyond every distance of integers."""
_N_CELLS = 256
_ROUNDS = 4
_BUDGET_SHARE, _FEW = 8, 10
"""Of recall: the part of the rows that is scored, and how many are compared: no more than are found: codes tell."""
_RECALL_GAP = 0.002
_SLACK = 1e-5


def measure(machine: Machine) -> Iterator[Figure]:
    """The figures: their bars hold on every machine."""
    for compared in (_exact, _assigned, _readings, _recalls):
        yield from compared(machine)


def _exact(machine: Machine) -> list[Figure]:
    """`nearest` on integers: every metric, with and without rows left out."""
    n, q = machine.sized(50_000, 2_000), machine.sized(128, 8)
    rows, queries = (small_integers(m, _D, _MOST, machine.seed + m, np.float16) for m in (n, q))
    norms = np.einsum("ij,ij->i", rows, rows, dtype=np.float32)
    visible = (np.arange(n) % 3 != 0).astype(np.uint8)
    device = machine.device
    block, of_norms, of_visible = device.put(rows), device.put(norms), device.put(visible)
    n_wrong = 0
    for metric in _METRICS.values():
        true = _integer_distances(queries, rows, metric)
        for shown, held in ((np.ones(n, np.uint8), None), (visible, of_visible)):
            found = device.nearest(queries, block, of_norms if metric == L2 else None, held, metric, _K)
            n_wrong += n_other(found[1], _least(np.where(shown, true, _HIDDEN)))
    return [Figure("equality: exact search, queries with other rows", n_wrong, "", 0)]


def _least(distances: Int64s) -> Int64s:
    """The k rows of the least distances (q, n), equal ones by row."""
    n = distances.shape[1]
    keys: Int64s = distances * n + np.arange(n)
    best: Int64s = np.sort(np.partition(keys, _K - 1, axis=1)[:, :_K], axis=1) % n
    return best


def _integer_distances(queries: NDArray[np.float16], rows: NDArray[np.float16], metric: int) -> Int64s:
    """What rows are ordered by, int64 (q, n): monotone in the distance; cosine takes rows as they come."""
    products = np.rint(queries.astype(np.float32) @ rows.astype(np.float32).T).astype(np.int64)
    if metric != L2:
        # 1 − product is cut off at 0, where all are equal
        ordered: Int64s = np.maximum(1 - products, 0) if metric == COSINE else -products
        return ordered
    squared: Int64s = np.einsum("ij,ij->i", rows, rows, dtype=np.float64).astype(np.int64) - 2 * products
    return squared


def _assigned(machine: Machine) -> list[Figure]:
    """`assign` on integers, and `kmeans` against the twin, from the same first centroids."""
    n = machine.sized(100_000, 3_000)
    rows = small_integers(n, _D, _MOST, machine.seed + 7)
    centroids = np.ascontiguousarray(rows[:: max(1, n // 500)])
    block = machine.device.put(rows)
    labels, distances = machine.device.assign(block, centroids)
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)[:, None]
    true = squares + np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64) - 2.0 * (rows @ centroids.T)
    n_wrong = int((labels != true.argmin(axis=1)).sum() + (distances != true.min(axis=1)).sum())
    moved = machine.device.kmeans(block, centroids, 1)
    gap = float(np.abs(moved - reference_batches.kmeans(rows, centroids, 1)).max())
    return [
        Figure("equality: assignment, other rows or distances", n_wrong, "", 0),
        Figure("equality: k-means, largest gap to the twin", gap, "", 1e-6),
    ]


def _readings(machine: Machine) -> list[Figure]:
    """`candidates` and `search` on integers that every form holds exactly, beside the twin."""
    n, q = machine.sized(20_000, 300), machine.sized(8, 3)
    rows = small_integers(n, _D, 7, machine.seed + 11) + np.float32(7)  # [0, 14]: codes of 4 bits
    asked = small_integers(q, _D, _MOST, machine.seed + 12)
    # not quantized but said, so that a step is worth exactly 1
    ones = np.ones(q, np.float32)
    queries = Queries(asked, asked, asked.astype(np.int8), ones, asked.sum(axis=1), ones)
    places = np.random.default_rng(machine.seed).permutation(n).astype(np.uint32)
    firsts = np.arange(q, dtype=np.int64) * 7
    asks = (runs(firsts, n - 7 * q), lists(firsts, n - 7 * q))
    n_wrong, gap = 0, 0.0
    for metric in _METRICS.values():
        for form in FORMS.values():
            of_rows = _as_integers(rows, form, metric)
            for wanted in asks:
                both: list[Device] = [machine.device, NumpyDevice()]
                found, true = (
                    _searched(device, form, metric, rows, of_rows, queries, wanted, places) for device in both
                )
                n_wrong += n_other(found[0].row, true[0].row) + n_other(found[1].row, true[1].row)
                gap = max(gap, largest_gap(found[1].distance, true[1].distance))
    return [
        Figure("equality: readings, queries with other rows", n_wrong, "", 0),
        Figure("equality: readings, largest gap of a distance", gap, "", 0),
    ]


def _as_integers(rows: Float32s, form: int, metric: int) -> Coded:
    """Codes that are the components themselves: a step of 1 from 0."""
    codes, heads = coded(rows, form, metric)
    if form in (LVQ8, LVQ4):
        levels = rows.astype(np.uint8)
        packed = levels if form == LVQ8 else pack(levels)
        codes[:, : packed.shape[1]] = packed
        heads[:, 0], heads[:, 1] = np.float32(1).view(np.uint32), 0
    return codes, heads


def _searched(
    device: Device, form: int, metric: int, rows: Float32s, of_rows: Coded, queries: Queries, wanted: Wanted,
    places: UInt32s,
) -> tuple[Candidates, DeviceFound]:  # fmt: skip
    held = resident(device, of_rows, vectors=rows, places=places)
    model = model_of(device, form, _D, metric, np.ones((1, _D), np.float32))
    found = device.candidates(held, model, queries, wanted, _M)
    assert (found.row >= 0).all(), "every reading has more rows than are asked for"
    return found, device.search(held, model, queries, wanted, _M, _K)


def _recalls(machine: Machine) -> list[Figure]:
    """Recall of drawn rows: exact search of float16, and codes with candidates compared, by device and by twin."""
    n, q = machine.sized(100_000, 2_000), machine.sized(128, 16)
    drawn = Spectrum(_D, machine.seed)
    rows, queries = drawn.rows(n), drawn.rows(q, 1)
    twin = NumpyDevice()
    true, _ = twin.nearest(queries.astype(np.float16), twin.put(rows.astype(np.float16)), None, None, COSINE, _K)
    found, _ = machine.device.nearest(
        queries.astype(np.float16), machine.device.put(rows.astype(np.float16)), None, None, COSINE, _K
    )
    figures = [Figure("equality: exact search, recall", recall(found, true, _SLACK), "share", 1.0, at_least=True)]
    world = _clustered(rows, machine.sized(_N_CELLS, 16))
    exact = _exact_distances(rows, queries)
    for form, number in FORMS.items():
        both: list[Device] = [machine.device, twin]
        pair = [recall(_of_cells(device, number, world, queries).distance, exact, _SLACK) for device in both]
        figures += [
            Figure(f"equality: recall by {form} and entries", pair[0], "share"),
            Figure(f"equality: recall by {form}, from the twin's", abs(pair[0] - pair[1]), "share", _RECALL_GAP),
        ]
    return figures


def _exact_distances(rows: Float32s, queries: Float32s) -> Float32s:
    """Of the k nearest, float32 (q, k) ascending: cosine of rows of length 1."""
    products = queries @ rows.T
    best = -np.sort(np.partition(-products, _K - 1, axis=1)[:, :_K], axis=1)
    nearest: Float32s = np.maximum(1 - best, np.float32(0))
    return nearest


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Rows in the order of their cells, and the cells that hold any: where each begins."""

    rows: Float32s
    centroids: Float32s
    entries: UInt32s


def _clustered(rows: Float32s, n_cells: int) -> _Cells:
    centroids = reference_batches.kmeans(rows[: 64 * n_cells], rows[:n_cells], _ROUNDS)
    labels, _ = reference_batches.assign(rows, centroids)
    order = np.argsort(labels, kind="stable")
    held, starts = np.unique(labels[order], return_index=True)
    return _Cells(np.ascontiguousarray(rows[order]), centroids, np.stack([held, starts]).astype(np.uint32))


def _of_cells(device: Device, form: int, cells: _Cells, queries: Float32s) -> DeviceFound:
    """An eighth of the rows is scored, ten candidates are compared."""
    n, q = len(cells.rows), len(queries)
    held = resident(device, coded(cells.rows, form, COSINE), vectors=cells.rows, entries=cells.entries)
    model = model_of(device, form, _D, COSINE, cells.centroids)
    nowhere = np.zeros(q, np.int64)
    wanted = runs_with_entries(nowhere, n, nowhere, cells.entries.shape[1], n // _BUDGET_SHARE)
    return device.search(held, model, queries_of(queries), wanted, _FEW, _K)
