"""What of a query its coded directions do not see: one number, before a search says how far to go.

Reads the directions that the search reads next, a quarter of the bytes of float32 ones. Twin: `residual_of` in
`vdb/kernels/reference_cells.py`.
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled, input_array
from vdb.kernels.cpu.estimates import project
from vdb.kernels.cpu.views import bytes_of, constants_of, words_at
from vdb.kernels.reference import Float32s
from vdb.kernels.reference_cells import LEAST_STEP

RESIDUAL_OF = types.float64(
    input_array(types.float32),  # query
    types.int64,  # address of the table of the model
)


@compiled(RESIDUAL_OF)
def residual_of(query: Float32s, model: int) -> float:
    """1 − |A q|² / |q|² of a query float32 (D,), prepared or not, for orthonormal directions A; not below 0.

    0 without directions, and where a projected component overflows.
    """
    words = words_at(model)
    of_queries = bytes_of(words, 0)
    if of_queries.shape[0] == 0:
        return 0.0
    energy, seen = 0.0, 0.0
    for i in range(query.shape[0]):
        energy += np.float64(query[i]) * np.float64(query[i])
    kept = np.empty(of_queries.shape[0], np.float32)
    project(query, of_queries, constants_of(words, 0), kept)
    for j in range(kept.shape[0]):
        seen += np.float64(kept[j]) * np.float64(kept[j])
    lost = 1.0 - seen / max(energy, LEAST_STEP)
    return lost if lost > 0 else 0.0
