"""What a contender may use, and what it did use."""

import ctypes
import gc
import importlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from bench.tenants.contender import LeftOut

_TELLING_SHARE = 0.05
"""Of a build, from which the rest is foreseen."""


@dataclass(frozen=True, slots=True)
class Limits:
    """For a contender's build: memory in bytes, time in seconds, threads. All are held at once, in 24 GB.

    Time is CPU time over threads, so that a machine with other work to do builds the same.
    """

    build_bytes: float = 5 * 2**30
    build_s: float = 600.0
    n_threads: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(slots=True)
class Stopwatch:
    """Wall and CPU seconds of this process since it was made."""

    _began_s: float = field(default_factory=time.perf_counter)
    _began_cpu_s: float = field(default_factory=time.process_time)

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._began_s

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._began_cpu_s

    def check(self, share_done: float, limits: Limits, before_s: float = 0.0) -> None:
        """Raise LeftOut if the whole takes longer than the limit, at the speed so far and `before_s` on top of it."""
        so_far_s = self.cpu_s / limits.n_threads
        expected_s = before_s + so_far_s / share_done
        if share_done >= _TELLING_SHARE and expected_s > limits.build_s:
            said = f"{100 * share_done:.0f} % built in {before_s + so_far_s:.0f} s: all would take {expected_s:.0f} s"
            raise LeftOut(f"{said}, and the limit is {limits.build_s:.0f} s")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of this process: resident, and of that anonymous (not the pages of mapped files)."""

    resident: int
    anonymous: int

    def __sub__(self, other: "Memory") -> "Memory":
        return Memory(self.resident - other.resident, self.anonymous - other.anonymous)


def memory() -> Memory:
    """What the process holds now, after everything free has gone back to the system. Zero where there is no /proc."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (OSError, AttributeError):
        return Memory(0, 0)
    bytes_of = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return Memory(bytes_of["Rss"], bytes_of["Anonymous"])


def peer(module: str) -> ModuleType:
    """A library that a peer needs; raises LeftOut with the way to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise LeftOut(f"{module} is not installed: pip install 'vdb[index]'") from exc
