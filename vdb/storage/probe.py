"""Whether an environment can be read to its end, tried in a process of its own.

    python -m vdb.storage.probe FOLDER

Reading a page beyond the end of a file that was cut short ends the process (SIGBUS), which no handler can mend.
"""

import signal
import subprocess
import sys
from pathlib import Path

from vdb.storage.env import Environment

MAP_BYTES = 1 << 20
"""A map is made as large as its file anyway."""

FATAL = frozenset({signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT})
"""Signals that a damaged file raises; another may be from whoever stops the server."""


def is_readable(env: Environment) -> bool:
    """Whether every page in use can be read. A file as long as its pages needs no trial."""
    return _trial(env) == 0


def is_cut_short(env: Environment) -> bool:
    """Whether reading it would end the process, all of it being tried where the file is not as long as its pages."""
    return -_trial(env) in FATAL


def _trial(env: Environment) -> int:
    """The exit status of a process that reads everything, negative where a signal ended it."""
    if (env.path / "data.mdb").stat().st_size >= env.used_bytes:
        return 0
    # Pages freed before they were ever written may be missing at the end, and nothing leads to them.
    return subprocess.run([sys.executable, "-m", __name__, str(env.path)], check=False).returncode


def _read_all(path: Path) -> None:
    env = Environment(path, map_bytes=MAP_BYTES, max_map_bytes=MAP_BYTES, read_only=True)
    with env.read() as txn, txn.cursor() as cursor:
        for _ in cursor.iternext():
            continue


if __name__ == "__main__":
    _read_all(Path(sys.argv[1]))
