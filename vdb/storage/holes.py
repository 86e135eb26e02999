"""Holes in files: giving the disk back what a range of a file took, where the system can."""

import ctypes
import errno
import os
import sys

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})
_TMPFS = 0x01021994
_STATE_BYTES = 256
"""Room for what fstatfs tells, which takes 120 bytes; the kind of the file system comes first."""


def _library() -> ctypes.CDLL | None:
    """Linux's C library: Python has neither fallocate nor fstatfs."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if not (hasattr(library, "fallocate") and hasattr(library, "fstatfs")):
        return None
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    library.fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
    return library


_libc = _library()


def punch_hole(handle: int, start: int, n_bytes: int) -> bool:
    """Make a range of an open file read as zeros and take no disk; False where that cannot be had.

    It is not had on tmpfs either: there a hole takes a page once it is read through a mapping, and where there is none
    left, reading it ends the process (SIGBUS). The file stays as long as it is. Raises OSError.
    """
    if _libc is None or _is_on_tmpfs(_libc, handle):
        return False
    while _libc.fallocate(handle, _PUNCH_HOLE | _KEEP_SIZE, start, n_bytes):
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def _is_on_tmpfs(libc: ctypes.CDLL, handle: int) -> bool:
    state = ctypes.create_string_buffer(_STATE_BYTES)
    if libc.fstatfs(handle, state):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(ctypes.c_long.from_buffer(state).value) == _TMPFS
