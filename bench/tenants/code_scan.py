"""One query against contiguous 8-bit codes: the nearest by code, then the nearest of these by float32.

    x is about bias + step · code, so ⟨q, x⟩ is about bias · Σq + step · ⟨q, code⟩; in the product q has 8 bits too

Shapes: n rows of d components, m candidates, k kept. codes uint8 (n, w), w the next multiple of `ALIGNED`, zeros
after d; step, bias, halves float32 (n,); rows int64 (n,): where each lies in `vectors` float32.
Scores: ⟨q, x⟩ − halves, so that L2 ranks too; larger is nearer.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bench.tenants.workload import Float32s, Int64s
from vdb.kernels.cpu.dots import dot_bytes
from vdb.kernels.cpu.products import INSTRUCTION

PRODUCT = f"{INSTRUCTION.name} of {INSTRUCTION.lanes} lanes" if INSTRUCTION else "a plain loop"
"""The server's own product of bytes, so that the scan is not beaten for want of instructions."""

_LEVELS = 127
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}

Int8s = NDArray[np.int8]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return cast(Callable[..., Any], njit(nogil=True, fastmath=_FASTMATH)(function))


@_compiled
def _insert(scores: Float32s, places: Int64s, n_held: int, score: np.float32, place: int) -> int:
    """Put a score into a descending list of at most `len(scores)`; how many it then holds."""
    if n_held < scores.shape[0]:
        at = n_held
        n_held += 1
    elif score > scores[n_held - 1]:
        at = n_held - 1
    else:
        return n_held
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        places[at] = places[at - 1]
        at -= 1
    scores[at] = score
    places[at] = place
    return n_held


@_compiled
def scan_codes(
    codes: NDArray[np.uint8],
    step: Float32s,
    bias: Float32s,
    halves: Float32s,
    rows: Int64s,
    vectors: Float32s,
    query: Float32s,
    coded: Int8s,
    candidate_scores: Float32s,
    candidates: Int64s,
    scores: Float32s,
    found: Int64s,
) -> int:
    """Fill `found` (k,) with the nearest rows, nearest first, from `candidates` (m,) by code; how many there are.

    `coded` int8 (w,), zeros after d, `candidate_scores`, `candidates` and `scores` are scratch.
    """
    n_dimensions = query.shape[0]
    largest = np.float32(0)
    total = np.float32(0)
    for j in range(n_dimensions):
        largest = max(largest, abs(query[j]))
        total += query[j]
    scale = largest / np.float32(_LEVELS) if largest > 0 else np.float32(1)
    for j in range(n_dimensions):
        coded[j] = np.int8(np.rint(query[j] / scale))
    n_candidates = 0
    for row in range(codes.shape[0]):
        score = (
            bias[row] * total
            + step[row] * scale * np.float32(dot_bytes(codes, np.uint64(row), coded, np.uint64(coded.shape[0])))
            - halves[row]
        )
        n_candidates = _insert(candidate_scores, candidates, n_candidates, score, row)
    n_found = 0
    for i in range(n_candidates):
        row = candidates[i]
        exact = np.float32(0)
        for j in range(n_dimensions):
            exact += vectors[rows[row], j] * query[j]
        n_found = _insert(scores, found, n_found, exact - halves[row], rows[row])
    return n_found
