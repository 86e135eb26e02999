"""Posting lists on disk: generations of pages in an environment of their own, derived from a collection's.

A generation is written once, a few thousand pages per commit, and never changed; it is there from the commit of its
head on, and goes in steps when nobody holds it any more. What a crash leaves without a head is swept. Numbers of
generations ascend from a random one on: whoever knows one by its number never takes another environment's for it.

Pages are not read by LMDB: `get` finds and loads one page after the other, 80 times as slow as a disk can. LMDB never
moves a value that has pages of its own, so the numbers of these pages, noted when they were written, stay right for as
long as the generation is there: readers find them in a mapping of the file. Nothing is taken on trust: every page says
which it is, and carries a checksum (`vdb/storage/list_pages.py`).

Keys (integers big-endian) → values:

    01 "format"                      u32 little-endian, 1
    01 "last"                        u64 little-endian: the last generation that was begun
    90 generation u64                head: a checked document (`Head`)
    91 generation u64, part u32      checksum, then up to 1,000 u32 little-endian: pages of the file, in order
    92 generation u64, page u32      the page
"""

import mmap
import os
import secrets
import struct
import weakref
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData, StorageFailure
from vdb.storage.codec import decode_document, decode_u64, encode_document, encode_u32, encode_u64
from vdb.storage.directory import make_folder, storage_error
from vdb.storage.env import PAGE_BYTES, Environment, MapFull, Transaction
from vdb.storage.list_pages import VALUE_BYTES, Shape, check, packed, rows_of
from vdb.storage.probe import is_readable

FORMAT = 1
STEP_PAGES = 2_048
"""Written per commit: 8 MiB, whatever the size of the generation."""
REMOVED_PAGES = 512
"""Removed per commit: meanwhile nobody else has the interpreter for long."""
PLACES_PER_PART = 1_000
VALUE_AT = PAGE_BYTES - VALUE_BYTES
"""Where a value begins in its page of the file."""
MAP_BYTES = 1 << 30
MAX_MAP_BYTES = 1 << 40
"""Address space, no more: a file is as long as what was written to it."""

_META_FORMAT, _META_LAST = b"\x01format", b"\x01last"
_FIRST_BITS = 48
_HEAD, _PLACES, _PAGE = _SPACES = 0x90, 0x91, 0x92
_OF_GENERATION = struct.Struct(">BQ")
_OF_PART = struct.Struct(">BQI")
_CHECKSUM = struct.Struct("<I")

