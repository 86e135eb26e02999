"""Vectors from requests: lists of numbers, base64 text or arrays become one float32 matrix, C order, all finite."""

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import DimensionMismatch, InvalidArgument, NonFiniteVector

Pointer = Callable[[int], str]
"""JSON pointer of the i-th vector of a request."""


def matrix_of(
    vectors: Sequence[Any], dimension: int, pointer: Pointer, what: str = "collection"
) -> NDArray[np.float32]:
    """Vectors given one by one as a matrix (n, dimension); `what` has that dimension.

    Raises DimensionMismatch, NonFiniteVector, InvalidArgument at the vector's pointer.
    """
    if not vectors:
        return np.empty((0, dimension), np.float32)
    is_one_list = len(vectors) == 1 and type(vectors[0]) is list  # what nearly all searches bring
    if not is_one_list and any(type(vector) is not list for vector in vectors):
        vectors = [_row_of(vector, pointer, i) for i, vector in enumerate(vectors)]
    for i, vector in enumerate(vectors):
        if len(vector) != dimension:
            raise DimensionMismatch.at(pointer(i), f"the {what} has dimension {dimension}, not {len(vector)}")
    with np.errstate(over="ignore"):
        matrix = _filled(vectors, dimension)
    return check_finite(matrix, pointer)


def _filled(vectors: Sequence[Any], dimension: int) -> NDArray[np.float32]:
    """The rows as a matrix, each number converted once: `np.array` looks at all of them twice."""
    matrix = np.empty((len(vectors), dimension), np.float32)
    try:
        if len(vectors) == 1 and not isinstance(vectors[0], np.ndarray):
            return np.fromiter(vectors[0], np.float32, dimension)[None]
        for row, vector in zip(matrix, vectors, strict=True):
            row[:] = vector if isinstance(vector, np.ndarray) else np.fromiter(vector, np.float32, dimension)
    except (TypeError, ValueError, OverflowError):  # numbers in a form that only `np.array` takes, or none
        return np.array(vectors, dtype=np.float32)
    return matrix


def reshape(flat: NDArray[np.float32], n: int, dimension: int, pointer: str) -> NDArray[np.float32]:
    """The matrix (n, dimension) of a binary block; raises DimensionMismatch when the block has another size."""
    if flat.ndim == 2 and flat.shape != (n, dimension) and flat.shape[1] != dimension:
        raise DimensionMismatch.at(pointer, f"the collection has dimension {dimension}, not {flat.shape[1]}")
    if flat.size != n * dimension:
        raise DimensionMismatch.at(pointer, f"expected {n} vectors of dimension {dimension}: {flat.size} numbers came")
    matrix = flat.reshape(n, dimension)
    return check_finite(matrix, lambda i: f"{pointer}/{i}")


def check_finite(matrix: NDArray[np.float32], pointer: Pointer) -> NDArray[np.float32]:
    """The matrix itself; raises NonFiniteVector at the first row that holds NaN or an infinity."""
    if math.isfinite(np.vdot(matrix, matrix)):  # one call instead of two; it may overflow, never the other way round
        return matrix
    finite = np.isfinite(matrix)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise NonFiniteVector.at(pointer(row), "a vector's numbers are finite float32 values")
    return matrix


def encode_vector(vector: NDArray[np.float32], encoding: str) -> Any:
    """A vector for an answer: the array itself, or base64 of its little-endian bytes."""
    if encoding == "base64":
        return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
    return vector


def _row_of(vector: Any, pointer: Pointer, i: int) -> Any:
    if isinstance(vector, str):
        try:
            data = base64.b64decode(vector, validate=True)
            return np.frombuffer(data, "<f4")
        except (binascii.Error, ValueError) as exc:
            raise InvalidArgument.at(pointer(i), "not base64 of float32 values") from exc
    return vector
