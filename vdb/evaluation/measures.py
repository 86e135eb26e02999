"""Metrics of runs, by `ir_measures`: the mean over the judged queries, and each query's own.

A query counts that has a relevant document; one that the run does not answer counts as 0.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from vdb.errors import InvalidArgument
from vdb.evaluation.extras import library
from vdb.evaluation.files import Qrels, Run

DEFAULT_METRICS = ("nDCG@10", "R@5", "R@100", "RR@10")


class Measured(Struct):
    """A run's metrics: `means` by metric, `by_query` by metric and query."""

    name: str
    n_queries: int
    means: dict[str, float]
    by_query: dict[str, dict[str, float]]


class Measures:
    """The metrics asked for, by their names in ir_measures, such as `nDCG@10`, `R@5`, `RR@10`, `AP`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._library = library("ir_measures", "evaluation")
        self._measures = {name: self._parsed(name) for name in dict.fromkeys(names)}
        if not self._measures:
            raise InvalidArgument("no metric was named")
        self.of("", {"q": {"d": 1}}, {"q": {"d": 1.0}})  # a metric may be known, but not what it needs

    @property
    def names(self) -> list[str]:
        return list(self._measures)

    def of(self, name: str, qrels: Qrels, run: Run) -> Measured:
        """The metrics of a run over the queries of `qrels`, which all have a relevant document."""
        shown = {str(measure): name for name, measure in self._measures.items()}
        by_query: dict[str, dict[str, float]] = {metric: {} for metric in self._measures}
        try:
            for value in self._library.iter_calc(list(self._measures.values()), qrels, run):
                by_query[shown[str(value.measure)]][value.query_id] = float(value.value)
        except (AssertionError, ValueError, RuntimeError) as exc:
            raise InvalidArgument(f"cannot measure {', '.join(self._measures)}: {exc}") from exc
        means = {metric: sum(values.values()) / max(len(values), 1) for metric, values in by_query.items()}
        return Measured(name, len(qrels), means, by_query)

    def _parsed(self, name: str) -> Any:
        try:
            return self._library.parse_measure(name)
        except (NameError, ValueError, AssertionError, SyntaxError, TypeError) as exc:
            raise InvalidArgument(f"{name!r} is not a metric of ir_measures, such as nDCG@10, R@5, RR@10, AP") from exc
