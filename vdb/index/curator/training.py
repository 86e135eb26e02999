"""Makes models: learned from a sample, grown where cells are too full, and measured against rows that came later.

A tree is cut in the leading principal directions of the rows, which keep most of their distances at a fraction of the
work (100,000 × 384 to 1,600 cells: 4 s instead of 14, mean squared distance to the centroid 1 % more); its centroids
are then means of whole rows. D = dimension, n = rows, v = nodes, c = cells. Rows are prepared, float32.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.kmeans import LEAF, Check, Tree, bisect, levels, nearest, refine, unasked, with_means
from vdb.index.leanvec.projection import Projection, fit_queries, fit_rows
from vdb.kernels.distinct import is_first
from vdb.kernels.reference import Float32s, UInt32s
from vdb.types import Metric

SAMPLE_ROWS = 100_000
"""Rows that a tree is cut by."""
CELLS_PER_ROOT = 4.0
"""Cells for each unit of the square root of a collection's rows."""
FULLEST = 1.33
"""Rows of the fullest leaf over their mean, as bisection leaves them."""
LEAST_CELL_LIMIT = 64
CELL_LIMIT = 2.0
"""A cell with more rows than this many times the mean of a fresh tree is split."""

TREE_DIMENSIONS = 96
"""Principal directions that a tree is cut in."""
DIRECTION_ROWS = 16_384
_OVERSAMPLED, _ITERATIONS = 16, 3
_LEAST_EIGENVALUE = 1e-10

LARGEST = 1e14
"""Components beyond it are taken for it when a model is trained."""

DRIFT_ROWS = 10_000
DRIFTED = 1.4
"""`drift` from which a collection is trained anew. Rows like 1,000 or more training rows measured up to 1.21, those of
another subject from 1.55 on; to models of fewer rows most rows are new."""
_LOSS_OF_ONE = 0.4
"""Energy lost beyond what was, as a share of all, that raises `drift` by one."""


def train(
    rows: Float32s,
    n_total: int,
    metric: Metric,
    encoding: Encoding,
    queries: Float32s | None = None,
    seed: int = 0,
    projection: Projection | None = None,
    check: Check = unasked,
) -> Model:
    """A model for `n_total` rows, learned from a sample of them: a tree of about 4 √n_total cells, and a projection.

    `queries`, prepared, make the projection one for queries like them; without, it is for queries like the rows; a
    `projection` that is there already is cut to the encoding's dimension instead. Deterministic for a seed. Raises
    InvalidArgument without rows, and for an encoding that does not fit their dimension.
    """
    if rows.ndim != 2 or len(rows) == 0:
        raise InvalidArgument("a model is trained on rows")
    _check(encoding, rows.shape[1])
    rows = bounded(rows)
    rng = np.random.default_rng(seed)
    sample = rows
    if len(rows) > SAMPLE_ROWS:
        sample = rows[np.sort(rng.choice(len(rows), SAMPLE_ROWS, replace=False))]
    tree = clustered(sample, n_total, seed, check)
    check()
    if encoding.dimension == rows.shape[1]:
        projection = None
    elif projection is not None:
        projection = projection.cut(encoding.dimension)
    else:
        projection = fitted(sample, queries, encoding.dimension, seed, check)
    check()
    return Model(metric, encoding, projection, tree.children, tree.centroid, radii(tree, sample))


def fitted(
    rows: Float32s, queries: Float32s | None, dimension: int, seed: int = 0, check: Check = unasked
) -> Projection:
    """A projection of shuffled rows: one for `queries` where there are any. Raises InvalidArgument as the fits do."""
    shuffled = rows[np.random.default_rng(seed).permutation(len(rows))]
    check()
    if queries is None:
        return fit_rows(shuffled, dimension, check)
    return fit_queries(shuffled, queries, dimension, check)


def clustered(rows: Float32s, n_total: int, seed: int = 0, check: Check = unasked) -> Tree:
    """The tree of `rows` for a collection of `n_total`; no leaf is empty."""
    n_cells = CELLS_PER_ROOT * float(np.sqrt(max(n_total, len(rows))))
    reduced = _reduced(rows, check)
    cut = bisect(reduced, max(1, int(FULLEST * len(rows) / n_cells)), seed, check)
    moved = refine(cut, reduced, check=check)
    check()
    tree = with_means(rows, moved.children, moved.leaf_of_row)
    empty = moved.leaves()[tree.n_rows[moved.leaves()] == 0]
    if len(empty):
        tree.centroid[empty] = with_means(rows, cut.children, cut.leaf_of_row).centroid[empty]
    return tree


