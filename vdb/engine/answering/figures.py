"""What is counted of answers, for /metrics: by outcome, stage and backend, never by tenant, and no text."""

import threading
from bisect import bisect_left
from typing import Literal

__all__ = ["CACHE_RESULTS", "OUTCOMES", "STAGES", "STAGE_BUCKETS_S", "AnswerFigures", "CacheResult", "Outcome", "Stage"]

Outcome = Literal["found", "not_found", "cached", "error", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = ("found", "not_found", "cached", "error", "cancelled")
CacheResult = Literal["exact", "semantic", "miss", "unavailable"]
CACHE_RESULTS: tuple[CacheResult, ...] = ("exact", "semantic", "miss", "unavailable")
Stage = Literal["cache", "retrieval", "context", "first_token", "generation"]
STAGES: tuple[Stage, ...] = ("cache", "retrieval", "context", "first_token", "generation")
STAGE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class AnswerFigures:
    """Counts since the start. Any thread may note and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self._cache: dict[CacheResult, int] = dict.fromkeys(CACHE_RESULTS, 0)
        self._buckets = {stage: [0] * (len(STAGE_BUCKETS_S) + 1) for stage in STAGES}
        self._sums_s: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self.n_failovers = self.n_repacked = self.n_unknown_citations = 0

    def note_outcome(self, outcome: Outcome) -> None:
        """A question was answered, or was not."""
        with self._lock:
            self._outcomes[outcome] += 1

    def note_stage(self, stage: Stage, seconds: float) -> None:
        """A stage took so long."""
        with self._lock:
            self._buckets[stage][bisect_left(STAGE_BUCKETS_S, seconds)] += 1
            self._sums_s[stage] += seconds

    def note_failover(self) -> None:
        """A backend failed before its first piece, and another one was asked."""
        with self._lock:
            self.n_failovers += 1

    def note_repacked(self) -> None:
        """A backend found the prompt too long, and was asked again with less."""
        with self._lock:
            self.n_repacked += 1

    def note_unknown_citations(self, n: int) -> None:
        """An answer cited passages that there are none of."""
        with self._lock:
            self.n_unknown_citations += n

    def note_cache(self, result: CacheResult) -> None:
        """A cache in front was asked."""
        with self._lock:
            self._cache[result] += 1

    @property
    def cache(self) -> dict[CacheResult, int]:
        """Questions by what the cache in front of them said."""
        with self._lock:
            return dict(self._cache)

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Answers by what became of them."""
        with self._lock:
            return dict(self._outcomes)

    @property
    def stages(self) -> list[tuple[str, list[int], float]]:
        """Of each stage how often it fell into which bucket of `STAGE_BUCKETS_S` and beyond, and its seconds."""
        with self._lock:
            return [(stage, list(self._buckets[stage]), self._sums_s[stage]) for stage in STAGES]
