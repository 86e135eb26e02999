"""numpy at the edge: whatever the caller has becomes float32 in C order, and base64 becomes an array.

Shapes: points (n, d), one query (d,), several (q, d). Only what numbers cannot say is refused here; dimension and
finiteness are the engine's to judge.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vdb.errors import DimensionMismatch, InvalidArgument

Vectors = NDArray[np.float32]


def to_points(vectors: ArrayLike | Sequence[Any] | None, n: int) -> tuple[Vectors, list[bool] | None]:
    """The rows of the points that have a vector, and which have one (None: all); `vectors` may hold None."""
    if vectors is None:
        return np.empty((0, 0), np.float32), [False] * n
    if isinstance(vectors, (list, tuple)) and any(row is None for row in vectors):
        _check_length(len(vectors), n)
        rows = [row for row in vectors if row is not None]
        matrix = _to_matrix(rows) if rows else np.empty((0, 0), np.float32)
        return matrix, [row is not None for row in vectors]
    matrix = _to_matrix(vectors)
    _check_length(len(matrix), n)
    return matrix, None


def to_query(vector: ArrayLike) -> tuple[Vectors, int | None]:
    """A query (d,) and None, or queries (q, d) and q."""
    array = _to_float32(vector, "/vector")
    if array.ndim == 1:
        return array, None
    if array.ndim == 2:
        return array, len(array)
    raise InvalidArgument.at("/vector", "must be one vector, or a matrix with one query per row")


def from_base64(text: str) -> Vectors:
    """The vector (d,) that base64 of little-endian float32 spells; raises ValueError for other text."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)


def _to_matrix(vectors: Any) -> Vectors:
    array = _to_float32(vectors, "/vectors")
    if array.size == 0 and array.ndim == 1:
        return array.reshape(0, 0)
    if array.ndim != 2:
        raise InvalidArgument.at("/vectors", "must be a matrix with one row per point")
    return array


def _to_float32(values: Any, pointer: str) -> Vectors:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as exc:
        raise _ragged_or_foreign(values, pointer) from exc
    if array.dtype.kind not in "iuf":
        raise _ragged_or_foreign(values, pointer)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which the engine refuses
        return np.ascontiguousarray(array, dtype=np.float32)


def _ragged_or_foreign(values: Any, pointer: str) -> Exception:
    if isinstance(values, (list, tuple)) and all(map(_has_length, values)):
        for index, row in enumerate(values):
            if len(row) != len(values[0]):
                return DimensionMismatch.at(f"{pointer}/{index}", f"{len(row)} numbers, but {len(values[0])} in row 0")
    return InvalidArgument.at(pointer, "must hold numbers")


def _has_length(row: Any) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim > 0)


def _check_length(n_rows: int, n: int) -> None:
    if n_rows != n:
        raise InvalidArgument.at("/vectors", f"{n_rows} vectors for {n} ids")
