"""The vectors file: vectors in full precision, by pid, mapped into memory; derived from a collection's environment.

A search ranks its candidates anew by the vectors of a few dozen pids: one read of a mapping instead of as many gets.
The file can be made again from the store at any time, and need not survive: what was written after the last `mark` is
written again after a crash, by whoever opens it.

Layout (integers little-endian): a page of 4,096 bytes, then vectors of float32 × dimension, that of pid p at
4,096 + 4 × dimension × p. A pid that has no vector has zeros, which take no disk where whole pages hold nothing else.

    0    8 bytes  magic, `vdbvects`
    8    u32      layout, 1
    12   u32      dimension
    16   u64      marked sequence: every vector written up to it is in the file; 0 none
    24   u64      length of the file in bytes when it was marked; it is at least as long
    32   u32      CRC-32 of bytes 0 to 31

Vectors carry no checksum: they are copies, and the store's are checked. A head that is damaged, of another dimension,
or of a longer file is CorruptData: remove the file and make it anew.

Nothing is ever stored through the mapping: on a full disk a store into a hole ends the process (SIGBUS), a write to the
file fails with an error. Reading a hole is safe except on a full tmpfs: none is punched there, and who reads only rows
of pids that were put meets none. On Linux and macOS a mapping shows at once what is written to its file (they have one
page cache); POSIX does not promise it. The file never shrinks, as reading a mapping beyond the end of its file is
SIGBUS too; nobody else may cut it while it is open.
"""

import mmap
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData, InternalError, StorageFailure
from vdb.storage.directory import storage_error, sync_folder
from vdb.storage.holes import punch_hole

MAGIC = b"vdbvects"
LAYOUT = 1
PAGE_BYTES = 4096
GROWTH_BYTES = 4 << 20
"""The file grows by at least this much, and by an eighth: a mapping is renewed each time. Holes take no disk."""

FREED_AT_ONCE = 1 << 8
"""Slots looked at together when pages are searched that hold nothing but freed ones: bounds what writers wait for."""

_BODY = struct.Struct("<8sIIQQ")
_CHECKSUM = struct.Struct("<I")


