"""What a layout does beyond ordering rows: full cells are split, a model that no longer fits is replaced."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vdb.index.curator.choice import MOST_KEPT
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.relayout import Moment
from vdb.index.curator.state import ALIVE
from vdb.index.curator.training import DRIFTED, SAMPLE_ROWS, cell_limit, drift, grow, train
from vdb.index.kmeans import Check, unasked
from vdb.kernels.reference import Float32s, Int64s, UInt32s

RETRAIN_GROWTH = 1.5
"""A model is replaced only when the rows are this many times those it was trained for: otherwise a collection that is
hard to cluster would be trained at every layout."""
FEW_ROWS, FEW_GROWTH = 10_000, 8
"""A model of fewer rows than this is replaced when there are so many times as many: trained on 1,200 of 120,000 rows it
found 1.1 % fewer of the neighbours than one of all, and drift does not tell."""
LOOKED_AT = 4_000
"""Rows that tell whether a model still fits."""
COUNTED_ROWS = 16_384
"""Rows that are counted at once: meanwhile no other thread has the interpreter."""

Retrain = Callable[[Float32s, int, Model], Model]
"""Makes a model of a sample of prepared rows (n, D), of so many, in place of the one there is."""

SMALL_DIMENSION = 96
KEPT_SHARE = 0.4
STEP = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """The index in its new layout, and what was done: `split` cells, and whether the model is new (its drift)."""

    index: CuratorIndex
    n_split: int
    drift: float
    is_trained: bool


def default_encoding(dimension: int) -> Encoding:
    """Where nothing was measured: 8 bits of all dimensions, or of 40 % of many (arXiv: .998 of the neighbours), of no
    more than are ever tried: 3,296 eigenvectors of 8,192 dimensions take minutes, 1,024 a part of one."""
    if dimension <= SMALL_DIMENSION:
        return Encoding(Form.LVQ8, dimension)
    return Encoding(Form.LVQ8, min(dimension, MOST_KEPT, -(-int(KEPT_SHARE * dimension) // STEP) * STEP))


def alike(rows: Float32s, n_total: int, model: Model) -> Model:
    """A model with the encoding of the one there is."""
    return replace(train(rows, n_total, model.metric, model.encoding), n_trained=n_total)


def laid_out(
    index: CuratorIndex, moment: Moment, retrain: Retrain = alike, is_forced: bool = False, check: Check = unasked
) -> Outcome:
    """The successor of `index` as of `moment`; `is_forced`: with a new model, whether the old one fits or not."""
    rows, model = moment.state.rows, moment.state.model
    vectors = moment.state.vectors
    live = np.flatnonzero(rows.dead_at[: moment.n_rows] == ALIVE)
    found = 1.0
    is_forced = is_forced and len(live) > 0
    is_few = 0 < model.n_trained < FEW_ROWS and len(live) >= FEW_GROWTH * model.n_trained
    if is_forced or is_few or len(live) >= RETRAIN_GROWTH * model.n_trained:
        found = drift(model, vectors[rows.slots[_sampled(live, LOOKED_AT)]], check=check)
        if is_forced or is_few or found >= DRIFTED:
            trained = retrain(np.array(vectors[rows.slots[_sampled(live, SAMPLE_ROWS)]]), len(live), model)
            return Outcome(index.successor(moment, trained, is_recoded=True, check=check), 0, found, True)
    cells, grown = _grown(model, moment, live, check)
    successor = index.successor(moment, grown, cells, check=check)
    return Outcome(successor, len(grown.leaves) - len(model.leaves), found, False)


def _sampled(live: Int64s, n: int) -> Int64s:
    if len(live) <= n:
        return live
    return np.sort(np.random.default_rng(len(live)).choice(live, n, replace=False))


def _grown(model: Model, moment: Moment, live: Int64s, check: Check) -> tuple[UInt32s, Model]:
    """The model with its full cells split, and the cell of each row in it."""
    rows = moment.state.rows
    cells = rows.cells[: moment.n_rows]
    counts = np.zeros(len(model.leaves), np.int64)
    for first in range(0, len(live), COUNTED_ROWS):
        counts += np.bincount(cells[live[first : first + COUNTED_ROWS]], minlength=len(counts))
    limit = cell_limit(len(live))
    is_full = counts > limit
    if not is_full.any():
        return cells, model
    crowd = np.flatnonzero(is_full[cells])
    grown = grow(model, moment.state.vectors[rows.slots[crowd]], cells[crowd], limit, check=check)
    moved = grown.cell_of[cells]
    moved[crowd] = grown.cells
    return moved, grown.model
