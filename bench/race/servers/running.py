"""A server of a race while it runs: started on a free port of 127.0.0.1, watched through /proc, stopped by its id.

It is in a process group of its own, so Ctrl-C does not reach it: whoever started it stops it. Where the race ends
without a word, killed for instance, the kernel sends it its stop signal.
"""

import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.race.servers import tree
from bench.race.servers.program import Program
from bench.tenants.contender import LeftOut

__all__ = ["Running", "free_port"]

_READY_S = 180.0
_STOP_S = 60.0
_POLL_S = 0.005
_PARENT_DEATH_SIGNAL = 1


class Running:
    """Use it in a `with`, from the main thread: the kernel ties the server to the thread that started it.

    `start` and `stop` may be called in between; port and data stay the same.
    """

    def __init__(self, program: Program, folder: Path, port: int | None = None) -> None:
        """`folder` is empty and is given to the server; without a `port` a free one is taken."""
        self.program, self.folder = program, folder
        self.port = port or free_port()
        self._log = folder.parent / f"{folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.program.prepare(self.folder)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready. Raises LeftOut where it ends, or is not ready in time."""
        if _takes_connections(self.port):
            raise LeftOut(f"port {self.port} is taken")  # else somebody else would be asked
        command = self.program.command(self.folder, self.port)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command.arguments, env=os.environ | dict(command.environment), cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                user=command.user, extra_groups=None if command.user is None else [],
                preexec_fn=_tied_to_us(self.program.stop_signal),
            )  # fmt: skip
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it as an operator would, and by force whatever of its tree is then left."""
        process, self._process = self._process, None
        if process is None:
            return
        below = tree.processes(process.pid)
        process.send_signal(self.program.stop_signal)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            below = tree.processes(process.pid)
            process.kill()
            process.wait()
        tree.kill(below)

    def cpu_s(self) -> float:
        """CPU seconds of its tree since the last start."""
        return tree.cpu_s(self.pid)

    def memory(self) -> dict[str, int]:
        """Bytes of its tree in RAM."""
        return tree.memory(self.pid)

    def disk_bytes(self) -> int:
        """What its folder occupies on disk."""
        n_blocks = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # it may put its files in order meanwhile
                n_blocks += path.lstat().st_blocks if path.is_file() else 0
        return n_blocks * 512

    def last_words(self, within_s: float = 0.0) -> str | None:
        """What it said last, where it ends by itself within so long; None while it runs, and once it was stopped."""
        if self._process is None:
            return None
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "nothing"

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            self._check()
            if _takes_connections(self.port) and self.program.is_ready(self.port):
                self._check()
                return
            if time.monotonic() > deadline:
                raise LeftOut(f"the server was not ready within {_READY_S:.0f} s")
            time.sleep(_POLL_S)

    def _check(self) -> None:
        words = self.last_words()
        if words is not None:
            raise LeftOut(f"the server ended: {words}")


def free_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _takes_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def _tied_to_us(signal_number: int) -> Callable[[], None]:
    """Run in the new process: has the kernel send it this signal once the thread that started it has ended."""
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PARENT_DEATH_SIGNAL, signal_number, 0, 0, 0)
