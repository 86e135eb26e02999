"""vdb in the streaming track: inserts, deletes and replacements as a runbook says, each durable, searches between.

Nothing is waited for but the writes: a search sees all of them, whatever the index has taken in by then.
"""

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from neurips23.streaming.base import BaseStreamingANN
from neurips23.vdb_points.points import QUERY_ARGUMENTS, Points, known
from numpy.typing import ArrayLike, NDArray

__all__ = ["VdbStreaming"]


class VdbStreaming(BaseStreamingANN):  # type: ignore[misc]  # the harness has no types
    """A database of its own, gone after `done`. Arguments: `tier`, `index_from_points`."""

    def __init__(self, metric: str, arguments: Mapping[str, Any]) -> None:
        self._metric = metric
        self._arguments = known(arguments, ("tier", "index_from_points"))
        self._effort: dict[str, Any] = {}
        self._stack = ExitStack()
        self._points: Points | None = None
        self.res: NDArray[np.int32] = np.empty((0, 0), np.int32)

    @property
    def name(self) -> str:
        """The algorithm with all its arguments."""
        given = self._arguments | self._effort
        return f"vdb({', '.join(f'{name}={value}' for name, value in given.items())})"

    def __str__(self) -> str:
        return self.name

    def setup(self, dtype: str, max_pts: int, ndims: int) -> None:
        """Make the database; there is no bound on its points, and vectors are float32 whatever `dtype` says."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-stream-"))
        self._points = Points(Path(folder), self._metric, ndims, self._arguments)
        self._stack.callback(self._points.close)

    def insert(self, X: ArrayLike, ids: NDArray[np.uint32]) -> None:
        """Store vectors (n, d) under their ids."""
        self._opened().put(ids.tolist(), X)

    def delete(self, ids: NDArray[np.uint32]) -> None:
        """Delete by id."""
        self._opened().remove(ids.tolist())

    def replace(self, X: ArrayLike, ids: NDArray[np.uint32]) -> None:
        """Give ids that are there other vectors."""
        self.insert(X, ids)

    def set_query_arguments(self, arguments: Mapping[str, Any]) -> None:
        """`recall`, or `budget` and `rerank`, or `exact`; and `threads`."""
        self._effort = known(arguments, QUERY_ARGUMENTS)

    def query(self, X: ArrayLike, k: int) -> None:
        """Ask all queries (q, d); `get_results` has the ids, int32 (q, k)."""
        self.res = self._opened().search(X, k, self._effort)

    def done(self) -> None:
        """Close the database and remove it."""
        self._stack.close()
        self._points = None

    def _opened(self) -> Points:
        if self._points is None:
            raise RuntimeError("setup comes first")
        return self._points
