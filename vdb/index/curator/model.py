"""What a segment's codes mean: encoding, projection, and the tree whose cells they are ordered by.

Everything here is immutable; a collection that is trained anew gets another model and all its rows another code.
Rows come *prepared*: float32, normalised for cosine.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.index.kmeans import cell_ranges, leaves_of
from vdb.index.leanvec.codes import encode
from vdb.index.leanvec.projection import Projection
from vdb.kernels import METRIC_NUMBER, Kernels, row_scales
from vdb.kernels.reference import LARGEST, Float32s, UInt8s, UInt32s
from vdb.kernels.tables import MODEL, Table
from vdb.types import Metric

ALIGNED = 32
"""Bytes that the width of a coded row is a multiple of."""
CONSTANT_BYTES = 8
"""Step and bias of a row, float32, behind its codes."""
BLOCK_ROWS = 16_384

LEAST_CELLS = 256
"""Of fewer cells all are compared."""
N_TOPS = 8
"""Parts of the tree, of about √c cells, in which the cell of a row is looked for."""

_NO_OFFSETS: Float32s = np.zeros(0, np.float32)


class Form(IntEnum):
    """How a row is coded; the numbers are the kernels'."""

    LVQ8 = 0
    LVQ4 = 1
    FLOAT32 = 2
    FLOAT16 = 3