UInt8s = NDArray[np.uint8]
UInt32s = NDArray[np.uint32]
Entry = tuple[bytes, bytes | memoryview]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a generation holds, and that it is whole."""

    row_bytes: int
    n_columns: int
    n_rows: int


class Pages:
    """One generation, open to readers in any number; the pages of its file stay mapped for as long as it is held.

    `memory` uint8 (f, 4096) is the mapped file, `places` uint32 (n,) say which of its pages each page is: the value of
    page p is memory[places[p], 16:]. It is to be checked by whoever reads it.
    """

    def __init__(self, handle: int, generation: int, shape: Shape, n_rows: int, places: UInt32s) -> None:
        """Raises CorruptData where the file is shorter than its pages."""
        self.generation = generation
        self.shape = shape
        self.n_rows = n_rows
        self.places = places
        n_file = os.fstat(handle).st_size // PAGE_BYTES
        if len(places) != shape.n_pages(n_rows) or (len(places) and int(places.max()) >= n_file):
            raise CorruptData(f"generation {generation} has pages that are not in its file")
        self._handle = handle
        mapping = mmap.mmap(handle, n_file * PAGE_BYTES, mmap.MAP_SHARED, mmap.PROT_READ)
        mapping.madvise(mmap.MADV_RANDOM)  # else a fault reads megabytes that nobody asked for
        self.memory = np.frombuffer(mapping, np.uint8).reshape(n_file, PAGE_BYTES)

    @property
    def n_pages(self) -> int:
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """Bytes in RAM."""
        return self.places.nbytes

    def hint(self, pages: UInt32s) -> None:
        """Have the system read these pages, all at once; nothing waits for it."""
        if not hasattr(os, "posix_fadvise"):
            return
        for place in self.places[pages].tolist():
            os.posix_fadvise(self._handle, place * PAGE_BYTES, PAGE_BYTES, os.POSIX_FADV_WILLNEED)

    def read(self, pages: UInt32s) -> UInt8s:
        """Values of pages, uint8 (n, 4080), copied and checked; raises CorruptData."""
        values = self.memory[self.places[pages], VALUE_AT:]
        check(values, self.shape, self.generation, pages, self.n_rows)
        return values

    def rows(self, first: int, stop: int) -> tuple[UInt8s, list[UInt32s]]:
        """Codes and columns of rows [first, stop), copied and checked; raises CorruptData."""
        r = self.shape.n_rows
        pages = np.arange(first // r, self.shape.n_pages(stop), dtype=np.uint32)
        codes, columns = rows_of(self.read(pages), self.shape)
        here = slice(first - first // r * r, stop - first // r * r)
        return codes[here], [column[here] for column in columns]


class Lists:
    """The environment. One thread at a time but for readers of `Pages`; whoever opened it closes it."""

    def __init__(self, path: Path, max_map_bytes: int = MAX_MAP_BYTES) -> None:
        """Open the environment at `path`, or make it; raises CorruptData (remove it, and make its pages anew),
        DiskFull, StorageFailure."""
        self.path = path
        make_folder(path.absolute())
        is_new = not (path / "data.mdb").exists()
        self._env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=max_map_bytes, create=True)
        self._open: dict[int, weakref.ref[Pages]] = {}
        try:
            self._handle = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            self._env.close()
            raise storage_error(exc, f"{path.name} cannot be opened") from exc
        try:
            if not is_readable(self._env):
                raise CorruptData(f"{path.name} is cut short")
            self._know_format(is_new)
        except BaseException:
            self.close()
            raise

    def _know_format(self, is_new: bool) -> None:
        with self._env.read() as txn:
            value = txn.get(_META_FORMAT)
        if value is None and is_new:
            first = encode_u64(secrets.randbits(_FIRST_BITS))
            self._commit([(_META_FORMAT, encode_u32(FORMAT)), (_META_LAST, first)])
        elif value != encode_u32(FORMAT):
            raise CorruptData(f"{self.path.name} has no format, or one that this release does not read")

    def close(self) -> None:
        """Close the environment; pages that somebody holds stay readable."""
        os.close(self._handle)
        self._env.close()

    @property
    def file_bytes(self) -> int:
        """Length of the file in use."""
        return self._env.used_bytes

    def generations(self) -> list[int]:
        """Those that are whole, ascending."""
        with self._env.read() as txn:
            return _numbers(txn, _HEAD)

    def writer(self, shape: Shape) -> "Writer":
        """Writes a new generation, behind all others."""
        with self._env.read() as txn:
            generation = decode_u64(txn.get(_META_LAST)) + 1
        self._commit([(_META_LAST, encode_u64(generation))])
        return Writer(self, generation, shape)

    def open(self, generation: int) -> Pages:
        """The pages of a generation; raises CorruptData where it is not there, whole and sound."""
        held = self._held(generation)
        if held is not None:
            return held
        with self._env.read() as txn:
            value = txn.get(_OF_GENERATION.pack(_HEAD, generation))
            if value is None:
                raise CorruptData(f"there is no generation {generation} of lists")
            head = decode_document(value, Head)
            shape = Shape(head.row_bytes, head.n_columns)
            n_parts = -(-shape.n_pages(head.n_rows) // PLACES_PER_PART)
            parts = [txn.get(_OF_PART.pack(_PLACES, generation, part)) for part in range(n_parts)]
        places = np.concatenate([np.zeros(0, np.uint32), *(_decoded_places(part, generation) for part in parts)])
        pages = Pages(self._handle, generation, shape, head.n_rows, places)
        self._open[generation] = weakref.ref(pages)
        return pages

    def drop(self, generation: int) -> bool:
        """Remove a generation, in steps, unless somebody holds its pages; whether it is gone."""
        if self._held(generation) is not None:
            return False
        self._open.pop(generation, None)
        self._commit([], [_OF_GENERATION.pack(_HEAD, generation)])  # from here on it is a remainder
        for space in (_PLACES, _PAGE):
            while self._remove_some(space, generation):
                pass
        return True

    def sweep(self, kept: int | None = None) -> bool:
        """Remove all generations but `kept`, whole or not, that nobody holds; whether no other is left."""
        with self._env.read() as txn:
            found = {generation for space in _SPACES for generation in _numbers(txn, space)}
        left = [generation for generation in sorted(found - {kept}) if not self.drop(generation)]
        return not left

    def _held(self, generation: int) -> Pages | None:
        reference = self._open.get(generation)
        return None if reference is None else reference()

    def _remove_some(self, space: int, generation: int) -> bool:
        """Whether there was something to remove."""
        with self._env.read() as txn:
            keys = _keys(txn, _OF_GENERATION.pack(space, generation), REMOVED_PAGES)
        if keys:
            self._commit([], keys)
        return bool(keys)

    def _commit(self, entries: Sequence[Entry], gone: Sequence[bytes] = (), is_append: bool = False) -> None:
        """One durable commit; raises DiskFull, StorageFailure."""
        while True:
            try:
                with self._env.write() as txn:
                    for key in gone:
                        txn.delete(key)
                    for key, value in entries:
                        txn.put(key, value, append=is_append)
                return
            except MapFull as exc:
                if not self._env.grow():
                    raise StorageFailure(f"{self.path.name} is larger than its map may be") from exc
            except StorageFailure:
                self._env.reopen()  # else LMDB may refuse all commits to come
                raise

    def write_pages(self, generation: int, first_page: int, values: UInt8s) -> UInt32s:
        """Commit pages (n, 4080) behind all that are there; returns the pages of the file that they got."""
        keys = [_OF_PART.pack(_PAGE, generation, first_page + i) for i in range(len(values))]
        self._commit([(key, values[i].data) for i, key in enumerate(keys)], is_append=True)
        return np.array(self._env.pages_of(keys), np.uint32)

    def write_head(self, generation: int, head: Head, places: UInt32s) -> None:
        """Commit what makes a generation whole."""
        entries: list[Entry] = []
        for part in range(-(-len(places) // PLACES_PER_PART)):
            body = places[part * PLACES_PER_PART : (part + 1) * PLACES_PER_PART].astype("<u4").tobytes()
            entries.append((_OF_PART.pack(_PLACES, generation, part), _CHECKSUM.pack(crc32(body)) + body))
        entries.append((_OF_GENERATION.pack(_HEAD, generation), encode_document(head)))
        self._commit(entries)


class Writer:
    """Writes one generation, rows in their order; until `finish` nothing of it is there. One thread."""

    def __init__(self, lists: Lists, generation: int, shape: Shape) -> None:
        self.generation = generation
        self.shape = shape
        self._lists = lists
        self._places: list[UInt32s] = []
        self._n_pages = 0
        self._n_rows = 0
        self._codes: list[UInt8s] = []
        self._columns: list[list[UInt32s]] = []
        self._n_waiting = 0

    def add(self, codes: UInt8s, columns: Sequence[UInt32s]) -> None:
        """Rows behind those before: codes uint8 (n, W), columns uint32 (n,). They must not change until they are
        written, some 8 MiB at a time. Raises DiskFull, StorageFailure."""
        self._codes.append(codes)
        self._columns.append(list(columns))
        self._n_waiting += len(codes)
        n_step = STEP_PAGES * self.shape.n_rows
        while self._n_waiting >= n_step:
            self._write(n_step)

    def finish(self) -> int:
        """Write what is left and the head; returns the number of the generation. Raises DiskFull, StorageFailure."""
        if self._n_waiting:
            self._write(self._n_waiting)
        places = np.concatenate(self._places) if self._places else np.zeros(0, np.uint32)
        self._lists.write_head(self.generation, Head(self.shape.row_bytes, self.shape.n_columns, self._n_rows), places)
        return self.generation

    def _write(self, n: int) -> None:
        codes = np.concatenate(self._codes)
        columns = [np.concatenate(parts) for parts in zip(*self._columns, strict=True)]
        values = packed(self.shape, self.generation, self._n_pages, codes[:n], [column[:n] for column in columns])
        self._places.append(self._lists.write_pages(self.generation, self._n_pages, values))
        self._n_pages += len(values)
        self._n_rows += n
        self._n_waiting -= n
        self._codes, self._columns = [codes[n:]], [[column[n:] for column in columns]]


def _keys(txn: Transaction, prefix: bytes, n_most: int) -> list[bytes]:
    """The first keys with a prefix."""
    found: list[bytes] = []
    with txn.cursor() as cursor:
        if cursor.set_range(prefix):
            for key in cursor.iternext(keys=True, values=False):
                if len(found) == n_most or not key.startswith(prefix):
                    break
                found.append(key)
    return found


def _numbers(txn: Transaction, space: int) -> list[int]:
    """The generations that have keys in a space, ascending."""
    found: list[int] = []
    with txn.cursor() as cursor:
        while cursor.set_range(_OF_GENERATION.pack(space, found[-1] + 1 if found else 0)):
            key = cursor.key()
            if key[0] != space:
                break
            found.append(int(_OF_GENERATION.unpack_from(key)[1]))
    return found


def _decoded_places(value: bytes | None, generation: int) -> UInt32s:
    if value is None or len(value) < 4 or _CHECKSUM.unpack_from(value)[0] != crc32(memoryview(value)[4:]):
        raise CorruptData(f"the places of generation {generation} are damaged")
    return np.frombuffer(value, "<u4", offset=4)
