"""npy and npz. Nothing is unpickled or extracted: heads are read under a bound, and arrays as rows are asked for.

An npy is mapped. An npz is a zip whose members are read forwards as streams, each within the size that its head and the
zip's directory agree on. Text in an npz is an array of strings (U or S), or bytes (uint8) with their ends beside them
in `<name>_ends` (int64): what `vdb export` writes, because strings of equal width waste space.
"""

import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from vdb.errors import InvalidArgument
from vdb.transfer.fields import ALL, Fields
from vdb.transfer.matrix import Column, Columns, MatrixSource, name_of
from vdb.transfer.rows import damaged

MAX_RATIO = 200
"""More than arrays of vectors shrink to."""
FREE_BYTES = 64 << 20
MAX_DIRECTORY_BYTES = 1 << 20
"""Of a zip's list of members: tens of thousands, which is not what an npz is."""
MAX_TEXT_BYTES = 256 << 10
"""Of one value of a text array; an id has 256 bytes, a payload 64 KiB."""
_MAX_HEAD_CHARS = 10_000
_STEP_BYTES = 1 << 20
_FOREIGN = (
    OSError, EOFError, ValueError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError,
    NotImplementedError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the libraries raise, as the error of a damaged file."""
    try:
        yield
    except InvalidArgument:
        raise
    except _FOREIGN as exc:
        said = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc).partition("\n")[0][:200]
        raise damaged(path, f"cannot be read: {said or type(exc).__name__}") from exc


def open_npy(path: Path, fields: Fields) -> MatrixSource:
    """An .npy of vectors; ids are row numbers."""
    with reading(path):
        column = _MappedColumn(path)
    return MatrixSource(path, fields, lambda: Columns(column), column.close)


def open_npz(path: Path, fields: Fields) -> MatrixSource:
    """An .npz with `vectors` (or its only array) and, where they are there, the other columns."""
    with reading(path):
        _check_directory(path)
        archive = zipfile.ZipFile(path)
    try:
        members = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
        only = next(iter(members)) if len(members) == 1 else "vectors"
        names = {
            "vectors": name_of(fields.vector, only, members.__contains__, path),
            "ids": None if fields.id_prefix is not None else name_of(fields.id, "ids", members.__contains__, path),
            "payloads": name_of(payload_name(fields), "payloads", members.__contains__, path),
            "expires_at": name_of(fields.expires_at, "expires_at", members.__contains__, path),
            "shared_with": name_of(fields.shared_with, "shared_with", members.__contains__, path),
            "has_vector": "has_vector" if "has_vector" in members else None,
        }
        if names["vectors"] is None:
            raise damaged(path, f"has no array 'vectors': --vector names one of {', '.join(sorted(members)[:10])}")

        def open_columns() -> Columns:
            with reading(path):
                return Columns(**{key: _open_member(path, archive, name) for key, name in names.items() if name})

        return MatrixSource(path, fields, open_columns, archive.close)
    except BaseException:
        archive.close()
        raise


def payload_name(fields: Fields) -> str | None:
    """The array that `--payload` names, None for the default."""
    return None if fields.payload in (None, ALL) else str(fields.payload).removesuffix(".*")


class _MappedColumn:
    """The array of an npy file, mapped."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.shape, is_fortran, self.dtype = _head(path, file)
            offset, size = file.tell(), os.fstat(file.fileno()).st_size
        if offset + prod(self.shape) * self.dtype.itemsize > size:
            raise damaged(path, f"is cut off: shape {self.shape} needs more than its {size} bytes")
        order: Any = "F" if is_fortran else "C"
        is_empty = not prod(self.shape)  # which cannot be mapped
        self._array: Any = (
            np.empty(self.shape, self.dtype)
            if is_empty
            else np.memmap(path, self.dtype, "r", offset=offset, shape=self.shape, order=order)
        )

    def read(self, start: int, stop: int) -> Any:
        return self._array[start:stop]

    def close(self) -> None:
        self._array = None


class _StreamedColumn:
    """An array in a zip, read forwards."""

    def __init__(self, path: Path, name: str, file: IO[bytes], size: int) -> None:
        self._path, self._name, self._file = path, name, file
        self.shape, is_fortran, self.dtype = _head(path, file)
        if file.tell() + prod(self.shape) * self.dtype.itemsize != size:
            raise damaged(path, f"array {name!r} of shape {self.shape} does not fit its {size} bytes")
        if is_fortran and len(self.shape) > 1:
            raise damaged(path, f"array {name!r} is stored by columns: save it again in C order")
        self._row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        self._next = 0
        self.size = size

    def read(self, start: int, stop: int) -> Any:
        data = self.read_bytes((start - self._next) * self._row_bytes, (stop - start) * self._row_bytes)
        self._next = stop
        values = np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])
        return _milliseconds(values) if self.dtype.kind == "M" else values

    def read_bytes(self, n_skipped: int, n_bytes: int) -> bytes:
        """`n_bytes` after passing over `n_skipped`."""
        with reading(self._path):
            while n_skipped:
                n_skipped -= len(self._exactly(min(n_skipped, _STEP_BYTES)))
            return self._exactly(n_bytes)

    def _exactly(self, n_bytes: int) -> bytes:
        data = self._file.read(n_bytes)
        if len(data) != n_bytes:
            raise damaged(self._path, f"array {self._name!r} is cut off")
        return data


