"""Checks by the way how much of the truth the index finds: one search in some hundreds is compared with all rows.

A search hands over what it searched and what it found, and goes on; a thread beside it works out the true neighbours in
the same arrays at the same sequence. Work is bounded: one check at a time, none of readings beyond `MOST_BYTES` of
vectors, and after each a pause of `PAUSES` times what it took. Kept are a collection's numbers, not whose query it was.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.index.curator.measuring import exact
from vdb.index.curator.model import prepared
from vdb.index.curator.narrowing import rows_seen
from vdb.index.curator.state import Reading, State

logger = logging.getLogger(__name__)

ONE_IN = 1_000
MOST_BYTES = 256 << 20
"""Of the vectors of a reading: a larger one is not checked."""
PAUSES = 100
"""A check is followed by none for so many times as long: they take 1 % of a core at most."""
MOST_KEPT = 100
"""Checks that the figures are the mean of: the newest."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A search that was answered: query float32 (D,) as it came, distances float32 of what was found, as kernels state
    them; `readings` of `state` were searched at `sequence` and `now_ms`."""

    state: State
    readings: tuple[Reading, Reading]
    query: NDArray[np.float32]
    k: int
    sequence: int
    now_ms: int
    found: NDArray[np.float32]
    target: float


@dataclass(frozen=True, slots=True)
class Checked:
    """Means of the newest checks: recall, and the target that was aimed at; `n_checks` of all there were."""

    n_checks: int
    recall: float | None
    target: float | None


class RecallFigures:
    """What was checked of one collection since it was opened; without a `checker`, nothing. Any thread; a search that
    races another may not be counted."""

    def __init__(self, checker: "RecallChecker | None") -> None:
        self._checker = checker
        self._to_go: float = random.randrange(ONE_IN) if checker is not None else float("inf")
        self._newest: deque[tuple[float, float]] = deque(maxlen=MOST_KEPT)
        self._n_checks = 0

    def is_due(self) -> bool:
        """Whether the search that asks is to be checked. Called by every search: it only counts."""
        self._to_go -= 1
        if self._to_go >= 0:
            return False
        self._to_go = random.randrange(2 * ONE_IN)
        return True

    def take(self, case: Case) -> None:
        """Have a search checked that was due."""
        if self._checker is not None:
            self._checker.take(self, case)

    def add(self, recall: float, target: float) -> None:
        self._newest.append((recall, target))
        self._n_checks += 1

    @property
    def checked(self) -> Checked:
        newest = list(self._newest)
        if not newest:
            return Checked(0, None, None)
        recalls, targets = zip(*newest, strict=True)
        return Checked(self._n_checks, round(sum(recalls) / len(newest), 4), round(sum(targets) / len(newest), 4))


class RecallChecker:
    """Checks for all collections, on a thread of `executor`, one at a time. `take` is for the path of a search."""

    def __init__(self, executor: Executor, is_stopping: Callable[[], bool]) -> None:
        self._executor = executor
        self._is_stopping = is_stopping
        self._is_busy = False
        self._not_before = 0.0

    def take(self, figures: RecallFigures, case: Case) -> None:
        """Check it beside the search, or leave it where another is under way, one has just been, or it is too large."""
        n_bytes = sum(reading.n_rows for reading in case.readings) * case.query.nbytes
        if self._is_busy or n_bytes > MOST_BYTES or time.monotonic() < self._not_before or self._is_stopping():
            return
        self._is_busy = True
        try:
            self._executor.submit(self._check, figures, case)
        except RuntimeError:  # it was shut down: the server stops
            self._is_busy = False

    def _check(self, figures: RecallFigures, case: Case) -> None:
        began = time.monotonic()
        try:
            if not self._is_stopping():
                recall = recall_of(case)
                if recall is not None:
                    figures.add(recall, case.target)
        except Exception as exc:  # a check is worth no more than a line
            logger.warning("a search's recall was not checked", exc_info=exc)
        finally:
            ended = time.monotonic()
            self._not_before = ended + PAUSES * (ended - began)
            self._is_busy = False


def recall_of(case: Case) -> float | None:
    """The share of the true neighbours, by distance, that the search found; None where there are none."""
    state = case.state
    seen = rows_seen(case.readings, state.rows, case.sequence, case.now_ms)
    query = prepared(case.query[None], state.model.metric)
    bounds, n_true = exact(state, seen, query, np.full(1, -1, np.int64), case.k)
    n = int(n_true[0])
    return min(int((case.found <= bounds[0]).sum()), n) / n if n else None
