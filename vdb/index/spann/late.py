"""What was written after a layout on disk: a small index in RAM over the same model."""

import numpy as np

from vdb.index.curator.index import Effort
from vdb.index.curator.model import Model
from vdb.index.curator.state import N_SPANS, NO_ENTRIES, NO_PLACES, Directories, Rows, State
from vdb.kernels.reference import Float32s, Int64s, UInt32s
from vdb.types import Metric

FIRST_ROOM = 4_096
"""Rows that there is room for at first; memory that is not written to is not taken."""
BUDGET_SLACK = 3
LEAST_BUDGET = 1_000
"""Late rows lie in the same lists as laid ones, so of a reading the same share is scored, several times over: parts of
the tree are larger where rows are few."""


def nothing_late(model: Model, vectors: Float32s, sequence: int) -> State:
    """Of a layout as of `sequence` to which nothing was written yet."""
    room = FIRST_ROOM
    rows = Rows(
        codes=np.empty((room, model.encoding.row_bytes), np.uint8),
        offsets=np.empty(room if model.metric is Metric.L2 else 0, np.float32),
        pids=np.empty(room, np.uint32),
        slots=np.empty(room, np.uint32),
        owners=np.empty(room, np.uint32),
        cells=np.empty(room, np.uint32),
        dead_at=np.empty(room, np.uint32),
        added_at=np.empty(room, np.uint32),
        expires_at=NO_PLACES,
        n_laid=0,
        base_sequence=sequence,
    )
    directories = Directories(NO_PLACES, np.zeros((0, N_SPANS), np.int64), NO_ENTRIES, NO_PLACES)
    return State(model, rows, directories, {}, vectors, sequence)


def late_effort(budget: int, candidates: int, n_laid: int, n_late: int) -> Effort:
    """How far to go in `n_late` rows of readings that have `n_laid` rows in the layout."""
    share = n_late / max(1, n_laid + n_late)
    return Effort(min(n_late, LEAST_BUDGET + int(BUDGET_SLACK * share * budget)), candidates)


def nearest_of_both(distance: Float32s, pids: UInt32s, k: int) -> Int64s:
    """Places of the k nearest of rows that were found in two ways, by (distance, pid), each pid once, int64."""
    order = np.lexsort((pids, distance))
    _, first = np.unique(pids[order], return_index=True)
    nearest: Int64s = order[np.sort(first)[:k]]
    return nearest