def radii(tree: Tree, rows: Float32s) -> Float32s:
    """The rms distance from each node's centroid of rows like those below it, float32 (v,).

    The rows themselves are nearer: the centroid is their mean. The square is scaled for that, by (n + 1) / (n − 1),
    which measured held-out rows bear out; a node of one row or none takes its parent's.
    """
    squares = np.bincount(
        tree.leaf_of_row, np.einsum("ij,ij->i", rows, rows, dtype=np.float64), minlength=len(tree.children)
    )
    by_depth = levels(tree.children)
    for inner in reversed(by_depth):
        squares[inner] = squares[tree.children[inner, 0]] + squares[tree.children[inner, 1]]
    of_centroid = np.einsum("ij,ij->i", tree.centroid, tree.centroid, dtype=np.float64)
    n = tree.n_rows
    square = np.maximum(squares / np.maximum(n, 1) - of_centroid, 0) * (n + 1) / np.maximum(n - 1, 1)
    for inner in by_depth:
        for child in (tree.children[inner, 0], tree.children[inner, 1]):
            square[child] = np.where(n[child] > 1, square[child], square[inner])
    radius: Float32s = np.sqrt(square).astype(np.float32)
    return radius


def cell_limit(n_total: int) -> int:
    """Rows from which a cell of a collection of `n_total` is split."""
    return max(LEAST_CELL_LIMIT, int(CELL_LIMIT * np.sqrt(n_total) / CELLS_PER_ROOT))


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """A model with more nodes. `cells` uint32 (n,): those of the rows it was grown for; `cell_of` uint32 (c,): the new
    number of each old cell, of its first part where it was split."""

    model: Model
    cells: UInt32s
    cell_of: UInt32s


def grow(model: Model, rows: Float32s, cells: UInt32s, limit: int, seed: int = 0, check: Check = unasked) -> Grown:
    """Split every cell that holds more than `limit` of the rows, which are all rows of the cells in question.

    Nodes keep their ids and what they were; new ones follow. A part is split again until it is within the limit;
    identical rows stay together whatever it is. Raises InvalidArgument for a limit below 1.
    """
    if limit < 1:
        raise InvalidArgument("a cell holds one row at least")
    rows = bounded(rows)
    children, centroids, radius = [model.children.copy()], [model.centroid], [model.radius]
    n_nodes = len(model.children)
    node_of_row = model.leaves[cells].astype(np.int64)
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    starts = np.flatnonzero(is_first(ordered))
    counts = np.diff(starts, append=len(ordered))
    for cell, start, count in zip(ordered[starts].tolist(), starts.tolist(), counts.tolist(), strict=True):
        if count <= limit:
            continue
        mine = order[start : start + count]
        part = bisect(rows[mine], limit, seed, check)
        if len(part.children) == 1:
            continue
        shifted = np.where(part.children == LEAF, LEAF, part.children + (n_nodes - 1)).astype(np.int32)
        leaf = int(model.leaves[cell])
        children[0][leaf] = shifted[0]
        children.append(shifted[1:])
        centroids.append(part.centroid[1:])
        radius.append(radii(part, rows[mine])[1:])
        node_of_row[mine] = part.leaf_of_row + (n_nodes - 1)
        n_nodes += len(part.children) - 1
    grown = replace(
        model, children=np.concatenate(children), centroid=np.concatenate(centroids), radius=np.concatenate(radius)
    )
    first = grown.cell_ranges[0]
    return Grown(grown, first[node_of_row], first[model.leaves])


