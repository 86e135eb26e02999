"""Pages of files in RAM: giving them up, counting them, reading them as a disk is read best; memory of a process."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Sequence
from mmap import MAP_SHARED, PROT_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 4096

Int64s = NDArray[np.int64]


def forget(files: Sequence[Path]) -> None:
    """Have the system give up the pages of files. It keeps those that are mapped anywhere."""
    gc.collect()
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def resident(path: Path) -> Int64s:
    """The pages of a file that are in RAM, ascending."""
    size = path.stat().st_size
    if not size:
        return np.empty(0, np.int64)
    with path.open("rb") as file:
        mapping = mmap(file.fileno(), size, MAP_SHARED, PROT_READ)
    states = np.empty(-(-size // PAGE_BYTES), np.uint8)
    at = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    to = ctypes.c_void_p(states.__array_interface__["data"][0])
    if ctypes.CDLL(None).mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), to):
        raise OSError(f"the pages of {path.name} that are in RAM cannot be told")
    return np.flatnonzero(states & 1)


def floor_s(files: Sequence[Path], pages: Sequence[Int64s]) -> float:
    """Seconds for `WILLNEED` on all of these pages of files, then a `pread` of each."""
    handles = [os.open(path, os.O_RDONLY) for path in files]
    wanted = [(handle, page * PAGE_BYTES) for handle, some in zip(handles, pages) for page in some.tolist()]
    began = time.perf_counter()
    for handle, at in wanted:
        os.posix_fadvise(handle, at, PAGE_BYTES, os.POSIX_FADV_WILLNEED)
    for handle, at in wanted:
        os.pread(handle, PAGE_BYTES, at)
    took = time.perf_counter() - began
    for handle in handles:
        os.close(handle)
    return took


def trim() -> None:
    """Give back to the system what is free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def anonymous_bytes() -> int:
    """Of this process, now."""
    return _field("/proc/self/status", "RssAnon:") * 1024


def read_bytes() -> int:
    """Bytes that this process has had fetched from storage so far."""
    return _field("/proc/self/io", "read_bytes:")


def _field(path: str, name: str) -> int:
    lines = Path(path).read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
