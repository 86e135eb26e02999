"""Instructions that a thread executes outside the kernel, by perf_event_open of Linux, where it may and can.

Virtual machines often have no such counter, and settings may forbid it: `opened` then gives None, and nothing else is
lost. Counts of compiled code repeat to a thousandth or so, which no clock on a shared machine does.
"""

import ctypes
import os
import platform
import struct
from typing import Self

__all__ = ["Instructions"]

_CALL_NUMBERS = {"x86_64": 298, "aarch64": 241}
_HARDWARE, _INSTRUCTIONS = 0, 1
_SIZE = 128
_WITHOUT_KERNEL, _WITHOUT_HYPERVISOR = 1 << 5, 1 << 6


class Instructions:
    """A counter of the thread that opened it; `close` it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def opened(cls, kind: int = _HARDWARE, event: int = _INSTRUCTIONS) -> Self | None:
        """A running counter of this thread, of instructions unless another event is named; None where there is none."""
        number = _CALL_NUMBERS.get(platform.machine())
        if number is None or platform.system() != "Linux":
            return None
        flags = _WITHOUT_KERNEL | _WITHOUT_HYPERVISOR
        attributes = struct.pack("IIQQQQQ", kind, _SIZE, event, 0, 0, 0, flags).ljust(_SIZE, b"\0")
        system = ctypes.CDLL(None, use_errno=True)
        descriptor = system.syscall(number, ctypes.create_string_buffer(attributes, _SIZE), 0, -1, -1, 0)
        return cls(descriptor) if descriptor >= 0 else None

    def read(self) -> int:
        """Counted so far."""
        counted: int = struct.unpack("Q", os.read(self._descriptor, 8))[0]
        return counted

    def close(self) -> None:
        os.close(self._descriptor)
