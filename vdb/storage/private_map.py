"""Parts of a file as memory of one's own: its pages until they are written to, zeros behind it.

Pages that are only read stay the file's, and the system may drop them and read them again; what is written is copied
first and never reaches the file. Room behind takes memory once it is written to. The file may be renamed over or
removed, not cut short: reading a mapping beyond the end of its file ends the process (SIGBUS), as does a page that the
disk cannot read any more.

Python's own mapping cannot have room behind it: the file's pages are laid over the first ones of anonymous memory, for
which the C library is called. No descriptor is kept.
"""

import ctypes
import functools
import mmap
import os
from collections.abc import Callable
from contextlib import suppress

_MAP_FIXED = 0x10
"""Of Linux and of macOS."""
_MADV_POPULATE_READ = 22
"""Of Linux 5.14: enter the pages at once."""


def map_privately(handle: int, at: int, n_bytes: int, n_room: int) -> tuple[mmap.mmap, int]:
    """(memory, where in it the bytes begin): `n_bytes` > 0 of an open file from `at` on, and `n_room` bytes of zeros.

    The file has these bytes. The memory lives as long as something refers to it. Raises OSError where files cannot be
    mapped so.
    """
    lead = at % mmap.ALLOCATIONGRANULARITY
    memory = mmap.mmap(-1, lead + n_bytes + n_room, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    access = mmap.PROT_READ | mmap.PROT_WRITE
    mapped = _c_mmap()(begin, lead + n_bytes, access, mmap.MAP_PRIVATE | _MAP_FIXED, handle, at - lead)
    if mapped != begin:
        number = ctypes.get_errno()
        # It may have unmapped what it was to replace, and another thread may live there now: never unmap it again.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
        raise OSError(number, os.strerror(number))
    with suppress(OSError, ValueError):  # an older system enters them when they are read
        memory.madvise(_MADV_POPULATE_READ, 0, lead + n_bytes)
    return memory, lead


@functools.cache
def _c_mmap() -> Callable[..., int | None]:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError("the C library's mmap is called where addresses have 64 bits")
    try:
        found = ctypes.CDLL(None, use_errno=True).mmap
    except (OSError, AttributeError, TypeError) as exc:
        raise OSError("there is no mmap to call") from exc
    found.restype = ctypes.c_void_p
    found.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    return found
