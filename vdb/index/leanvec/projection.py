"""Linear maps that keep inner products: rows by one, queries by another, both to fewer dimensions.

    <q, x> is about <A q, B (x - mean)> + <q, mean>

The last term is the same for every row, so the first orders rows for inner product; with the exact norm of x it orders
them for L2 too: |x - q|² = |x|² - 2 <q, x> + |q|². A distance inside the projected space is never taken, because B need
not be orthonormal.

Shapes: D = dimension, d = kept dimensions, n = rows, m = queries. Arrays are float32 in C order; moments are float64.
Rows of A and B are ordered by what they are worth, so a projection may be cut to fewer dimensions later.
Source: LeanVec (arXiv 2312.16335) §2; closed form for queries unlike the rows: GleanVec (arXiv 2410.22347) §3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.index.kmeans import Check, unasked
from vdb.kernels import acceleration
from vdb.kernels.reference import Float32s

Float64s = NDArray[np.float64]

SAMPLE_ROWS = 100_000
"""Rows that a fit looks at: more change nothing that a search would notice."""
LEAST_ROWS = 8_192
MOMENT_PRODUCTS = 3e11
"""Products that a matrix of moments may cost before fewer rows are taken (beyond 1,700 dimensions), to `LEAST_ROWS`."""

QUERY_WEIGHT = 0.8
"""Share of the queries' moments in the metric that rows are reduced in; the rest is the rows' own, so that few queries
do not spoil the neighbours of in-distribution ones."""

FLOOR = 1e-6
"""Eigenvalues of that metric are at least this share of the largest: it is inverted."""

EXACT_DIMENSIONS = 2_048
"""Up to here all eigenvectors are computed; beyond, the leading ones by subspace iteration."""

_OVERSAMPLED, _ITERATIONS = 32, 6
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """`of_queries` A and `of_rows` B, each (d, D) float32; `mean` (D,) float32 is taken from rows before B.

    `energy` (d,) float64: the share of the rows' energy, in the metric of the fit, that each dimension keeps.
    """

    of_queries: Float32s
    of_rows: Float32s
    mean: Float32s
    energy: Float64s

    @property
    def dimension(self) -> int:
        """d, the dimensions kept."""
        return len(self.of_rows)

    @property
    def is_of_rows(self) -> bool:
        """Whether rows and queries are mapped alike, orthonormally: learned from rows alone."""
        return self.of_queries is self.of_rows or np.array_equal(self.of_queries, self.of_rows)

    def cut(self, dimension: int) -> "Projection":
        """The same with its `dimension` leading dimensions only; raises InvalidArgument beyond those there are."""
        if not 1 <= dimension <= self.dimension:
            raise InvalidArgument(f"a projection of {self.dimension} dimensions cannot be cut to {dimension}")
        of_rows = np.ascontiguousarray(self.of_rows[:dimension])
        of_queries = of_rows if self.is_of_rows else np.ascontiguousarray(self.of_queries[:dimension])
        return Projection(of_queries, of_rows, self.mean, self.energy[:dimension])

    def project_rows(self, rows: Float32s) -> Float32s:
        """(n, D) → (n, d)."""
        return _product(rows - self.mean, self.of_rows)

    def project_queries(self, queries: Float32s) -> Float32s:
        """(m, D) → (m, d)."""
        return _product(queries, self.of_queries)


def fit_rows(rows: Float32s, dimension: int, check: Check = unasked) -> Projection:
    """For queries like the rows: centred PCA, A = B. Raises InvalidArgument for no rows and for a `dimension` beyond D.

    Deterministic. Takes the first `sample_rows(D)` rows: the caller samples.
    """
    sample = _sample_of(rows, dimension)
    mean = sample.mean(axis=0, dtype=np.float64)
    spread = _moments(sample, mean, check)
    values, vectors = _leading(spread, dimension)
    directions = np.ascontiguousarray(vectors.T, np.float32)
    return Projection(
        directions, directions, mean.astype(np.float32), _shares(values, vectors, float(np.trace(spread)))
    )


def fit_queries(rows: Float32s, queries: Float32s, dimension: int, check: Check = unasked) -> Projection:
    """For queries unlike the rows: the best A, B of `dimension` for sampled `queries`, in closed form.

    With G = 0.8 E[q qᵀ] + 0.2 E[x xᵀ] and any W with WᵀW = G the error of the inner products is that of a PCA of W x,
    so A = Uᵀ W⁻ᵀ and B = Uᵀ W with U the leading directions of W x. Raises InvalidArgument without rows or queries.
    """
    sample = _sample_of(rows, dimension)
    if len(queries) == 0 or queries.shape[1] != rows.shape[1]:
        raise InvalidArgument("a projection for queries needs queries of the rows' dimension")
    mean = sample.mean(axis=0, dtype=np.float64)
    nothing = np.zeros_like(mean)
    asked = _moments(queries[: sample_rows(rows.shape[1])], nothing, check)
    metric = QUERY_WEIGHT * asked + (1 - QUERY_WEIGHT) * _moments(sample, nothing, check)
    root = _root(metric)
    spread = root @ _moments(sample, mean, check) @ root.T
    check()
    values, vectors = _leading(spread, dimension)
    of_rows = np.ascontiguousarray(vectors.T @ root, np.float32)
    of_queries = np.ascontiguousarray(np.linalg.solve(root, vectors).T, np.float32)
    return Projection(of_queries, of_rows, mean.astype(np.float32), _shares(values, vectors, float(np.trace(spread))))


def sample_rows(dimension: int) -> int:
    """Rows of that many components that a fit takes."""
    return int(min(SAMPLE_ROWS, max(LEAST_ROWS, MOMENT_PRODUCTS / dimension**2)))


def loss(projection: Projection, rows: Float32s, queries: Float32s) -> float:
    """Mean squared error of the inner products of `queries` with centred `rows`, over their mean square."""
    centred = (rows - projection.mean).astype(np.float64)
    exact = queries.astype(np.float64) @ centred.T
    kept = projection.project_queries(queries).astype(np.float64) @ projection.project_rows(rows).astype(np.float64).T
    total = float((exact**2).sum())
    return float(((exact - kept) ** 2).sum()) / total if total else 0.0


def _product(rows: Float32s, matrix: Float32s) -> Float32s:
    """rows · matrixᵀ, on a device where one is set and many rows make that pay."""
    found = acceleration.project(rows, matrix)
    if found is not None:
        return found
    projected: Float32s = np.matmul(rows, matrix.T)
    return projected


def _sample_of(rows: Float32s, dimension: int) -> Float32s:
    if rows.ndim != 2 or len(rows) == 0:
        raise InvalidArgument("a projection needs rows")
    if not 1 <= dimension <= rows.shape[1]:
        raise InvalidArgument(f"a projection of {rows.shape[1]} dimensions keeps 1 to {rows.shape[1]}")
    return rows[: sample_rows(rows.shape[1])]


def _moments(rows: Float32s, mean: Float64s, check: Check) -> Float64s:
    """E[(x - mean)(x - mean)ᵀ], summed in float64 over blocks that float32 multiplies."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    n_block = max(1, _BLOCK_BYTES // (4 * rows.shape[1]))
    for start in range(0, len(rows), n_block):
        check()
        block = (rows[start : start + n_block] - mean).astype(np.float32)
        total += block.T @ block
    return total / len(rows)


