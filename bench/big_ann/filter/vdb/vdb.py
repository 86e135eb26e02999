"""vdb in the filter track: a row's tags are a list in its payload, indexed; a query asks for rows with all of its own.

The database of a dataset is kept under `data/indices/filter/vdb`, and opened again by the next run.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark.datasets import DATASETS
from neurips23.filter.base import BaseFilterANN
from neurips23.vdb_points.points import QUERY_ARGUMENTS, Points, known
from numpy.typing import ArrayLike, NDArray

__all__ = ["VdbFilter"]

_FOLDER = Path("data/indices/filter/vdb")
_MARK = "complete"
_BLOCK_ROWS = 50_000


class VdbFilter(BaseFilterANN):  # type: ignore[misc]  # the harness has no types
    """A database per dataset and arguments: `tier`, `index_from_points`."""

    def __init__(self, metric: str, arguments: Mapping[str, Any]) -> None:
        self._metric = metric
        self._arguments = known(arguments, ("tier", "index_from_points"))
        self._effort: dict[str, Any] = {}
        self._points: Points | None = None
        self.res: NDArray[np.int32] = np.empty((0, 0), np.int32)

    @property
    def name(self) -> str:
        """The algorithm with all its arguments."""
        given = self._arguments | self._effort
        return f"vdb({', '.join(f'{name}={value}' for name, value in given.items())})"

    def __str__(self) -> str:
        return self.name

    def fit(self, dataset: str) -> None:
        """Store the dataset with its tags, and wait until its index is made."""
        data = DATASETS[dataset]()
        tags = data.get_dataset_metadata() if data.search_type() == "knn_filtered" else None
        self._points = self._open(dataset, data)
        first = 0
        for block in data.get_dataset_iterator(bs=_BLOCK_ROWS):
            rows = range(first, first + len(block))
            self._points.put(rows, block, None if tags is None else [_row_of(tags, row) for row in rows])
            first += len(block)
        self._points.settle()
        (self._folder(dataset) / _MARK).touch()

    def load_index(self, dataset: str) -> bool:
        """Open the database that an earlier run has filled; False where none has."""
        if not (self._folder(dataset) / _MARK).exists():
            return False
        self._points = self._open(dataset, DATASETS[dataset]())
        return True

    def set_query_arguments(self, arguments: Mapping[str, Any]) -> None:
        """`recall`, or `budget` and `rerank`, or `exact`; and `threads`."""
        self._effort = known(arguments, QUERY_ARGUMENTS)

    def query(self, X: ArrayLike, k: int) -> None:
        """Ask all queries (q, d); `get_results` has the rows, int32 (q, k)."""
        self.res = self._opened().search(X, k, self._effort)

    def filtered_query(self, X: ArrayLike, filter: Any, k: int) -> None:
        """The same, among rows that have all tags of the query's row of `filter`, a CSR matrix (q, tags)."""
        filters = [_all_of(_row_of(filter, place)) for place in range(filter.shape[0])]
        self.res = self._opened().search(X, k, self._effort, filters)

    def done(self) -> None:
        """Close the database."""
        if self._points is not None:
            self._points.close()
            self._points = None

    def _open(self, dataset: str, data: Any) -> Points:
        folder = self._folder(dataset)
        folder.mkdir(parents=True, exist_ok=True)
        return Points(folder / "data", self._metric, data.d, self._arguments | {"has_tags": True})

    def _folder(self, dataset: str) -> Path:
        given = "-".join(f"{name}-{value}" for name, value in sorted(self._arguments.items()))
        return _FOLDER / dataset / (given or "defaults")

    def _opened(self) -> Points:
        if self._points is None:
            raise RuntimeError("fit or load_index comes first")
        return self._points


def _row_of(matrix: Any, row: int) -> list[int]:
    """The columns that a row of a CSR matrix names."""
    found: list[int] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].tolist()
    return found


def _all_of(tags: Sequence[int]) -> dict[str, Any] | None:
    conditions = list(_conditions(tags))
    return {"and": conditions} if conditions else None


def _conditions(tags: Sequence[int]) -> Iterator[dict[str, Any]]:
    for tag in tags:
        yield {"field": "tags", "contains": tag}
