"""The decision score: how much of a question's neighbourhood speaks for the nearest entry's answer.

Similarity alone says little: how near two questions with one answer lie differs by a factor between categories, and
inside them. What a neighbourhood says is measured against itself. Every near entry has a mass that falls with its
distance, e^(SLOPE · (similarity − 1)), and

    score = same / (same + different + DOUBT · unknown + background)

where `same` is the mass of entries in the candidate's answer group, `different` of those in groups known to differ,
`unknown` of the rest, and `background` the mass of one entry at similarity BACKGROUND: a question that is near to
nothing scores low even where all neighbours agree. In log-odds, score is nearly linear in the log-odds of being right,
and that line hardly moves while a cache fills; a bound on similarity does.

Shapes: k near entries, nearest first; the first is the candidate. Similarities float32, groups uint64.
Constants chosen on shuffles of CLINC150 and Banking77 other than those that `bench cache` reports.
"""

import math

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 16
"""How many near entries the score was made for."""
SLOPE = 8.0
DOUBT = 0.2
BACKGROUND = 0.6
_BACKGROUND_MASS = math.exp(SLOPE * (BACKGROUND - 1.0))
_EDGE = 1e-9


def decision_score(
    similarities: NDArray[np.float32], groups: NDArray[np.uint64], rejected: NDArray[np.uint64]
) -> float:
    """The score in (0, 1) of a neighbourhood.

    Args:
        similarities: float32 (k,), descending, k ≥ 1; cosine.
        groups: uint64 (k,), the answer group of each.
        rejected: uint64 (k,), the group that each one's group was founded against; 0 for none.
    """
    first, against = int(groups[0]), int(rejected[0])
    same = different = unknown = 0.0
    for similarity, group, other in zip(similarities.tolist(), groups.tolist(), rejected.tolist(), strict=True):
        mass = math.exp(SLOPE * (similarity - 1.0))
        if group == first:
            same += mass
        elif other == first or group == against:
            different += mass
        else:
            unknown += mass
    return same / (same + different + DOUBT * unknown + _BACKGROUND_MASS)


def log_odds(score: float) -> float:
    """ln(score / (1 − score)), the scale on which thresholds are learned."""
    bounded = min(max(score, _EDGE), 1.0 - _EDGE)
    return math.log(bounded / (1.0 - bounded))


def from_log_odds(value: float) -> float:
    """The score with these log-odds."""
    return 1.0 / (1.0 + math.exp(-value))