def drift(model: Model, rows: Float32s, seed: int = 0, check: Check = unasked) -> float:
    """How much worse the model describes these prepared rows than those it was trained on: about 1 for rows like them.

    The larger of: mean squared distance to the nearest centroid over the mean square of those cells' radii; and 1 and
    the share of energy that the projection loses beyond what it lost of its own rows, over `_LOSS_OF_ONE`, where it is
    of rows alone. 1 without rows.
    """
    if len(rows) == 0:
        return 1.0
    if len(rows) > DRIFT_ROWS:
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), DRIFT_ROWS, replace=False))]
    rows = bounded(rows)
    labels, squares = nearest(rows, model.centroid[model.leaves], check)
    was = np.square(model.radius[model.leaves], dtype=np.float64)
    scale = max(float(was[labels].mean()), 0.5 * float(was.mean()))
    now = float(squares.mean(dtype=np.float64))
    spread = now / scale if scale > 0 else (1.0 if now == 0 else float("inf"))
    return max(spread, _lost(model.projection, rows))


def is_drifted(model: Model, rows: Float32s, seed: int = 0) -> bool:
    """Whether the collection should be trained anew for these rows."""
    return drift(model, rows, seed) >= DRIFTED


def _lost(projection: Projection | None, rows: Float32s) -> float:
    """1 and the energy that a projection loses of these rows beyond what it lost of its own, where that can be told."""
    if projection is None or not projection.is_of_rows:
        return 1.0
    total = float(np.square(rows - projection.mean).sum(dtype=np.float64))
    if not total > 0:
        return 1.0
    kept = float(np.square(projection.project_rows(rows)).sum(dtype=np.float64)) / total
    return 1 + (float(projection.energy.sum()) - kept) / _LOSS_OF_ONE


def bounded(rows: Float32s) -> Float32s:
    """Rows whose squares can be added up in float32: one point of 1e19 must not keep the others from an index."""
    return rows if np.abs(rows).max(initial=0) <= LARGEST else np.clip(rows, -LARGEST, LARGEST)


def _check(encoding: Encoding, dimension: int) -> None:
    """Raises InvalidArgument for dimensions that rows of `dimension` do not have, or that a float form cannot drop."""
    if not 1 <= encoding.dimension <= dimension:
        raise InvalidArgument(f"rows of {dimension} dimensions are coded with 1 to {dimension}")
    if encoding.form in (Form.FLOAT32, Form.FLOAT16) and encoding.dimension != dimension:
        raise InvalidArgument("a float form keeps all dimensions")


def _reduced(rows: Float32s, check: Check) -> Float32s:
    """Rows in their `TREE_DIMENSIONS` leading principal directions, centred; as they are where they have no more."""
    dimension = rows.shape[1]
    if dimension <= TREE_DIMENSIONS + _OVERSAMPLED:
        return rows
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), DIRECTION_ROWS)).astype(np.intp)]
    mean = some.mean(axis=0, dtype=np.float64).astype(np.float32)
    directions = _directions(some - mean)
    reduced = np.empty((len(rows), directions.shape[1]), np.float32)
    for first in range(0, len(rows), DIRECTION_ROWS):
        check()
        np.matmul(rows[first : first + DIRECTION_ROWS] - mean, directions, out=reduced[first : first + DIRECTION_ROWS])
    return reduced


def _directions(centred: Float32s) -> Float32s:
    """About the leading principal directions as columns, (D, at most 96), by subspace iteration over the rows."""
    basis = np.random.default_rng(0).standard_normal((centred.shape[1], TREE_DIMENSIONS + _OVERSAMPLED))
    unit = centred / (float(np.abs(centred).max()) or 1.0)
    for _ in range(_ITERATIONS):
        basis = _orthonormal((unit.T @ (unit @ basis.astype(np.float32))).astype(np.float64))
    kept = unit @ basis.astype(np.float32)
    _, vectors = np.linalg.eigh((kept.T @ kept).astype(np.float64))
    directions: Float32s = np.ascontiguousarray((basis @ vectors)[:, ::-1][:, :TREE_DIMENSIONS], np.float32)
    return directions


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis of their span, without directions that hardly any lie in; one of zeros where all are zero."""
    values, vectors = np.linalg.eigh(columns.T @ columns)
    is_kept = values > _LEAST_EIGENVALUE * max(float(values[-1]), float(np.finfo(np.float64).tiny))
    is_kept[-1] = True
    scale = np.sqrt(np.where(values[is_kept] > 0, values[is_kept], 1.0))
    basis: NDArray[np.float64] = columns @ (vectors[:, is_kept] / scale)
    return basis
