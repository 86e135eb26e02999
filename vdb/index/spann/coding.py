"""How rows on disk are coded where nothing was measured, and how far the estimates of codes are off.

Fewer bits of more directions than in RAM: what counts on disk is bytes. A million arXiv vectors of 384 dimensions, 32
lists, the 45 best compared: 4 bits of 192 directions find .957 of the neighbours in 104 bytes, 4 bits of 160 .937 in
104, 8 bits of 96 .825 in 104, 8 bits of 160 .969 in 168.
"""

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.training import bounded
from vdb.index.leanvec.codes import Codes, decode
from vdb.kernels.reference import Float32s

SMALL_DIMENSION = 128
STEP = 64

SAMPLE_ROWS, SAMPLE_QUERIES, NEAR = 8_192, 64, 32
"""Rows, those of them that ask, and how many of the nearest rows of each count."""


def default_encoding(dimension: int) -> Encoding:
    """4 bits of all components of few, of half of many."""
    if dimension <= SMALL_DIMENSION:
        return Encoding(Form.LVQ4, dimension)
    return Encoding(Form.LVQ4, min(dimension, -(-dimension // (2 * STEP)) * STEP))


def spread_of(model: Model, vectors: Float32s) -> float:
    """The standard deviation of the error of estimated inner products with near rows, for queries of norm 1.

    A constant of the query is left out. `vectors` float32 (n, D) prepared; some are taken. 0 for fewer than 3.
    """
    if len(vectors) < 3:
        return 0.0
    chosen = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLE_ROWS)).astype(np.int64))
    rows = bounded(np.array(vectors[chosen]))
    queries = rows[:: max(1, len(rows) // SAMPLE_QUERIES)]
    exact = queries @ rows.T
    kept = queries if model.projection is None else model.projection.project_queries(queries)
    error = exact - kept @ _decoded(model, rows).T
    n_near = min(NEAR, len(rows))
    near = np.argpartition(-exact, n_near - 1, axis=1)[:, :n_near]
    spreads = np.take_along_axis(error, near, axis=1).std(axis=1, dtype=np.float64)
    norms = np.linalg.norm(queries.astype(np.float64), axis=1)
    relative: NDArray[np.float64] = np.divide(spreads, norms, out=np.zeros_like(spreads), where=norms > 0)
    return float(np.sqrt(np.mean(relative**2)))


def _decoded(model: Model, rows: Float32s) -> Float32s:
    """What the codes of rows stand for, float32 (n, d)."""
    form, d, width = model.encoding.form, model.encoding.dimension, model.encoding.width
    codes, _ = model.encode_rows(rows)
    if form is Form.FLOAT32:
        return codes.view(np.float32)
    if form is Form.FLOAT16:
        return codes.view(np.float16)[:, :d].astype(np.float32)
    bits, n_bytes = (8, d) if form is Form.LVQ8 else (4, (d + 1) // 2)
    constants = codes.view(np.float32)
    return decode(Codes(codes[:, :n_bytes], constants[:, width // 4], constants[:, width // 4 + 1], bits, d))
