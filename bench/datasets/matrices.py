"""Matrices in files of others, read in blocks as float32: `.npy`, `.hdf5`, `.fvecs`, `.bvecs`, `.ivecs`.

In a `.?vecs` file each row is its length, a little-endian int32, and then as many numbers: float32, bytes or int32.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tenants.contender import LeftOut
from bench.tenants.growth import normalised
from bench.tenants.workload import Float32s

__all__ = ["HDF5_SUFFIXES", "Matrix", "attribute", "converted", "opened", "whole"]

Matrix = Any
"""What has a `shape` of two, a `dtype` and rows by slices: an array, a mapped one or a dataset of HDF5."""

HDF5_SUFFIXES = (".hdf5", ".h5")
_VECS: dict[str, np.dtype[Any]] = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1"), ".ivecs": np.dtype("<i4")}
_BLOCK = 50_000
_FOREIGN = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError)
_MAX_RATIO = 10_000
"""Bytes that a dataset of HDF5 claims, over those it stores: beyond, it is damaged."""


@contextmanager
def opened(path: Path) -> Iterator[Callable[[str], Matrix | None]]:
    """A file's matrices by name, None for one that it lacks; those but HDF5 have one, whatever the name.

    Raises LeftOut, also from reading on, where the file is not there, damaged or of a form that is not known.
    """
    if not path.is_file():
        raise LeftOut(f"there is no file {path}")
    try:
        if path.suffix in HDF5_SUFFIXES:
            with _hdf5(path) as file:
                yield lambda name: _dataset(file, name, path)
        elif path.suffix == ".npy":
            found = _two_dimensional(np.load(path, mmap_mode="r", allow_pickle=False), path)
            yield lambda name: found
        elif path.suffix in _VECS:
            rows = _vecs(path, _VECS[path.suffix])
            yield lambda name: rows
        else:
            raise LeftOut(f"{path}: .npy, .hdf5, .h5, .fvecs, .bvecs and .ivecs are read")
    except _FOREIGN as exc:
        raise LeftOut(f"{path} cannot be read: {str(exc).partition(chr(10))[0][:200]}") from exc


def attribute(path: Path, name: str) -> str | None:
    """An attribute of an HDF5 file as text, None where there is none. Raises LeftOut as `opened` does."""
    try:
        with _hdf5(path) as file:
            word = file.attrs.get(name)
    except _FOREIGN as exc:
        raise LeftOut(f"{path} cannot be read: {str(exc).partition(chr(10))[0][:200]}") from exc
    return word.decode(errors="replace") if isinstance(word, bytes) else None if word is None else str(word)


def whole(matrix: Matrix, n: int | None = None) -> NDArray[Any]:
    """The first `n` rows, or all, as an array in memory."""
    return np.array(matrix[:n])


def converted(matrix: Matrix, n: int, path: Path, *, is_normalised: bool) -> int:
    """Write the first `n` rows as float32 `.npy`, of length 1 if asked; returns how many rows of zeros were left out.

    Zeros have no direction, so a set to be normalised loses them. Raises LeftOut for numbers that are not finite.
    """
    if not is_normalised:
        out = np.lib.format.open_memmap(path, "w+", np.float32, (n, matrix.shape[1]))
        for first in range(0, n, _BLOCK):
            out[first : first + _BLOCK] = _finite(matrix[first : min(first + _BLOCK, n)])
        return 0
    n_zero = sum(int((~some.any(axis=1)).sum()) for some in _blocks(matrix, n))
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n - n_zero, matrix.shape[1]))
    at = 0
    for some in _blocks(matrix, n):
        kept = some[some.any(axis=1)]
        out[at : at + len(kept)] = normalised(kept)
        at += len(kept)
    return n_zero


def _blocks(matrix: Matrix, n: int) -> Iterator[Float32s]:
    for first in range(0, n, _BLOCK):
        yield _finite(matrix[first : min(first + _BLOCK, n)])


def _finite(rows: NDArray[Any]) -> Float32s:
    wide = np.asarray(rows).astype(np.float32)
    if not np.isfinite(wide).all():
        raise LeftOut("there are numbers in the file that are not finite")
    return wide


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as exc:
        raise LeftOut(f"{path.name} is read by h5py: pip install 'vdb[transfer]'") from exc
    with h5py.File(path, "r") as file:
        yield file


def _dataset(file: Any, name: str, path: Path) -> Matrix | None:
    found = file.get(name)
    if found is None:
        return None
    if not hasattr(found, "dtype") or found.is_virtual or found.external:
        raise LeftOut(f"{path}: {name!r} is no dataset in the file itself")
    claimed = int(np.prod(found.shape, dtype=np.int64)) * found.dtype.itemsize
    if claimed > _MAX_RATIO * max(1, found.id.get_storage_size()):
        raise LeftOut(f"{path}: {name!r} claims shape {found.shape} and stores next to nothing of it")
    return _two_dimensional(found, path)


def _two_dimensional(found: Matrix, path: Path) -> Matrix:
    if len(found.shape) != 2 or 0 in found.shape or found.dtype.kind not in "fiu":
        raise LeftOut(f"{path}: a matrix of numbers is needed, this one has shape {found.shape} of {found.dtype}")
    return found


def _vecs(path: Path, dtype: np.dtype[Any]) -> Matrix:
    """The numbers of all rows (n, d), mapped; the lengths before them are checked."""
    size = path.stat().st_size
    head = np.fromfile(path, "<i4", 1)
    d = int(head[0]) if len(head) else 0
    width = 4 + d * dtype.itemsize
    if d < 1 or size % width:
        raise LeftOut(f"{path}: {size} bytes are no rows of {d} numbers")
    rows = np.memmap(path, np.dtype([("d", "<i4"), ("row", dtype, (d,))]), "r")
    if (rows["d"] != d).any():
        raise LeftOut(f"{path}: rows differ in length")
    return rows["row"]
