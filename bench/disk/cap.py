"""A group of processes whose memory is capped, anonymous memory and the pages of files that they read together."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_REMOVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """Who writes its number to `entrance` is in it from then on. What it had allocated before does not count."""

    entrance: Path


@contextmanager
def capped(n_bytes: int) -> Iterator[Group | None]:
    """A group whose memory is at most so many bytes; None, and a line that says why, where none can be made."""
    try:
        folder = _made(n_bytes)
    except OSError as exc:
        print(f"memory is not capped: no control group can be made here ({exc})", flush=True)
        yield None
        return
    try:
        yield Group(folder / "cgroup.procs")
    finally:
        _remove(folder)


def _made(n_bytes: int) -> Path:
    first = _ROOT / "memory" / f"vdb-bench-{os.getpid()}"
    if first.parent.is_dir():
        limit = "memory.limit_in_bytes"
    else:
        first, limit = _ROOT / first.name, "memory.max"
    first.mkdir()
    try:
        (first / limit).write_text(str(n_bytes), encoding="ascii")
    except OSError:
        first.rmdir()
        raise
    return first


def _remove(folder: Path) -> None:
    """The system takes a moment to notice that the last process has gone."""
    stop = time.monotonic() + _REMOVAL_S
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > stop:
                raise
            time.sleep(0.05)
