"""A server process under measurement: `vdb serve` with its own data directory, and its accounts from /proc (Linux)."""

import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from bench.connection import Connection
from bench.record import ROOT

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.005
_URL = re.compile(rb"^URL: http://127\.0\.0\.1:(\d+)$", re.MULTILINE)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Server:
    """`vdb serve` on a port that it chooses, with settings of its own, log to a file; stopped by its process id.

    Use it in a `with`, or call `start` and `stop`. The data directory survives a `stop`, the port does not.
    """

    def __init__(self, folder: Path, n_descriptors: int | None = None, **settings: object) -> None:
        """`n_descriptors`: the limit of open files, soft and hard; None: the machine's own."""
        self._n_descriptors = n_descriptors
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.admin_key = secrets.token_urlsafe(24)
        self.port = 0
        self.ready_s = 0.0
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> float:
        """Start the process and wait until /readyz answers; returns the seconds that took."""
        given = {"data_dir": self.data_dir, "port": 0, "admin_key": self.admin_key, **self._settings}
        environment = os.environ | {f"VDB_{name.upper()}": str(value) for name, value in given.items()}
        began, log_start = time.perf_counter(), self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vdb.cli", "serve"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=self._limit_descriptors,
            )
        try:
            self.port = self._announced_port(log_start)
            self._await(lambda health: health["status"] == "ready")
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.perf_counter() - began
        return self.ready_s

    def _limit_descriptors(self) -> None:
        """In the new process, before it is the server."""
        if self._n_descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._n_descriptors, self._n_descriptors))

    def await_kernels(self) -> None:
        """Wait until the compiled kernels answer, or will not: then the figures are those of the NumPy twins."""
        try:
            self._await(lambda health: health["kernels"] != "numpy")
        except TimeoutError:
            print("the compiled kernels are not there: NumPy answers", file=sys.stderr)

    def stop(self) -> None:
        """End the process as an operator would (SIGTERM), by force only if that does not help."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def connect(self) -> Connection:
        return Connection(self.port)

    def make_collection(self, name: str, dimension: int) -> None:
        """A collection with the cosine metric."""
        self._administer("/v1/collections", {"name": name, "dimension": dimension, "metric": "cosine"})

    def make_key(self, tenant: str) -> str:
        """A write key of `tenant`, which is made with it."""
        return str(self._administer("/v1/keys", {"tenant": tenant, "role": "write"})["key"])

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, user and system, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def is_at_work(self) -> bool:
        """Whether any of its threads runs, or would if it had a core."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return any(task.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "R" for task in tasks)

    def anonymous_bytes(self) -> int:
        """Memory of the process that no file backs: what the mapped database does not account for."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

    def disk_bytes(self) -> int:
        """What the data directory occupies on disk."""
        return sum(path.stat().st_blocks * 512 for path in self.data_dir.rglob("*") if path.is_file())

    def _administer(self, path: str, body: dict[str, object]) -> dict[str, object]:
        with self.connect() as connection:
            answer: dict[str, object] = connection.ask("POST", path, self.admin_key, body)
            return answer

    def _announced_port(self, log_start: int) -> int:
        """The port in the line that the server prints once it listens."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            found = _URL.search(self.log.read_bytes()[log_start:])
            if found:
                return int(found[1])
            self._check_alive()
            time.sleep(_POLL_S)
        raise TimeoutError("the server did not say where it listens")

    def _await(self, is_met: Callable[[dict[str, str]], bool]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                with self.connect() as connection:
                    if is_met(connection.ask("GET", "/readyz", "")):
                        return
            except OSError:
                self._check_alive()
            if time.monotonic() > deadline:
                raise TimeoutError("the server was not ready in time")
            time.sleep(_POLL_S)

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the server ended: {self.log.read_text(errors='replace')[-2000:]}")
