"""Parts of `search_lists`: pages of posting lists in a mapped file, asked for, checked and taken apart.

`memory` uint32: the file, 1,024 words per page. `held` int64: the table of the pages (`lists.py`).
"""

import mmap
from typing import Any

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import inlined
from vdb.kernels.reference import Int64s, UInt32s
from vdb.kernels.reference_lists import N_HALF, PAGE_BYTES, VALUE_AT

N_WORDS = PAGE_BYTES // 4
_WILL_NEED = 3
_SYSTEM_PAGE = mmap.PAGESIZE

_madvise: Any = types.ExternalFunction("madvise", types.int32(types.intp, types.uintp, types.int32))
"""Of the C library, on Linux and macOS alike."""


@inlined
def ask(address: int, n_bytes: int) -> None:
    """Have the system read a range of a mapping; what is in RAM already costs a look."""
    begin = address & ~(_SYSTEM_PAGE - 1)
    _madvise(begin, address + n_bytes - begin, _WILL_NEED)


@inlined
def ask_pages(base: int, places: UInt32s, pages: Int64s, n: int) -> None:
    """Have the system read the first `n` of `pages`; those that follow each other in the file at once."""
    i = 0
    while i < n:
        first = np.int64(places[pages[i]])
        j = i + 1
        while j < n and np.int64(places[pages[j]]) == first + (j - i):
            j += 1
        ask(base + int(first) * PAGE_BYTES, (j - i) * PAGE_BYTES)
        i = j


@inlined
def is_page(memory: UInt32s, place: int, page: int, n_rows: int, generation: int, keys: UInt32s) -> bool:
    """Whether a page of the file is the page of that number of a generation, with so many rows, and undamaged."""
    at = np.uint64(place * N_WORDS + VALUE_AT // 4)
    first = at + np.uint64(2)
    second = first + np.uint64(N_HALF)
    sums = np.uint64(0)
    for i in range(N_HALF):
        a = np.uint32(memory[first + np.uint64(i)] + keys[np.uint64(i)])
        b = np.uint32(memory[second + np.uint64(i)] + keys[np.uint64(N_HALF + i)])
        sums += np.uint64(a) * np.uint64(b)
    is_right = sums == _two_words(memory, at)
    is_right &= _two_words(memory, at + np.uint64(4)) == np.uint64(generation)
    is_right &= np.int64(memory[at + np.uint64(6)]) == page
    return bool(is_right and np.int64(memory[at + np.uint64(3)] >> np.uint32(16)) == n_rows)


@inlined
def _two_words(memory: UInt32s, at: np.uint64) -> np.uint64:
    return np.uint64(memory[at]) | (np.uint64(memory[at + np.uint64(1)]) << np.uint64(32))


@inlined
def has_ended(pid: np.uint32, ended_at: UInt32s, sequence: int) -> bool:
    """Whether the row of a pid is gone at `sequence`."""
    at = np.int64(ended_at[np.uint64(pid)]) if np.int64(pid) < ended_at.shape[0] else np.int64(0)
    return bool(at != 0 and at <= sequence + 1)
