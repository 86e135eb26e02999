"""The shared index alone, as libraries of indexes are measured: no store, no tenants, no checks of what was found.

What the server does around it is left out: it is no public interface, and nothing here survives the process. Model,
encoding, profile and kernels are those of the server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vdb.engine.choosing import Sample, Wish, described, trained
from vdb.engine.plan import Plan, effort
from vdb.engine.tuner import ASKED_ROWS, LEAST_TUNED
from vdb.index.curator.choice import Candidate
from vdb.index.curator.exhaustive import nearest_of_all
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.measuring import measure
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.profile import Profile, residual_of
from vdb.index.curator.state import Reading, State
from vdb.index.curator.upkeep import default_encoding
from vdb.kernels import current, warm
from vdb.types import EVERYONE_ID, Metric

from .plugin import Plugin

__all__ = ["VdbIndex"]

_SAMPLE_ROWS = 100_000
_OWNER, _SEQUENCE, _NOW_MS = 1, 1, 0


class VdbIndex(Plugin):
    """The index classes, called directly. Arguments: `form` and `dimension`, the encoding; without: chosen by
    measurement."""

    form = "vdb-index"
    build_arguments = ("form", "dimension")
    n_per_batch = 64

    def __init__(self, metric: str, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__(metric, arguments)
        warm(background=False)
        self._index: CuratorIndex | None = None
        self._profile: Profile | None = None

    def fit(self, X: ArrayLike) -> None:
        """Build the index of X (n, d) and, from as many rows on as the server does it, measure what recall costs."""
        metric = Metric(self.metric)
        vectors = prepared(np.ascontiguousarray(X, np.float32), metric)
        n = len(vectors)
        rng = np.random.default_rng(n)
        sample = vectors
        if n > _SAMPLE_ROWS:
            sample = vectors[np.sort(rng.choice(n, _SAMPLE_ROWS, replace=False))]
        given = Sample(sample, n, n, metric, np.empty((0, vectors.shape[1]), np.float32))
        model, _ = trained(given, self._wish(vectors.shape[1]), n >= LEAST_TUNED, lambda: None)
        nobody = np.empty(0, np.uint32), (np.zeros(1, np.int64), np.empty(0, np.uint32))
        self._index = CuratorIndex.build(
            model, np.arange(n, dtype=np.uint32), np.full(n, _OWNER, np.uint32), np.zeros(n, np.int64), *nobody,
            _Held(vectors), _SEQUENCE,
        )  # fmt: skip
        self._profile = None
        if n >= LEAST_TUNED:
            slots = np.sort(rng.choice(n, min(n, ASKED_ROWS), replace=False))
            state = self._index.state
            measured = measure(self._index, state, vectors[slots], _SEQUENCE, _NOW_MS, own_slots=slots)
            self._profile = measured if measured.levels else None

    def query(self, q: ArrayLike, n: int) -> NDArray[np.int64]:
        index = self._built()
        return self._search(index, index.state, Plan(**self._effort(n)), np.ascontiguousarray(q, np.float32), n)

    def get_additional(self) -> dict[str, Any]:
        """How the index is made, kept beside the results."""
        index = self._built()
        model = index.state.model
        return {"encoding": described(model.encoding), "cells": len(model.leaves), "kernels": current().name}

    def done(self) -> None:
        """Let go of the index."""
        self._index = self._profile = None

    def _search_many(self, queries: NDArray[np.float32], n: int) -> list[list[int]]:
        index = self._built()
        state, plan = index.state, Plan(**self._effort(n))
        return [self._search(index, state, plan, query, n).tolist() for query in queries]

    def _search(
        self, index: CuratorIndex, state: State, plan: Plan, query: NDArray[np.float32], n: int
    ) -> NDArray[np.int64]:
        mine, everyones = state.reading(_OWNER), state.reading(EVERYONE_ID)
        if plan.exact:
            row = nearest_of_all(state, (mine, everyones), query, n, _SEQUENCE, _NOW_MS)[1]
        else:
            row = self._approximate(index, state, (mine, everyones), plan, query, n)
        return state.rows.pids[row[row >= 0]].astype(np.int64)

    def _approximate(
        self, index: CuratorIndex, state: State, readings: tuple[Reading, Reading], plan: Plan,
        query: NDArray[np.float32], n: int,
    ) -> NDArray[np.int64]:  # fmt: skip
        n_rows = readings[0].n_rows
        k = min(n, n_rows)
        residual = residual_of(state.model, query) if self._profile is not None else 0.0
        budget, candidates, _ = effort(plan, k, n_rows, self._profile, residual)
        chosen = Effort(min(n_rows, budget), max(k, candidates))
        return index.search(state, *readings, query, k, _SEQUENCE, _NOW_MS, chosen).row

    def _wish(self, dimension: int) -> Wish:
        if "form" not in self.arguments:
            return Wish()
        form = Form[self.arguments["form"].upper()]
        is_float = form in (Form.FLOAT32, Form.FLOAT16)
        kept = self.arguments.get("dimension", dimension if is_float else default_encoding(dimension).dimension)
        return Wish(candidate=Candidate(Encoding(form, kept), False))

    def _built(self) -> CuratorIndex:
        if self._index is None:
            raise RuntimeError("fit comes first")
        return self._index


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Prepared vectors float32 (n, d) in RAM, that are only read."""

    rows: NDArray[np.float32]

    def put(self, slots: NDArray[np.uint32], vectors: NDArray[np.float32]) -> None:
        raise NotImplementedError("rows are not added")
