"""Parquet: one column is the vector (a list of numbers), others the id, the expiry, the sharing list and the payload.

Payload columns are named by `--payload`; without, the column `payload` (text of JSON, as `vdb export` writes it), else
every other column. A null is a field that is not there. Times become RFC 3339 text, decimals text.
"""

import datetime as clock
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.transfer.extras import library
from vdb.transfer.fields import ALL, NONE, BadValue, Fields, grantees_of, id_of, moment_of, object_of, payload_of
from vdb.transfer.jsonl import not_finite
from vdb.transfer.matrix import name_of
from vdb.transfer.rows import MAX_DIMENSION, Position, Rejected, Rows, damaged, rows_per_chunk, without

MAX_COLUMNS = 10_000
MAX_RATIO = 200
FREE_BYTES = 64 << 20
_SLACK_NUMBERS = 1 << 20
_BUFFER_BYTES = 1 << 20
_PEEK_ROWS = 1_000


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    arrow = library("pyarrow")
    try:
        yield
    except InvalidArgument:
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError, RecursionError) as exc:
        raise damaged(path, f"cannot be read: {str(exc).partition(chr(10))[0][:200]}") from exc


class ParquetSource:
    """A .parquet file. Used by one thread; `close` closes it."""

    unit = "row"
    metric = None

    def __init__(self, path: Path, fields: Fields) -> None:
        self._path, self._fields = path, fields
        parquet = library("pyarrow.parquet")
        with _reading(path):
            self._file = parquet.ParquetFile(path, memory_map=False, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        try:
            with _reading(path):
                self._plan()
        except BaseException:
            self._file.close()
            raise

    def dimension(self) -> int | None:
        """Length of the first vector."""
        if self.fixed_dimension is not None:
            return self.fixed_dimension
        with _reading(self._path):
            for batch in self._file.iter_batches(_PEEK_ROWS, columns=[self._vector], use_threads=False):
                lengths = batch.column(0).value_lengths()
                for length in lengths.to_pylist():
                    if length is not None:
                        return int(length)
        return None

    def chunks(self, start: Position, dimension: int) -> Iterator[Rows]:
        """See Source."""
        step = rows_per_chunk(8 * dimension)
        first = 0
        for group in range(self._file.num_row_groups):
            n_rows = self._file.metadata.row_group(group).num_rows
            if first + n_rows > start.row:
                yield from self._group(group, first, start.row, step, dimension)
            first += n_rows

    def _group(self, group: int, first: int, start: int, step: int, dimension: int) -> Iterator[Rows]:
        """The rows of a row group, which begins with row `first`, from row `start` on."""
        with _reading(self._path):
            self._check_numbers(group, dimension)
            batches = self._file.iter_batches(step, row_groups=[group], columns=self._columns, use_threads=False)
        row = first
        while True:
            with _reading(self._path):
                batch = next(batches, None)
            if batch is None:
                break
            if row + len(batch) > start:
                batch = batch.slice(max(start - row, 0))
                row = max(row, start)
                with _reading(self._path):
                    rows = self._rows(batch, row, dimension)
                yield rows
            row += len(batch)
        n_rows = self._file.metadata.row_group(group).num_rows
        if row != first + n_rows:
            raise damaged(self._path, f"row group {group} has {row - first} rows, though its end says {n_rows}")

    def close(self) -> None:
        self._file.close()

    def _plan(self) -> None:
        """Which columns are read, and that they can be."""
        self._schema = self._file.schema_arrow
        names = self._schema.names
        if len(names) > MAX_COLUMNS or len(set(names)) != len(names):
            raise damaged(self._path, f"has more than {MAX_COLUMNS} columns, or two of one name")
        self._check_groups()
        self.n_rows: int = self._file.metadata.num_rows

        def name(given: str | None, default: str) -> str | None:
            return name_of(given, default, names.__contains__, self._path)

        fields = self._fields
        vector = name(fields.vector, "vector")
        if vector is None:
            raise damaged(self._path, f"has no column 'vector': --vector names one of {', '.join(names[:10])}")
        self._vector: str = vector
        self._id = None if fields.id_prefix is not None else name(fields.id, "id")
        self._expires_at, self._shared_with = (
            name(fields.expires_at, "expires_at"),
            name(fields.shared_with, "shared_with"),
        )
        self.ids_differ = self._id is None
        own = [column for column in (vector, self._id, self._expires_at, self._shared_with) if column is not None]
        self._payload_names = self._named_payload([column for column in names if column not in own])
        payload = [column.removesuffix(".*") for column in self._payload_names]
        if unknown := [column for column in payload if column not in names]:
            raise InvalidArgument(f"{self._path.name} has no column {unknown[0]!r}")
        kind = self._schema.field(vector).type
        _check_vector(self._path, vector, kind)
        self.fixed_dimension: int | None = getattr(kind, "list_size", None)
        for column in payload:
            _check_payload(self._path, column, self._schema.field(column).type)
        self._columns = list(dict.fromkeys([*own, *payload]))

    def _named_payload(self, others: list[str]) -> tuple[str, ...]:
        fields = self._fields
        if fields.payload == NONE:
            return ()
        if fields.payload == ALL or (fields.payload is None and "payload" not in others):
            return tuple(others)
        return fields.payload_names

    def _check_groups(self) -> None:
        """Refuse row groups that cannot be, and data that grows out of proportion."""
        metadata, size = self._file.metadata, self._path.stat().st_size
        n_rows = n_bytes = 0
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            n_rows += group.num_rows
            n_bytes += group.total_byte_size
            if group.num_rows < 0 or group.total_byte_size < 0:
                raise damaged(self._path, f"row group {index} claims {group.num_rows} rows")
        if n_bytes > FREE_BYTES and n_bytes > MAX_RATIO * size:
            raise damaged(self._path, f"expands to more than {MAX_RATIO} times its size")
        if n_rows != metadata.num_rows:
            raise damaged(self._path, f"its row groups hold {n_rows} rows, though its end says {metadata.num_rows}")

    def _check_numbers(self, group: int, dimension: int) -> None:
        """Refuse a row group whose vectors hold many more numbers than its rows: a few bytes may stand for billions.

        One row is read first: a damaged head of a column is an error there, and ends the process where the head alone
        is asked for (pyarrow 26).
        """
        next(self._file.iter_batches(1, row_groups=[group], columns=self._columns, use_threads=False), None)
        paths = (self._file.schema.column(i).path for i in range(self._file.metadata.num_columns))
        leaf = next(i for i, path in enumerate(paths) if path.split(".")[0] == self._vector)
        head = self._file.metadata.row_group(group)
        n_numbers = head.column(leaf).num_values
        if n_numbers > 2 * head.num_rows * dimension + _SLACK_NUMBERS:
            raise damaged(self._path, f"row group {group} holds {n_numbers} numbers in {head.num_rows} vectors")

    def _rows(self, batch: Any, first: int, dimension: int) -> Rows:
        reasons: dict[int, str] = {}
        matrix, has_vector = _matrix(batch.column(self._vector), dimension, reasons)
        n = len(batch)

        def column(name: str | None, convert: Any) -> list[Any] | None:
            return None if name is None else _each(batch.column(name).to_pylist(), convert, reasons)

        prefix = self._fields.id_prefix or ""
        ids = column(self._id, id_of) or [f"{prefix}{number}" for number in range(first, first + n)]
        rows = Rows(range(first, first + n), ids, matrix, Position(first + n), has_vector)
        rows.expires_at = column(self._expires_at, moment_of)
        rows.shared_with = column(self._shared_with, grantees_of)
        rows.payloads = self._payloads(batch, n, reasons)
        rows.fraction = (first + n) / max(self.n_rows, 1)
        return without(rows, [Rejected(first + i, reason) for i, reason in reasons.items()], set(reasons))

    def _payloads(self, batch: Any, n: int, reasons: dict[int, str]) -> list[Any] | None:
        if not self._payload_names:
            return None
        names = [name.removesuffix(".*") for name in self._payload_names]
        whole = {name.removesuffix(".*") for name in self._payload_names if name.endswith(".*")}
        columns = [batch.column(name).to_pylist() for name in names]

        def made(place: int) -> dict[str, Any] | None:
            members = {}
            for name, values in zip(names, columns, strict=True):
                value = _plain(values[place])
                if isinstance(value, str) and name in whole:
                    value = object_of(value.encode(), name)
                if value is not None:
                    members[name] = value
            return payload_of(members, self._payload_names) or None

        return _each(range(n), made, reasons)


def _check_vector(path: Path, name: str, kind: Any) -> None:
    types = library("pyarrow.types")

    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        raise damaged(path, f"column {name!r} is {kind}, not a list of numbers: --vector names another")
    if types.is_fixed_size_list(kind) and not 1 <= kind.list_size <= MAX_DIMENSION:
        raise damaged(path, f"vectors of {kind.list_size} numbers are not taken: 1 to {MAX_DIMENSION} are")


def _check_payload(path: Path, name: str, kind: Any) -> None:
    """Refuse a column that JSON cannot show."""
    types = library("pyarrow.types")

    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        _check_payload(path, name, kind.value_type)
    elif types.is_struct(kind):
        for field in kind:
            _check_payload(path, name, field.type)
    else:
        tests = (
            types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_string,
            types.is_large_string, types.is_timestamp, types.is_date, types.is_decimal,
        )  # fmt: skip
        if not any(test(kind) for test in tests):
            raise damaged(path, f"column {name!r} is {kind}, which no payload holds: --payload names the others")


def _matrix(column: Any, dimension: int, reasons: dict[int, str]) -> tuple[NDArray[np.float32], list[bool] | None]:
    """The vectors of a batch, and which rows have one; wrong ones are noted in `reasons`."""
    n = len(column)
    lengths = np.asarray(column.value_lengths().fill_null(-1) if hasattr(column, "value_lengths") else [])
    if not lengths.size and n:
        lengths = np.where(np.asarray(column.is_null()), -1, column.type.list_size)
    for place in np.flatnonzero((lengths != dimension) & (lengths >= 0)).tolist():
        reasons[place] = f"the vector has {lengths[place]} numbers, not {dimension}"
    good = np.flatnonzero(lengths == dimension)
    matrix = np.zeros((n, dimension), np.float32)
    values = column.take(library("pyarrow").array(good)).flatten() if len(good) != n else column.flatten()
    holes = np.asarray(values.is_null()).reshape(len(good), dimension).any(axis=1) if values.null_count else None
    with np.errstate(over="ignore", invalid="ignore"):
        matrix[good] = np.asarray(values.fill_null(0), dtype=np.float32).reshape(len(good), dimension)
    if holes is not None:
        reasons |= dict.fromkeys(good[holes].tolist(), "the vector has a null in it")
    for place in not_finite(matrix):
        reasons.setdefault(place, "the vector holds numbers beyond float32")
    has_vector = (lengths >= 0).tolist()
    return matrix, None if all(has_vector) else has_vector


def _each(values: Any, convert: Any, reasons: dict[int, str]) -> list[Any]:
    """Every value converted; the first reason against a row is kept."""
    made = []
    for place, value in enumerate(values):
        try:
            made.append(convert(value))
        except BadValue as exc:
            reasons.setdefault(place, exc.detail)
            made.append(None)
    return made


def _plain(value: Any) -> Any:
    """A value as JSON has it, without the nulls of structs."""
    if isinstance(value, (clock.datetime, clock.date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if member is not None}
    return [_plain(member) for member in value] if isinstance(value, list) else value