@dataclass(frozen=True, slots=True)
class Encoding:
    """`dimension` components are kept of a row, in `form`; all of them, unprojected, for the float forms."""

    form: Form
    dimension: int

    @property
    def width(self) -> int:
        """Bytes of a row's codes, without its constants."""
        if self.form is Form.FLOAT32:
            return 4 * self.dimension
        if self.form is Form.FLOAT16:
            return 4 * ((self.dimension + 1) // 2)
        n_bytes = self.dimension if self.form is Form.LVQ8 else (self.dimension + 1) // 2
        return -(-n_bytes // ALIGNED) * ALIGNED

    @property
    def row_bytes(self) -> int:
        return self.width + (CONSTANT_BYTES if self.form in (Form.LVQ8, Form.LVQ4) else 0)


def coded_rows(kept: Float32s, encoding: Encoding) -> UInt8s:
    """Rows of `encoding.dimension` components as the kernels read them, uint8 (n, row_bytes)."""
    rows = np.zeros((len(kept), encoding.row_bytes), np.uint8)
    if encoding.form is Form.FLOAT32:
        rows[:] = np.ascontiguousarray(kept, np.float32).view(np.uint8)
    elif encoding.form is Form.FLOAT16:
        rows[:, : 2 * encoding.dimension] = np.ascontiguousarray(kept, np.float16).view(np.uint8)
    else:
        coded = encode(kept, 8 if encoding.form is Form.LVQ8 else 4)
        rows[:, : coded.codes.shape[1]] = coded.codes
        rows[:, encoding.width : encoding.width + 4] = coded.step[:, None].view(np.uint8)
        rows[:, encoding.width + 4 :] = coded.bias[:, None].view(np.uint8)
    return rows


def as_constants(codes: UInt8s) -> Float32s:
    """The memory of coded rows as float32: kernels read steps and biases, or whole rows, through it."""
    constants: Float32s = codes.view(np.float32)
    return constants


def prepared(vectors: Float32s, metric: Metric) -> Float32s:
    """Vectors as they are coded and compared: C order float32, of length 1 for cosine (zero stays zero)."""
    rows = np.ascontiguousarray(vectors, np.float32)
    return rows * row_scales(rows)[:, None] if metric is Metric.COSINE else rows


def prepared_query(query: Float32s, metric: Metric) -> Float32s:
    """The same of one query (D,), to the last bit, in half the time."""
    if metric is not Metric.COSINE:
        return np.ascontiguousarray(query, np.float32)
    norm = sqrt(np.einsum("ij,ij->i", query[None], query[None], dtype=np.float64)[0])
    return query * np.float32(min(1.0 / norm, LARGEST) if norm > 0 else 0.0)


@dataclass(frozen=True)
class Model:
    """`projection` is None where rows keep all components. `radius` float32 (v,): rms distance of a node's rows from
    its centroid, of the rows it was trained on. Cells are the leaves of the tree, depth-first. `n_trained`: rows that
    the collection had when it was trained."""

    metric: Metric
    encoding: Encoding
    projection: Projection | None
    children: NDArray[np.int32]
    centroid: Float32s
    radius: Float32s
    n_trained: int = 0

    def __post_init__(self) -> None:
        if self.projection is not None and self.projection.dimension != self.encoding.dimension:
            raise InvalidArgument("the projection keeps another number of dimensions than the encoding")

    @property
    def dimension(self) -> int:
        return int(self.centroid.shape[1])

    def resting_on(self, centroid: Float32s) -> "Model":
        """The same model with its centroids in another place; what was computed of them holds."""
        moved = replace(self, centroid=centroid)
        computed = {name: value for name, value in self.__dict__.items() if name not in moved.__dict__}
        moved.__dict__.update(computed)
        return moved

    @cached_property
    def table(self) -> Table:
        """What a search reads of it."""
        numbers = (METRIC_NUMBER[self.metric], int(self.encoding.form), self.encoding.width)
        return Table(MODEL, (self.of_queries, self.node_codes, self.node_offset), numbers)

    @cached_property
    def of_queries(self) -> UInt8s:
        """The directions of queries as LVQ8 rows, uint8 (d, W); none where rows keep all components."""
        encoding = Encoding(Form.LVQ8, self.dimension)
        if self.projection is None:
            return np.zeros((0, encoding.row_bytes), np.uint8)
        return coded_rows(self.projection.of_queries, encoding)

    @cached_property
    def leaves(self) -> UInt32s:
        """The node of each cell."""
        return leaves_of(self.children, self.cell_ranges[0]).astype(np.uint32)

    @cached_property
    def cell_ranges(self) -> tuple[UInt32s, UInt32s]:
        """First cell and end of the cells below each node, uint32 (v,) each."""
        return cell_ranges(self.children)

    @cached_property
    def node_codes(self) -> UInt8s:
        """Centroids as LVQ8 rows, uint8 (v, W)."""
        encoding = Encoding(Form.LVQ8, self.encoding.dimension)
        kept = self.centroid if self.projection is None else self.projection.project_rows(self.centroid)
        return coded_rows(kept, encoding)

    @cached_property
    def node_offset(self) -> Float32s:
        """What kernels add to a node's score: squared norm of its centroid; for inner product its radius."""
        if self.metric is Metric.IP:
            return self.radius
        squares: Float32s = np.einsum("ij,ij->i", self.centroid, self.centroid, dtype=np.float64).astype(np.float32)
        return squares

    @cached_property
    def _cell_parts(self) -> tuple[UInt8s, Float32s, Float32s]:
        codes = np.ascontiguousarray(self.node_codes[self.leaves])
        centroids = self.centroid[self.leaves]
        norms = np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64).astype(np.float32)
        return codes, as_constants(codes), norms

    @cached_property
    def _top_parts(self) -> tuple[UInt8s, Float32s, Float32s, UInt32s]:
        """Nodes that share out the cells, about √c of them below each, and the first cell of each and the end."""
        low, high = self.cell_ranges
        most = int(np.sqrt(len(self.leaves)))
        tops, waiting = [], [0]
        while waiting:
            node = waiting.pop()
            if high[node] - low[node] <= most:
                tops.append(node)
            else:
                waiting += self.children[node, ::-1].tolist()
        codes = np.ascontiguousarray(self.node_codes[tops])
        centroids = self.centroid[tops]
        norms = np.einsum("ij,ij->i", centroids, centroids, dtype=np.float64).astype(np.float32)
        return codes, as_constants(codes), norms, np.append(low[tops], len(self.leaves)).astype(np.uint32)

    def encode_rows(self, rows: Float32s) -> tuple[UInt8s, Float32s]:
        """Codes of prepared rows, uint8 (n, row_bytes), and their squared norms float32 (n,), (0,) unless L2."""
        return self._encoded(rows, self._kept(rows))

    def place_rows(self, rows: Float32s, kernels: Kernels) -> tuple[UInt8s, Float32s, UInt32s]:
        """The same, and the cells of the rows, for which they are projected once."""
        kept = self._kept(rows)
        return *self._encoded(rows, kept), self._cells(self._as_queries(rows, kept), kernels)

    def cells_of(self, rows: Float32s, kernels: Kernels) -> UInt32s:
        """The cell of each prepared row: the one whose centroid is nearest by the codes, looked for in the parts of
        the tree that are nearest."""
        cells = np.empty(len(rows), np.uint32)
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            kept = block if self.projection is None else self.projection.project_queries(block)
            cells[first : first + BLOCK_ROWS] = self._cells(kept, kernels)
        return cells

    def _kept(self, rows: Float32s) -> Float32s:
        return rows if self.projection is None else self.projection.project_rows(rows)

    def _as_queries(self, rows: Float32s, kept: Float32s) -> Float32s:
        """Rows as queries are projected; `kept` is what they are as rows."""
        projection = self.projection
        if projection is None:
            return rows
        if self._is_of_rows:
            return kept + self._kept_mean
        return projection.project_queries(rows)

    @cached_property
    def _is_of_rows(self) -> bool:
        return self.projection is not None and self.projection.is_of_rows

    @cached_property
    def _kept_mean(self) -> Float32s:
        return self.projection.project_queries(self.projection.mean[None])[0] if self.projection else _NO_OFFSETS

    def _encoded(self, rows: Float32s, kept: Float32s) -> tuple[UInt8s, Float32s]:
        offsets = _NO_OFFSETS
        if self.metric is Metric.L2:
            offsets = np.einsum("ij,ij->i", rows, rows, dtype=np.float64).astype(np.float32)
        return coded_rows(kept, self.encoding), offsets

    def _cells(self, kept: Float32s, kernels: Kernels) -> UInt32s:
        cells = np.empty(len(kept), np.uint32)
        kept = np.ascontiguousarray(kept)
        if len(self.leaves) < LEAST_CELLS:
            kernels.nearest_cells(kept, *self._cell_parts, cells)
        else:
            kernels.nearest_cells_below(kept, *self._top_parts, *self._cell_parts, N_TOPS, cells)
        return cells
