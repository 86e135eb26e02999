"""A server's tree of processes: its CPU, its memory, and its end. Linux, from /proc.

CPU is what the kernel's clock of each living process says, to the nanosecond, and for those that ended what their
parent was charged with when it waited for them, in ticks. A process whose parent ended before it leaves the tree.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["cpu_s", "kill", "memory", "processes"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _CHILDREN_USER, _CHILDREN_SYSTEM, _STARTED = 1, 13, 14, 19
"""Fields of /proc/<pid>/stat after the name: parent, CPU of children waited for, the tick of the start."""
_ATTEMPTS = 5
_MEMORY = {"Pss": "resident bytes", "Pss_Anon": "anonymous bytes", "Pss_Shmem": "anonymous bytes"}

_Named = tuple[int, int]
"""A process for good: its id and the tick it started at, as ids are used again."""


def processes(root: int) -> list[_Named]:
    """The process and all below it, parents first; empty where it is not there."""
    children: dict[int, list[_Named]] = {}
    found: list[_Named] = []
    for folder in Path("/proc").iterdir():
        fields = _stat(int(folder.name)) if folder.name.isdigit() else None
        if fields is None:
            continue
        named = (int(folder.name), int(fields[_STARTED]))
        children.setdefault(int(fields[_PARENT]), []).append(named)
        if named[0] == root:
            found.append(named)
    for pid, _ in found:  # grows meanwhile
        found += children.get(pid, [])
    return found


def cpu_s(root: int) -> float:
    """CPU seconds of the tree so far, user and system, all threads, with children that have ended."""
    before = processes(root)
    for _ in range(_ATTEMPTS):
        total = sum(_own_cpu_s(pid) + _ended_cpu_s(pid) for pid, _ in before)
        after = processes(root)
        if before == after:  # else one that ended meanwhile may be missing, or counted twice
            break
        before = after
    return total


def memory(root: int) -> dict[str, int]:
    """Bytes in RAM of the tree, pages that processes share counted once: all, and those that no file backs."""
    found = dict.fromkeys(_MEMORY.values(), 0)
    for pid, _ in processes(root):
        with suppress(OSError):  # ended meanwhile
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
                name, _, rest = line.partition(":")
                if name in _MEMORY:
                    found[_MEMORY[name]] += int(rest.split()[0]) * 1024
    return found


def kill(named: list[_Named]) -> None:
    """End by force those of these processes that still run."""
    for pid, started in named:
        fields = _stat(pid)
        if fields is not None and int(fields[_STARTED]) == started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _own_cpu_s(pid: int) -> float:
    with suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3): the clock that schedules the process
    return 0.0


def _ended_cpu_s(pid: int) -> float:
    fields = _stat(pid)
    if fields is None:
        return 0.0
    return (int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])) / _TICKS_PER_S


def _stat(pid: int) -> list[str] | None:
    """What the kernel says of a process after its name; None where it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
