"""A server process that is killed: `vdb serve` with a busy index, or the early-acknowledging control.

One data directory, life after life. Its port is its own choice,
read from the line it prints, so a restart never meets the old socket.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from bench.crash.access import HttpAccess
from bench.crash.busy_index import FROM_POINTS
from bench.record import ROOT

ADMIN_KEY = "crash-harness-admin-key"
SERVE = ("-m", "bench.crash.busy_index", "serve")
SERVE_EARLY = ("-m", "bench.crash.early_ack", "serve")
STOP_TIMEOUT_S = 30.0


class ServerProcess:
    """One life of the server, from `await_ready` on. `kill` ends it with SIGKILL, `stop` with SIGTERM."""

    def __init__(self, data_dir: Path, log: Path, is_early: bool = False) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VDB_")}
        environment |= {
            "VDB_ADMIN_KEY": ADMIN_KEY,
            "VDB_COMPILE_KERNELS": "0",
            "VDB_INDEX_FROM_POINTS": str(FROM_POINTS),
            "VDB_LOG_REQUESTS": "0",
            "VDB_PURGE_INTERVAL_S": "0.2",
        }
        command = [sys.executable, *(SERVE_EARLY if is_early else SERVE), "--port", "0", "--data-dir", str(data_dir)]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._log = log
        self.port = 0

    def await_ready(self) -> Self:
        """Wait for the line that says where it listens."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("URL: "):
                self.port = int(line.rpartition(":")[2])
                return self
        raise RuntimeError(f"the server did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def admin(self) -> HttpAccess:
        """A connection of its own with the admin key."""
        return HttpAccess(self.port, ADMIN_KEY)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it finish what is in flight."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.wait(STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
