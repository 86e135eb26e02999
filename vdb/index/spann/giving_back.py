"""Gives the memory of large arrays back without the interpreter's lock.

When NumPy frees an array, the system takes its pages back one by one while every other thread waits for the lock:
100 MB take some 30 ms. Given back before, what is left to free is nothing.
"""

import ctypes
import mmap
import sys
from typing import Any

from numpy.typing import NDArray

LEAST_BYTES = 4 << 20
"""Smaller arrays are freed soon enough."""

_libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


def give_back(array: NDArray[Any]) -> bool:
    """Whether the pages of an array are gone, and with them its values: nobody may look at it any more.

    What is not memory of its own, but a file's or another array's, is left alone.
    """
    if _libc is None or array.base is not None or not array.flags.owndata or not array.flags.c_contiguous:
        return False
    at = int(array.__array_interface__["data"][0])
    first = -(-at // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (at + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if stop - first < LEAST_BYTES:
        return False
    return bool(_libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(stop - first), mmap.MADV_DONTNEED) == 0)
