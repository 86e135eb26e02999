"""Variable-length text of an HDF5, read here and not by the library, which a damaged heap sends into endless loops.

A dataset holds 16 bytes of each text: length (u32), address of a heap (u64), index within it (u32), little-endian. A
heap is `GCOL`, version 1, 3 bytes, its size (u64), then objects: index (u16, 0 ends them), count (u16), 4 bytes, size
(u64), data padded to 8 bytes. Source: HDF5 File Format Specification 3.0, III.E (global heap), IV.B (variable length).
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.transfer.rows import damaged

MAX_TEXT_BYTES = 256 << 10
"""Of one text; an id has 256 bytes, a payload 64 KiB."""
MAX_HEAP_BYTES = 16 << 20
_N_HEAPS = 64
_ENTRY = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
_HEAP = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HHIQ")


class TextColumn:
    """A dataset of text as a column. Used by one thread; `close` it."""

    def __init__(self, h5py: Any, file: Any, path: Path, dataset: Any) -> None:
        self._path, self._dataset = path, dataset
        self.shape: tuple[int, ...] = dataset.shape or ()
        self.dtype = np.dtype(np.uint64)  # for the sizes of chunks: text is counted as short
        made = dataset.id.get_create_plist()
        is_plain = made.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) and not made.get_nfilters()
        is_known = file.id.get_create_plist().get_sizes() == (8, 8) and not file.userblock_size
        if not is_plain or not is_known or len(self.shape) != 1:
            raise self._error("is text, which is taken as one column without compression")
        self._raw: IO[bytes] = path.open("rb")
        self._size = path.stat().st_size
        self._heap = lru_cache(_N_HEAPS)(self._read_heap)

    def read(self, start: int, stop: int) -> list[bytes]:
        """The texts of rows, without a NUL at their end."""
        texts = [b""] * (stop - start)
        for place, first, last in self._runs(start, stop):
            for row, entry in enumerate(self._entries(place, last - first).tolist(), first - start):
                texts[row] = self._text(*entry)
        return texts

    def close(self) -> None:
        self._raw.close()

    def _entries(self, place: int, n: int) -> NDArray[Any]:
        self._raw.seek(place)
        data = self._raw.read(n * _ENTRY.itemsize)
        if len(data) != n * _ENTRY.itemsize:
            raise self._error("lies beyond the end of the file")
        return np.frombuffer(data, _ENTRY)

    def _text(self, length: int, heap: int, index: int) -> bytes:
        if not length:
            return b""
        if length > MAX_TEXT_BYTES:
            raise self._error(f"has a text of {length} bytes")
        objects, data = self._heap(heap)
        begin, size = objects.get(index, (0, -1))
        if length > size:
            raise self._error("has a text that its heap does not hold")
        return data[begin : begin + length].rstrip(b"\0")

    def _read_heap(self, address: int) -> tuple[dict[int, tuple[int, int]], bytes]:
        """The places and sizes of a heap's objects by index, and its bytes."""
        if address > self._size - _HEAP.size:
            raise self._error("has a text beyond the end of the file")
        self._raw.seek(address)
        magic, version, size = _HEAP.unpack(self._raw.read(_HEAP.size))
        if magic != b"GCOL" or version != 1 or not _HEAP.size <= size <= MAX_HEAP_BYTES:
            raise self._error("has a heap that is none")
        data = bytes(_HEAP.size) + self._raw.read(size - _HEAP.size)
        objects: dict[int, tuple[int, int]] = {}
        place = _HEAP.size
        while place + _OBJECT.size <= len(data):
            index, _, _, n_bytes = _OBJECT.unpack_from(data, place)
            if not index:
                break
            place += _OBJECT.size
            if n_bytes > len(data) - place:
                raise self._error("has a heap that is cut off")
            objects[index] = (place, n_bytes)
            place += n_bytes + -n_bytes % 8
        return objects, data

    def _runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Where in the file the entries of rows lie: place, first row, end, for each run of them."""
        stored = self._dataset.id
        if self._dataset.chunks is None:
            place = stored.get_offset()
            if place is not None:
                yield place + start * _ENTRY.itemsize, start, stop
            return
        (step,) = self._dataset.chunks
        for begin in range(start - start % step, stop, step):
            chunk = stored.get_chunk_info_by_coord((begin,))
            if chunk.byte_offset is not None:
                first, last = max(start, begin), min(stop, begin + step)
                yield chunk.byte_offset + (first - begin) * _ENTRY.itemsize, first, last

    def _error(self, what: str) -> InvalidArgument:
        return damaged(self._path, f"dataset {self._dataset.name!r} {what}")
