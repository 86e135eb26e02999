"""Several queries, one list: a point's scores for each of them come together.

`rrf`: by its ranks, the sum of weight / (60 + rank). `sum` and `max`: by its scores, which are put on one scale first,
the best candidate of each query at 1 and the last one at 0; where a query did not find a point it counts as 0.
"""

from collections.abc import Sequence
from dataclasses import replace

from vdb.engine.scored import Scored

RRF_K = 60.0


def combined(lists: Sequence[list[Scored]], how: str, weights: Sequence[float]) -> list[Scored]:
    """One list, best first, ties by insertion order; legs and distance are those of the query that ranks it best."""
    total: dict[int, float] = {}
    best: dict[int, tuple[int, Scored]] = {}
    for ranked, weight in zip(lists, weights, strict=True):
        for rank, (scored, value) in enumerate(zip(ranked, _values(ranked, how), strict=True), 1):
            known, added = total.get(scored.pid, 0.0), weight * value
            total[scored.pid] = max(known, added) if how == "max" else known + added
            if scored.pid not in best or rank < best[scored.pid][0]:
                best[scored.pid] = rank, scored
    order = sorted(total, key=lambda pid: (-total[pid], pid))
    return [replace(best[pid][1], score=total[pid]) for pid in order]


def _values(ranked: list[Scored], how: str) -> list[float]:
    if how == "rrf":
        return [1.0 / (RRF_K + rank) for rank in range(1, len(ranked) + 1)]
    scores = [scored.score for scored in ranked if scored.score == scored.score]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    span = high - low
    return [
        ((scored.score - low) / span if span > 0 else 1.0) if scored.score == scored.score else 0.0 for scored in ranked
    ]
