"""Array files: named NumPy arrays and a JSON head in one file, which is there whole or not at all.

A file is written under the name `*.draft`, synced, then renamed to its place. Nothing in it is believed before its
checksum and the file's length agree, so damage is CorruptData and never a crash, a wrong array or a huge allocation.
`load_arrays` reads them into memory. `map_arrays` checks them all the same, then maps the large ones privately: what
is only read takes no memory that the system cannot have back. Files are replaced whole and never cut, so a mapping
outlives them; a page that the disk cannot read again ends the process, as one of the store does.

Layout (integers little-endian, checksums CRC-32):

    0    8 bytes  magic, `vdbarray`
    8    u32      layout, 1
    12   u32      length of the head in bytes, n
    16   u64      length of the file in bytes
    24   u32      checksum of the head
    28   u32      checksum of bytes 0 to 27
    32   n bytes  head: {"head": {…}, "arrays": [{"name", "dtype", "shape", "at", "checksum"}, …]}, JSON
    …             arrays in that order, C order, each at the next multiple of 4,096: `at`; zeros between
"""

import math
import os
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from vdb.errors import CorruptData, InternalError
from vdb.storage.directory import storage_error, sync_folder
from vdb.storage.private_map import map_privately

MAGIC = b"vdbarray"
LAYOUT = 1
PAGE_BYTES = 4096
MAX_HEAD_BYTES = 16 << 20
MAX_DIMENSIONS = 8
MAX_ITEMS = 1 << 48
"""Of a shape, zeros apart: what NumPy can index whatever the dtype."""

DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"})
DRAFT = ".draft"
CHUNK_BYTES = 1 << 20
"""Read and summed at a time, so that the checksum finds the bytes in the processor's cache."""

LEAST_MAPPED_BYTES = 1 << 16
"""Smaller arrays are read: a mapping takes whole pages, and a process may have some ten thousand of them."""

_FIXED = struct.Struct("<8sIIQII")
_CHECKSUM = struct.Struct("<I")

AnyArray = NDArray[Any]