class VectorsFile:
    """An open vectors file. Threads take turns in `put` and `free`; one at a time does all else; any number read
    `rows`, without locks. `close` it.

    A row that is being written anew may be read half old, half new: who minds checks the point's version afterwards.
    It takes two descriptors, one of them for the mapping, and one more for each older mapping whose rows are held.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        """Open the file at `path`, or make it in a folder that exists; `dimension` is that of the collection.

        Raises CorruptData (not a file of ours, damaged, cut short, or of another dimension), DiskFull, StorageFailure.
        """
        self._path = path
        self._dimension = dimension
        self._slot_bytes = 4 * dimension
        self._has_failed = False
        self._writes = threading.Lock()
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise storage_error(exc, f"{path.name} cannot be opened") from exc
        try:
            self._n_file = os.fstat(self._handle).st_size
            self._marked = self._read_head() if self._n_file else self._make()
            self._map()
            # A bit per slot. What is there already counts as in use: nobody knows here.
            self._freed = np.zeros(self.n_slots // 8 + 1, np.uint8)
        except OSError as exc:
            os.close(self._handle)
            raise storage_error(exc, f"{path.name} cannot be opened") from exc
        except CorruptData:
            os.close(self._handle)
            raise

    def _make(self) -> int:
        self._write_head(0)
        self._n_file = PAGE_BYTES
        os.ftruncate(self._handle, self._n_file)
        os.fsync(self._handle)
        sync_folder(self._path.parent)
        return 0

    def _read_head(self) -> int:
        head = os.pread(self._handle, _BODY.size + _CHECKSUM.size, 0)
        name = self._path.name
        if len(head) < _BODY.size + _CHECKSUM.size or self._n_file < PAGE_BYTES:
            raise CorruptData(f"{name} is shorter than its head")
        body, (checksum,) = head[: _BODY.size], _CHECKSUM.unpack(head[_BODY.size :])
        magic, layout, dimension, sequence, n_bytes = _BODY.unpack(body)
        if magic != MAGIC or crc32(body) != checksum:
            raise CorruptData(f"{name} is no file of vectors, or its head is damaged")
        if (layout, dimension) != (LAYOUT, self._dimension):
            raise CorruptData(f"{name} has layout {layout} and dimension {dimension}")
        if n_bytes > self._n_file:
            raise CorruptData(f"{name} is cut short: it had {n_bytes} bytes")
        return int(sequence)

    def _write_head(self, sequence: int) -> None:
        """One write within a disk's sector: a power failure leaves the head before or this one."""
        body = _BODY.pack(MAGIC, LAYOUT, self._dimension, sequence, max(PAGE_BYTES, self._n_file))
        _write_at(self._handle, 0, body + _CHECKSUM.pack(crc32(body)))

    def _map(self) -> None:
        """Map the file as long as it is. Whoever holds older rows keeps the mapping they are of."""
        n_slots = (self._n_file - PAGE_BYTES) // self._slot_bytes
        self._mapping = mmap.mmap(self._handle, self._n_file, mmap.MAP_SHARED, mmap.PROT_READ)
        rows = np.frombuffer(self._mapping, "<f4", n_slots * self._dimension, PAGE_BYTES)
        self._rows: NDArray[np.float32] = rows.reshape(n_slots, self._dimension)

    @property
    def rows(self) -> NDArray[np.float32]:
        """(n_slots, d), read-only, by pid; zeros for those that have no vector. Ask anew for pids that came since.

        It stays valid for as long as it is held, after growth and after `close`, and shows what is written meanwhile.
        """
        return self._rows

    def prefault(self) -> None:
        """Have the system read the file into RAM; nothing waits for it, and it may be dropped again."""
        with suppress(OSError):  # then it is read when it is needed
            self._mapping.madvise(mmap.MADV_WILLNEED)

    @property
    def n_slots(self) -> int:
        """Pids below this have a row."""
        return len(self._rows)

    @property
    def marked_sequence(self) -> int:
        """The sequence up to which the file was known to be complete and synced when it was marked last; 0 none."""
        return self._marked

    def put(self, pids: NDArray[np.uint32], vectors: NDArray[np.float32]) -> None:
        """Write `vectors` (n, d) float32 as those of `pids` (n,) uint32, in any order; of two for one pid, the last.

        Readers see them at once; a power failure before `flush` may take them. Raises DiskFull, StorageFailure:
        some of them may be written then.
        """
        if vectors.shape != (len(pids), self._dimension):
            raise InternalError(f"{len(pids)} vectors of dimension {self._dimension} have shape {vectors.shape}")
        if not len(pids):
            return
        if not (pids[1:] > pids[:-1]).all():
            order = np.argsort(pids, kind="stable")
            order = order[np.append(pids[order][1:] != pids[order][:-1], True)]
            pids, vectors = pids[order], vectors[order]
        slots = pids.astype(np.int64)
        data = np.ascontiguousarray(vectors, "<f4")
        starts = np.flatnonzero(np.append(True, np.diff(slots) != 1)).tolist()
        with self._writes:
            try:
                self._reach(int(slots[-1]) + 1)
                for start, end in zip(starts, [*starts[1:], len(slots)], strict=True):
                    run = data[start:end].reshape(-1).view(np.uint8).data
                    _write_at(self._handle, PAGE_BYTES + int(slots[start]) * self._slot_bytes, run)
            except OSError as exc:
                raise storage_error(exc, f"{self._path.name} cannot be written") from exc
            np.bitwise_and.at(self._freed, slots >> 3, ~_bits(slots))

    def _reach(self, n_slots: int) -> None:
        """Make the file long enough for so many slots; what is added is a hole."""
        if n_slots <= self.n_slots:
            return
        needed = PAGE_BYTES + n_slots * self._slot_bytes
        wanted = max(needed, self._n_file + max(GROWTH_BYTES, self._n_file // 8))
        n_file = -(-wanted // PAGE_BYTES) * PAGE_BYTES
        os.ftruncate(self._handle, n_file)
        self._n_file = n_file
        self._map()
        n_new = self.n_slots // 8 + 1 - len(self._freed)
        self._freed = np.append(self._freed, np.full(n_new, 0xFF, np.uint8))  # nothing is in a hole

    def free(self, pids: NDArray[np.uint32]) -> None:
        """Give up the vectors of `pids` (n,) uint32: pages that hold nothing but freed slots take no disk any more.

        Freed slots read as their old vectors or as zeros. What was freed before the file was opened is known no more:
        free it again to have pages with such neighbours given back. Raises StorageFailure.
        """
        slots = np.sort(pids).astype(np.int64)
        with self._writes:
            slots = slots[slots < self.n_slots]
            np.bitwise_or.at(self._freed, slots >> 3, _bits(slots))
        for first in range(0, len(slots), FREED_AT_ONCE):
            with self._writes:  # anew each time: whoever puts waits for a few pages only
                if not self._punch(slots[first : first + FREED_AT_ONCE]):
                    return

    def _punch(self, slots: NDArray[np.int64]) -> bool:
        """Whether pages can be given back at all."""
        try:
            return all(
                punch_hole(self._handle, start * PAGE_BYTES, (end - start) * PAGE_BYTES)
                for start, end in self._freed_pages(slots)
            )
        except OSError as exc:
            raise storage_error(exc, f"{self._path.name} cannot be written") from exc

    def _freed_pages(self, slots: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Runs (first, end) of the file's pages that overlap `slots`, ascending, and hold nothing but freed slots."""
        firsts = slots * self._slot_bytes // PAGE_BYTES
        lasts = ((slots + 1) * self._slot_bytes - 1) // PAGE_BYTES
        n_pages = int((lasts - firsts).max()) + 1
        pages = np.unique(np.minimum(firsts[:, None] + np.arange(n_pages), lasts[:, None]))
        held = pages[:, None] * PAGE_BYTES // self._slot_bytes + np.arange(PAGE_BYTES // self._slot_bytes + 2)
        ends = np.minimum(-((pages + 1) * PAGE_BYTES // -self._slot_bytes), self.n_slots)
        held = np.minimum(held, ends[:, None] - 1)
        pages = pages[(self._freed[held >> 3] & _bits(held)).all(axis=1)]
        runs = np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1)
        return [(int(run[0]) + 1, int(run[-1]) + 2) for run in runs if len(run)]  # behind the page of the head

    def flush(self) -> None:
        """Make what was written durable.

        Raises DiskFull, StorageFailure, and again at every later call: what the system failed to write it may forget,
        and then call the rest synced. The file is to be made anew.
        """
        if self._has_failed:
            raise StorageFailure(f"{self._path.name} could not be synced before: it has to be made anew")
        try:
            os.fsync(self._handle)
        except OSError as exc:
            self._has_failed = True
            raise storage_error(exc, f"{self._path.name} cannot be synced") from exc

    def mark(self, sequence: int) -> None:
        """Note, durably, that every vector of the writes up to `sequence` is in the file, which is flushed first.

        Raises DiskFull, StorageFailure: the mark before stays, or is this one.
        """
        self.flush()
        try:
            self._write_head(sequence)
        except OSError as exc:
            raise storage_error(exc, f"{self._path.name} cannot be written") from exc
        self.flush()
        self._marked = sequence

    def close(self) -> None:
        """Close the file without flushing; rows that somebody holds stay readable."""
        os.close(self._handle)


def _bits(slots: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each slot's bit in its byte."""
    bits: NDArray[np.uint8] = np.left_shift(1, slots & 7).astype(np.uint8)
    return bits


def _write_at(handle: int, position: int, data: bytes | memoryview) -> None:
    """Write all of `data`; raises OSError."""
    rest = memoryview(data)
    while rest:
        n = os.pwrite(handle, rest, position)
        position += n
        rest = rest[n:]