def _root(metric: Float64s) -> Float64s:
    """W with WᵀW the metric, eigenvalues floored: the symmetric root, or where that takes minutes Cholesky's.

    Any such W gives the same projection. Cholesky's floor is added to all eigenvalues.
    """
    if len(metric) > EXACT_DIMENSIONS:
        floor = FLOOR * max(float(np.abs(metric).sum(axis=1).max()), float(np.finfo(np.float32).tiny))
        return np.ascontiguousarray(np.linalg.cholesky(metric + floor * np.eye(len(metric))).T)
    values, vectors = np.linalg.eigh(metric)
    largest = max(float(values[-1]), float(np.finfo(np.float32).tiny))
    root: Float64s = (vectors * np.sqrt(np.maximum(values, FLOOR * largest))) @ vectors.T
    return root


def _leading(matrix: Float64s, n: int) -> tuple[Float64s, Float64s]:
    """The n largest eigenvalues, descending, and their vectors as columns, each with its largest entry positive."""
    if len(matrix) <= EXACT_DIMENSIONS or n + _OVERSAMPLED >= len(matrix):
        values, vectors = np.linalg.eigh(matrix)
    else:
        values, vectors = _subspace(matrix, n + _OVERSAMPLED)
    values, vectors = values[::-1][:n], vectors[:, ::-1][:, :n]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(n)] < 0, -1.0, 1.0)
    return np.maximum(values, 0.0), vectors * signs


def _subspace(matrix: Float64s, n: int) -> tuple[Float64s, Float64s]:
    """About the n leading eigenpairs, ascending, by subspace iteration from a fixed start."""
    basis = np.random.default_rng(0).standard_normal((len(matrix), n))
    for _ in range(_ITERATIONS):
        basis, _ = np.linalg.qr(matrix @ basis)
    values, inner = np.linalg.eigh(basis.T @ matrix @ basis)
    return values, basis @ inner


def _shares(values: Float64s, vectors: Float64s, total: float) -> Float64s:
    return values / total if total > 0 else np.zeros(vectors.shape[1])
