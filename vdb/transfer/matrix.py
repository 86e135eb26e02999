"""Sources that are arrays side by side: npy, npz and HDF5. Owns how their columns become rows.

A column has `n` values and reads a slice of them. Text is UTF-8, payloads and sharing lists are text of JSON, an expiry
is int64 milliseconds since 1970 with 0 for none, `has_vector` is a boolean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vdb.errors import InvalidArgument
from vdb.transfer.fields import BadValue, Fields, grantees_of, id_of, list_of, moment_of_ms, object_of
from vdb.transfer.jsonl import not_finite
from vdb.transfer.rows import MAX_DIMENSION, Position, Rejected, Rows, damaged, rows_per_chunk, without


class Column(Protocol):
    """An array of a file, read in ascending slices."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int) -> Any:
        """Values `start` to `stop`; raises InvalidArgument where the file is damaged."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The arrays of one source; None where it has none of the kind."""

    vectors: Column
    ids: Column | None = None
    payloads: Column | None = None
    expires_at: Column | None = None
    shared_with: Column | None = None
    has_vector: Column | None = None


class MatrixSource:
    """Rows of a matrix and of the columns beside it. Used by one thread; `close` closes the file.

    `open_columns` is called anew by each pass, because some files can only be read forwards.
    """

    unit = "row"

    def __init__(
        self,
        path: Path,
        fields: Fields,
        open_columns: Callable[[], Columns],
        close: Callable[[], None],
        find_metric: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._path, self._fields, self._open, self._close = path, fields, open_columns, close
        self._find_metric = find_metric
        columns = open_columns()
        check_vectors(path, columns.vectors)
        self.n_rows: int = columns.vectors.shape[0]
        self.fixed_dimension: int | None = columns.vectors.shape[1]
        self.ids_differ = columns.ids is None or fields.id_prefix is not None
        for name in ("ids", "payloads", "expires_at", "shared_with", "has_vector"):
            column: Column | None = getattr(columns, name)
            if column is not None and column.shape != (self.n_rows,):
                raise damaged(path, f"{name} has shape {column.shape}, but there are {self.n_rows} vectors")

    @property
    def metric(self) -> str | None:
        return self._find_metric()

    def close(self) -> None:
        self._close()

    def dimension(self) -> int | None:
        return self.fixed_dimension

    def chunks(self, start: Position, dimension: int) -> Iterator[Rows]:
        """See Source."""
        columns = self._open()
        step = rows_per_chunk(max(columns.vectors.dtype.itemsize, 4) * dimension + _beside_bytes(columns))
        for first in range(start.row, self.n_rows, step):
            yield self._rows(columns, first, min(first + step, self.n_rows))

    def _rows(self, columns: Columns, first: int, stop: int) -> Rows:
        with np.errstate(over="ignore", invalid="ignore"):
            matrix = np.ascontiguousarray(columns.vectors.read(first, stop), dtype=np.float32)
        numbers = range(first, stop)
        reasons: dict[int, str] = dict.fromkeys(not_finite(matrix), "the vector holds numbers beyond float32")

        def column(given: Column | None, convert: Callable[[Any], Any]) -> list[Any] | None:
            return None if given is None else _converted(given.read(first, stop), convert, reasons)

        if columns.ids is None:
            prefix = self._fields.id_prefix or ""
            ids: list[str] = [f"{prefix}{number}" for number in numbers]
        else:
            ids = column(columns.ids, id_of) or []
        rows = Rows(numbers, ids, matrix, Position(stop))
        rows.has_vector = column(columns.has_vector, bool)
        rows.payloads = column(columns.payloads, _payload)
        rows.expires_at = column(columns.expires_at, _moment)
        rows.shared_with = column(columns.shared_with, _grantees)
        rows.fraction = stop / self.n_rows
        return without(rows, [Rejected(first + i, reason) for i, reason in reasons.items()], set(reasons))


def check_vectors(path: Path, column: Column) -> None:
    """Refuse an array that is no matrix of numbers."""
    if len(column.shape) != 2:
        raise damaged(path, f"vectors are a matrix with one row per point, not an array of shape {column.shape}")
    if column.dtype.kind not in "iuf":
        raise damaged(path, f"vectors are numbers, not {column.dtype}")
    if not 1 <= column.shape[1] <= MAX_DIMENSION:
        raise damaged(path, f"vectors of {column.shape[1]} numbers are not taken: 1 to {MAX_DIMENSION} are")


def name_of(given: str | None, default: str, found: Callable[[str], bool], path: Path) -> str | None:
    """The array to use: `given`, which must be there, or the default where it is there; None for none."""
    if given is None:
        return default if found(default) else None
    if given == "none":
        return None
    if not found(given):
        raise InvalidArgument(f"{path.name} has no array {given!r}")
    return given


def _beside_bytes(columns: Columns) -> int:
    """Bytes of a row beside its vector, as far as types tell."""
    beside = (columns.ids, columns.payloads, columns.expires_at, columns.shared_with)
    return sum(column.dtype.itemsize for column in beside if column is not None)


def _converted(values: Any, convert: Callable[[Any], Any], reasons: dict[int, str]) -> list[Any]:
    """The values converted one by one; the first reason against a row is kept."""
    made = []
    for i, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        try:
            made.append(convert(value))
        except BadValue as exc:
            reasons.setdefault(i, exc.detail)
            made.append(None)
    return made


def _payload(value: Any) -> dict[str, Any] | None:
    text = _text(value, "payload")
    return object_of(text, "payload") or None if text else None


def _grantees(value: Any) -> list[str] | None:
    text = _text(value, "shared_with")
    return grantees_of(list_of(text, "shared_with")) if text else None


def _text(value: Any, what: str) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            raise BadValue(f"{what} is not valid Unicode") from exc
    if not isinstance(value, bytes):
        raise BadValue(f"{what} is not text")
    return value


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadValue("expires_at is not an integer of milliseconds since 1970")
    return moment_of_ms(value)