class _Place(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    dtype: str
    shape: list[int]
    at: int
    checksum: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def end(self) -> int:
        return self.at + self.n_bytes

    @property
    def is_plain(self) -> bool:
        """Whether it is an array of a size that there can be."""
        sizes = (len(self.shape) <= MAX_DIMENSIONS, all(n >= 0 for n in self.shape))
        return self.dtype in DTYPES and all(sizes) and math.prod(n for n in self.shape if n) <= MAX_ITEMS


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    head: dict[str, Any]
    arrays: list[_Place]


def save_arrays(path: Path, head: dict[str, Any], arrays: Mapping[str, AnyArray]) -> None:
    """Write a file anew, durable on return; what was there before is there until then. One writer per path at a time.

    `head` is JSON. Arrays have one of `DTYPES` in any byte order and layout, and must not change meanwhile. The folder
    exists. Raises DiskFull, StorageFailure; then the old file is as it was.
    """
    flat = {name: _plain(name, array) for name, array in arrays.items()}
    fixed, places, n_bytes = _heads(head, flat)
    draft = path.with_name(path.name + DRAFT)
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb", buffering=0) as file:
            os.ftruncate(handle, n_bytes)  # an empty array at the end writes nothing there
            _write_at(file, 0, fixed)
            for place in places:
                _write_at(file, place.at, _bytes_of(flat[place.name]))
            os.fsync(handle)
        draft.rename(path)
        sync_folder(path.parent)
    except OSError as exc:
        with suppress(OSError):  # the next write or the sweep removes it
            draft.unlink(missing_ok=True)
        raise storage_error(exc, f"{path.name} cannot be written") from exc


def _plain(name: str, array: AnyArray) -> AnyArray:
    plain = np.asarray(array, order="C")
    if plain.dtype.byteorder != "|":
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    if plain.dtype.str not in DTYPES or plain.ndim > MAX_DIMENSIONS:
        raise InternalError(f"array {name} of type {array.dtype} cannot be stored")
    return plain


def _heads(head: dict[str, Any], arrays: Mapping[str, AnyArray]) -> tuple[bytes, list[_Place], int]:
    """(the file up to its first array, the places of all, its length).

    Places follow from the length of the head, which names them: a head that has grown past the first is made again.
    """
    sums = {name: crc32(_bytes_of(array)) for name, array in arrays.items()}
    first = PAGE_BYTES
    while True:
        places, end = [], first
        for name, array in arrays.items():
            places.append(_Place(name, array.dtype.str, list(array.shape), _page_from(end), sums[name]))
            end = places[-1].end
        text = msgspec.json.encode(_Head(head, places))
        if len(text) > MAX_HEAD_BYTES:
            raise InternalError(f"a head of {len(text)} bytes cannot be stored")
        if _FIXED.size + len(text) <= first:
            break
        first = _page_from(_FIXED.size + len(text))
    n_bytes = places[-1].end if places else _FIXED.size + len(text)
    fixed = _FIXED.pack(MAGIC, LAYOUT, len(text), n_bytes, crc32(text), 0)[:-4]
    return fixed + _CHECKSUM.pack(crc32(fixed)) + text, places, n_bytes


def _page_from(position: int) -> int:
    """The first multiple of a page that is not before `position`."""
    return -(-position // PAGE_BYTES) * PAGE_BYTES


def _bytes_of(array: AnyArray) -> memoryview:
    """The bytes of an array in C order, shared with it."""
    return array.reshape(-1).view(np.uint8).data


def _write_at(file: Any, position: int, data: bytes | memoryview) -> None:
    file.seek(position)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def load_arrays(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """(head, name → array in C order, in memory of its own); of the arrays only `names`, where given.

    Raises FileNotFoundError where there is no file, CorruptData for anything but a file that `save_arrays` wrote and
    that has these names, StorageFailure where it cannot be read.
    """
    with _opened(path) as file:
        held = _read_head(file, path.name)
        places = {place.name: place for place in held.arrays}
        wanted = places if names is None else names
        if missing := sorted(set(wanted) - set(places)):
            raise CorruptData(f"{path.name} has no array {missing[0]}")
        return held.head, {name: _read_array(file, places[name], path.name) for name in wanted}


Capacity = Callable[[str, int], int]
"""How many rows there is to be room for, of an array of that name and so many rows: as many at least."""


def map_arrays(
    path: Path, capacity: Capacity = lambda _, n: n, is_checked: bool = True
) -> tuple[dict[str, Any], dict[str, AnyArray], dict[str, AnyArray]]:
    """(head, name → array in C order, name → the same with room for `capacity` rows; those beyond are unset).

    Large arrays are private mappings: see `vdb.storage.private_map`. Writing to them changes nothing but this memory.
    `is_checked` False leaves out the checksums of arrays: of a file that this process has just written. Raises as
    `load_arrays` does.
    """
    with _opened(path) as file:
        held = _read_head(file, path.name)
        roomy, arrays = {}, {}
        for place in held.arrays:
            n_rows = place.shape[0] if place.shape else 1
            roomy[place.name] = _map_array(
                file, place, max(n_rows, capacity(place.name, n_rows)), path.name, is_checked
            )
            arrays[place.name] = roomy[place.name][:n_rows] if place.shape else roomy[place.name]
        return held.head, arrays, roomy


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise storage_error(exc, f"{path.name} cannot be read") from exc


def _read_head(file: BinaryIO, name: str) -> _Head:
    """The head, every number in it checked; raises CorruptData."""
    n_file = os.fstat(file.fileno()).st_size
    fixed = file.read(_FIXED.size)
    if len(fixed) < _FIXED.size:
        raise CorruptData(f"{name} is shorter than its head")
    magic, layout, n_head, n_bytes, head_sum, fixed_sum = _FIXED.unpack(fixed)
    if magic != MAGIC or crc32(fixed[:-4]) != fixed_sum:
        raise CorruptData(f"{name} is no file of arrays")
    if layout != LAYOUT:
        raise CorruptData(f"{name} has layout {layout}, which this release does not read")
    if n_bytes != n_file or n_head > min(MAX_HEAD_BYTES, n_file - _FIXED.size):
        raise CorruptData(f"{name} has {n_file} bytes, not {n_bytes}: it is cut short, or is not one file")
    text = file.read(n_head)
    if crc32(text) != head_sum:
        raise CorruptData(f"{name} has a damaged head")
    try:
        held = msgspec.json.decode(text, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise CorruptData(f"{name} has a head that is none") from exc
    _check_places(held.arrays, _FIXED.size + n_head, n_file, name)
    return held


def _check_places(places: list[_Place], first: int, n_file: int, name: str) -> None:
    """Raise CorruptData unless the arrays are plain, one behind the other, and fill the file."""
    if not all(place.is_plain for place in places):
        raise CorruptData(f"{name} has an array of a shape or type that there is not")
    ends = [first, *(place.end for place in places)]
    follow = all(_page_from(end) == place.at for end, place in zip(ends, places, strict=False))
    if not follow or ends[-1] != n_file or len({place.name for place in places}) != len(places):
        raise CorruptData(f"{name} has arrays that are not one behind the other")


def _map_array(file: BinaryIO, place: _Place, n_room: int, name: str, is_checked: bool) -> AnyArray:
    """The array of a place with room for `n_room` rows, in memory of its own where it cannot be mapped."""
    dtype = np.dtype(place.dtype)
    shape = [n_room, *place.shape[1:]] if place.shape else []
    n_more = math.prod(shape) * dtype.itemsize - place.n_bytes
    if place.n_bytes >= LEAST_MAPPED_BYTES:
        with suppress(OSError):
            memory, begin = map_privately(file.fileno(), place.at, place.n_bytes, n_more)
            if is_checked:
                _sum(file, place, name)
            return np.frombuffer(memory, dtype, math.prod(shape), begin).reshape(shape)
    return _read_array(file, place, name, shape)


def _sum(file: BinaryIO, place: _Place, name: str) -> None:
    """Read the bytes of a place; raises CorruptData where they are not those that were written."""
    buffer = memoryview(bytearray(min(CHUNK_BYTES, place.n_bytes)))
    checksum, n_left = 0, place.n_bytes
    file.seek(place.at)
    while n_left:
        n = _read_into(file, buffer[:n_left], name)
        checksum = crc32(buffer[:n], checksum)
        n_left -= n
    _require_sum(place, checksum, name)


def _read_array(file: BinaryIO, place: _Place, name: str, shape: list[int] | None = None) -> AnyArray:
    """Its bytes are in the file: their number was checked against the file's length before memory is taken for them."""
    array: AnyArray = np.empty(place.shape if shape is None else shape, np.dtype(place.dtype))
    view = _bytes_of(array)[: place.n_bytes]
    checksum, n_read = 0, 0
    file.seek(place.at)
    while n_read < len(view):
        chunk = view[n_read : n_read + CHUNK_BYTES]
        n = _read_into(file, chunk, name)
        checksum = crc32(chunk[:n], checksum)
        n_read += n
    _require_sum(place, checksum, name)
    return array


def _read_into(file: BinaryIO, chunk: memoryview, name: str) -> int:
    n: int = file.readinto(chunk)  # type: ignore[attr-defined]
    if not n:
        raise CorruptData(f"{name} became shorter while it was read")
    return n


def _require_sum(place: _Place, checksum: int, name: str) -> None:
    if checksum != place.checksum:
        raise CorruptData(f"{name} has a damaged array {place.name}")


def sweep_drafts(folder: Path) -> int:
    """Remove the files that a crash left half written in `folder`, if it is there; how many there were."""
    drafts = [path for path in folder.glob(f"*{DRAFT}") if path.is_file()]
    for path in drafts:
        path.unlink()
    return len(drafts)
