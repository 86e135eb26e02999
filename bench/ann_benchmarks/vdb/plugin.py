"""What the forms of the plug-in share: their arguments and names, and batches over threads.

Rows are numbers of X (n, d) as `fit` got it. Arguments are one mapping, as `config.yml` gives it; an unknown name in it
raises ValueError, so that a misspelt one is not measured as if it had not been given.
"""

import os
from collections.abc import Iterator, Mapping
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from ann_benchmarks.algorithms.base.module import BaseANN
from numpy.typing import ArrayLike, NDArray

__all__ = ["QUERY_ARGUMENTS", "Plugin"]

QUERY_ARGUMENTS = ("recall", "budget", "rerank", "exact")
"""What a search takes: the recall to aim at, or rows scored, candidates compared by their full vectors; or all rows."""
_METRICS = {"angular": "cosine", "euclidean": "l2"}


class Plugin(BaseANN):  # type: ignore[misc]  # the harness has no types
    """One algorithm of the harness. Used by one thread; `done` closes it."""

    form = ""
    """The algorithm's name."""
    build_arguments: tuple[str, ...] = ()
    n_per_batch = 1
    """Queries that `_search_many` is given at once."""

    def __init__(self, metric: str, arguments: Mapping[str, Any] | None = None) -> None:
        if metric not in _METRICS:
            raise ValueError(f"metric {metric!r} is none of {', '.join(_METRICS)}")
        self.metric = _METRICS[metric]
        self.arguments = _known(arguments or {}, self.build_arguments)
        self.query_arguments: dict[str, Any] = {}
        self.res: list[list[int]] = []

    @property
    def name(self) -> str:
        """The algorithm with all its arguments."""
        given = self.arguments | self.query_arguments
        return f"{self.form}({', '.join(f'{name}={value}' for name, value in given.items())})"

    def __str__(self) -> str:
        return self.name

    def set_query_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Search by these from now on. A `rerank` below the number of hits asked for is raised to it."""
        self.query_arguments = _known(arguments, QUERY_ARGUMENTS)

    def query(self, q: ArrayLike, n: int) -> NDArray[np.int64]:
        """The nearest rows of one vector (d,), nearest first, int64 (n,) or shorter."""
        return np.array(self._search_many(np.asarray(q, np.float32)[None], n)[0], np.int64)

    def batch_query(self, X: ArrayLike, n: int) -> None:
        """Ask all vectors (q, d), by as many threads as the process has cores; `get_batch_results` has the rows."""
        queries = np.ascontiguousarray(X, np.float32)
        with ThreadPool(_n_cores()) as pool:
            found = pool.map(lambda part: self._search_many(part, n), self._parts(queries))
        self.res = [rows for part in found for rows in part]

    def get_batch_results(self) -> list[list[int]]:
        """The nearest rows of each query of the last batch."""
        return self.res

    def _parts(self, queries: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        step = max(1, min(self.n_per_batch, -(-len(queries) // _n_cores())))
        for first in range(0, len(queries), step):
            yield queries[first : first + step]

    def _effort(self, n: int) -> dict[str, Any]:
        """The arguments of a search for n hits."""
        given = self.query_arguments
        return given | {"rerank": max(n, given["rerank"])} if "rerank" in given else given

    def _search_many(self, queries: NDArray[np.float32], n: int) -> list[list[int]]:
        """The nearest rows of each query (q, d); from any thread."""
        raise NotImplementedError


def _known(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"unknown arguments {', '.join(unknown)}: there are {', '.join(names)}")
    return dict(given)


def _n_cores() -> int:
    """Cores that the process may use: in the harness's containers fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
