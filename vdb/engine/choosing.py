"""Makes the model of a collection's index: an encoding chosen by measurement, or the one that is wished for."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdb.engine.tuning import DEFAULT, RECORDED, REQUESTED, ROWS, Tuning
from vdb.errors import VdbError
from vdb.index.curator.choice import Candidate, Choice, Cost, candidates, choose
from vdb.index.curator.costs import measured_costs
from vdb.index.curator.model import Encoding, Form, Model, prepared
from vdb.index.curator.training import train
from vdb.index.curator.upkeep import default_encoding
from vdb.kernels import current
from vdb.types import Metric

logger = logging.getLogger(__name__)

LEAST_RECORDED = 200
"""Recorded queries from which an encoding is chosen by them unasked."""
MOST_DIMENSIONS = 8
"""Reduced dimensions that are tried; each takes a fraction of a second in each form."""
CHOICE_ROWS = 24_000
"""Rows of the sample that the choice is made by."""
LIMIT_S = 60.0
"""CPU time of the choice, after which it is given up."""

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What an admin asked for: queries to choose by (`rows` or `recorded`), and an encoding, None for the best."""

    queries: str | None = None
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a model is learned from: prepared rows float32 (n, D), of `n_total`; `n_reading` is a tenant's share of
    them; recorded queries float32 (q, D), as they came."""

    rows: NDArray[np.float32]
    n_total: int
    n_reading: int
    metric: Metric
    recorded: NDArray[np.float32]


class _TooLong(Exception):
    """The choice takes longer than it may."""


def trained(sample: Sample, wish: Wish, is_measured: bool, check: Check) -> tuple[Model, Tuning]:
    """A model for the sample, and how it was chosen. `check` is called now and then and raises when it is to end.

    Where `is_measured` is False, and where the choice fails, the encoding is the default one.
    """
    queries = None
    if wish.queries == RECORDED or (wish.queries is None and len(sample.recorded) >= LEAST_RECORDED):
        queries = prepared(sample.recorded, sample.metric)
    if wish.candidate is not None:
        return _as_wished(sample, wish.candidate, check)
    if is_measured:
        try:
            return _chosen(sample, queries, check)
        except (_TooLong, VdbError, ValueError, np.linalg.LinAlgError) as exc:
            logger.warning("an encoding was not chosen by measurement: the default is taken", exc_info=exc)
    check()
    encoding = default_encoding(sample.rows.shape[1])
    model = train(sample.rows, sample.n_total, sample.metric, encoding, check=check)
    return replace(model, n_trained=sample.n_total), Tuning(DEFAULT)


def _as_wished(sample: Sample, candidate: Candidate, check: Check) -> tuple[Model, Tuning]:
    queries = prepared(sample.recorded, sample.metric) if candidate.for_queries and len(sample.recorded) else None
    model = train(sample.rows, sample.n_total, sample.metric, candidate.encoding, queries, check=check)
    return replace(model, n_trained=sample.n_total), Tuning(REQUESTED, for_queries=queries is not None)


def _chosen(sample: Sample, queries: NDArray[np.float32] | None, check: Check) -> tuple[Model, Tuning]:
    dimension = sample.rows.shape[1]
    check()
    began, ended = time.perf_counter(), time.thread_time() + LIMIT_S
    cost = _Checked(measured_costs(dimension, sample.metric, current()), check, ended)
    choice = _best(sample, queries, cost, check)
    best = choice.best
    origin = ROWS if queries is None else RECORDED
    logger.info(
        "encoding chosen: %s", described(best.candidate.encoding),
        extra={
            "by": origin, "for_queries": best.candidate.for_queries, "recall": round(best.recall, 4),
            "reached": best.reached, "cost_us": round(best.cost_us, 1), "tried": len(choice.trials),
            "seconds": round(time.perf_counter() - began, 1),
        },
    )  # fmt: skip
    check()
    given = queries if best.candidate.for_queries else None
    model = train(
        sample.rows, sample.n_total, sample.metric, best.candidate.encoding, given, projection=choice.projection,
        check=check,
    )  # fmt: skip
    model = replace(model, n_trained=sample.n_total)
    return model, Tuning(origin, best.candidate.for_queries, float(best.recall), float(best.cost_us))


def _best(sample: Sample, queries: NDArray[np.float32] | None, cost: Cost, check: Check) -> Choice:
    """The best of the codes that are no larger than the default's, of larger ones where none of those reaches."""
    all_tried = tried(sample.rows.shape[1], queries is not None)
    most = default_encoding(sample.rows.shape[1]).row_bytes
    small = [one for one in all_tried if one.encoding.row_bytes <= most]
    large = [one for one in all_tried if one.encoding.row_bytes > most]
    choice = _choose(sample, queries, cost, small, check)
    if choice.best.reached or not large:
        return choice
    other = _choose(sample, queries, cost, large, check)
    return other if other.best.reached or other.best.recall > choice.best.recall else choice


def _choose(
    sample: Sample, queries: NDArray[np.float32] | None, cost: Cost, those: list[Candidate], check: Check
) -> Choice:
    rows = sample.rows
    if len(rows) > CHOICE_ROWS:
        rows = rows[np.sort(np.random.default_rng(len(rows)).choice(len(rows), CHOICE_ROWS, replace=False))]
    return choose(rows, queries, sample.metric, cost, tried=those, n_reading=sample.n_reading, check=check)


def tried(dimension: int, has_queries: bool) -> list[Candidate]:
    """What is tried: of many reduced dimensions some, the others in full."""
    found = candidates(dimension, has_queries)
    reduced = sorted({one.encoding.dimension for one in found if one.encoding.dimension < dimension})
    step = -(-len(reduced) // MOST_DIMENSIONS) or 1
    kept = {*reduced[step - 1 :: step], dimension, default_encoding(dimension).dimension}
    return [one for one in found if one.encoding.dimension in kept]


def described(encoding: Encoding) -> str:
    """An encoding in words."""
    return f"{encoding.form.name.lower()}, {encoding.dimension} dimensions"


@dataclass(frozen=True, slots=True)
class _Checked:
    """A cost that ends the choice which asks for it, when that is in vain or takes too long."""

    cost: Cost
    check: Check
    ended: float

    def __call__(
        self, encoding: Encoding, n_rows: float, n_nodes: float, n_candidates: int, n_compared: float
    ) -> float:
        self.check()
        if time.thread_time() > self.ended:
            raise _TooLong(f"it takes more than {LIMIT_S:g} s")
        return self.cost(encoding, n_rows, n_nodes, n_candidates, n_compared)


def wished(form: str, dimension: int, for_queries: bool) -> Candidate:
    """A candidate of a request's members."""
    return Candidate(Encoding(Form[form.upper()], dimension), for_queries)
