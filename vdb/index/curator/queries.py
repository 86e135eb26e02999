"""Many queries made ready at once, as a device takes them: normalised, projected, quantized.

The CPU's kernel projects one query by directions that are coded in 8 bits, a quarter of the bytes to read for it. Many
queries share what they read, so here float32 directions project them, which only the rounding of those codes tells
apart; everything else is `reference_cells.prepare` and `quantize`, row by row.
"""

import numpy as np

from vdb.index.curator.model import Model
from vdb.kernels.device import Queries
from vdb.kernels.reference import LARGEST, Float32s
from vdb.kernels.reference_cells import limited, quantize
from vdb.types import Metric

__all__ = ["queries_of"]


def queries_of(model: Model, vectors: Float32s) -> Queries:
    """Finite float32 (q, D) vectors, in any order of memory, as a search of the model's rows asks for them."""
    norm = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    full = np.ascontiguousarray(vectors, np.float32)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if model.metric is Metric.COSINE:
            scale = np.where(norm > 0, np.minimum(1.0 / norm, LARGEST), 0.0).astype(np.float32)
            full = full * scale[:, None]
            norm = np.ones_like(norm)
        kept = limited(full if model.projection is None else model.projection.project_queries(full))
        coded, step, total = quantize(kept)
    return Queries(full, kept, coded, step, total, np.minimum(norm, LARGEST).astype(np.float32))