class _TextColumn:
    """Text as one array of bytes and one of their ends."""

    dtype = np.dtype(np.int64)

    def __init__(self, path: Path, text: _StreamedColumn, ends: _StreamedColumn) -> None:
        self._path, self._text, self._ends = path, text, ends
        self.shape = ends.shape
        if ends.dtype != np.int64 or len(text.shape) != 1:
            raise damaged(path, "text is an array of bytes with int64 ends beside it")
        self._next_row = self._next_byte = 0

    def read(self, start: int, stop: int) -> list[bytes]:
        ends = self._ends.read(self._next_row, stop)
        begins = np.concatenate(([self._next_byte], ends[:-1]))
        lengths = ends - begins
        n_bytes = self._text.shape[0]
        is_in_order = bool((lengths >= 0).all()) and bool((ends <= n_bytes).all()) and bool((ends >= 0).all())
        if not is_in_order or bool((lengths > MAX_TEXT_BYTES).any()):
            raise damaged(self._path, f"the ends of its texts are wrong at row {self._next_row} or later")
        n_skipped = start - self._next_row
        first = int(begins[n_skipped])
        made = [b""] * (stop - start)
        at, n_read = self._next_byte, first - self._next_byte
        for i, (begin, end) in enumerate(zip(begins[n_skipped:].tolist(), ends[n_skipped:].tolist(), strict=True)):
            made[i] = self._text.read_bytes(n_read if i == 0 else 0, end - begin)
            at = end
        self._next_row, self._next_byte = stop, at
        return made


def _head(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether stored by columns, and type, of an npy's head."""
    version = npy_format.read_magic(file)
    read: Any = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
    if read is None:
        raise damaged(path, f"is of npy version {version}, which is not known")
    shape, is_fortran, dtype = read(file, max_header_size=_MAX_HEAD_CHARS)
    if dtype.hasobject:
        raise damaged(path, "holds Python objects, which are never loaded")
    if any(n < 0 for n in shape) or not 1 <= dtype.itemsize <= MAX_TEXT_BYTES or dtype.kind not in "biufSUM":
        raise damaged(path, f"holds {dtype} of shape {shape}, which is not taken")
    return shape, is_fortran, dtype


def _open_member(path: Path, archive: zipfile.ZipFile, name: str) -> Column:
    ends = f"{name}_ends"
    column = _stream(path, archive, name)
    if column.dtype == np.uint8 and f"{ends}.npy" in archive.namelist():
        return _TextColumn(path, column, _stream(path, archive, ends))
    return column


def _stream(path: Path, archive: zipfile.ZipFile, name: str) -> _StreamedColumn:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise damaged(path, f"array {name!r} is compressed in a way numpy does not use")
    if info.file_size > FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size:
        raise damaged(path, f"array {name!r} expands to more than {MAX_RATIO} times its size")
    return _StreamedColumn(path, name, archive.open(info), info.file_size)


def _check_directory(path: Path) -> None:
    """Refuse a zip whose list of members would take memory out of all proportion."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 66_000))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise damaged(path, "is not a zip, or is cut off")
    n_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    if n_bytes == 0xFFFFFFFF:
        larger = tail.rfind(b"PK\x06\x06")
        n_bytes = int.from_bytes(tail[larger + 40 : larger + 48], "little") if larger >= 0 else n_bytes
    if n_bytes > MAX_DIRECTORY_BYTES:
        raise damaged(path, "is a zip of more members than an npz has")


def _milliseconds(values: Any) -> Any:
    """datetime64 as int64 milliseconds since 1970, 0 for NaT."""
    return np.where(np.isnat(values), 0, values.astype("datetime64[ms]").astype(np.int64))
