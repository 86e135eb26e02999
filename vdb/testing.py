"""For users' tests: a real server as a process of its own, with a directory of its own.

with vdb.testing.server() as server:
    client = server.client("acme")
"""

import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from vdb.client import Client
from vdb.client.wire import is_success
from vdb.config import CONFIG_VARIABLE, Settings
from vdb.errors import InvalidArgument, TransportError, TransportTimeout

__all__ = ["RunningServer", "server"]

# `vdb serve`; its settings come through stdin, because a command line shows the admin key to every user of the machine.
_SERVE = (
    "import json, os, sys; os.environ.update(json.load(sys.stdin)); from vdb.cli import main; sys.exit(main(['serve']))"
)
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
_LOG_TAIL_CHARS = 2000


@contextmanager
def server(**settings: object) -> Iterator["RunningServer"]:
    """Start `vdb serve` on a free loopback port and wait until it is ready; stop it, and remove its data, afterwards.

    `settings` are fields of `vdb.config.Settings`, such as `memory_bytes`; `data_dir` keeps the data there instead.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdb-testing-")))
        running = RunningServer(folder, settings)
        stack.callback(running.stop)
        running.start()
        yield running


class RunningServer:
    """A server process. Used by one thread; `server()` stops it and closes the clients made here."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        known = {field.name for field in fields(Settings)}
        if unknown := sorted(set(settings) - known):
            raise InvalidArgument(f"unknown settings: {', '.join(unknown)}")
        self._log = folder / "server.log"
        if settings.get("tls_cert"):
            raise InvalidArgument("a server for tests speaks plain HTTP")
        given = {"data_dir": folder / "data", "log_requests": "0", **settings}
        given |= {"host": "127.0.0.1", "port": _free_port()}
        self.admin_key = str(given.setdefault("admin_key", secrets.token_urlsafe(24)))
        self._settings = {f"VDB_{name.upper()}": _text(value) for name, value in given.items()}
        self._settings[CONFIG_VARIABLE] = ""  # a settings file of the machine is not the test's
        self._port = int(self._settings["VDB_PORT"])
        self._clients: list[Client] = []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs, else None."""
        return self.process.pid if self.process is not None else None

    @property
    def log(self) -> str:
        """All that the server has written to stdout and stderr."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def admin(self) -> Client:
        """A client with the admin key."""
        return self._keep(Client(self.url, self.admin_key))

    def client(self, tenant: str, role: str = "write") -> Client:
        """A client with a new key of `tenant`, or with a service key that acts for it."""
        is_bound = role in ("read", "write")
        with Client(self.url, self.admin_key) as admin:
            key = admin.create_key(tenant=tenant if is_bound else None, role=role).key
        return self._keep(Client(self.url, str(key), tenant=None if is_bound else tenant))

    def start(self) -> None:
        """Start the process, where none runs, and wait until it is ready."""
        if self.process is not None:
            return
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )
        assert self.process.stdin is not None
        with self.process.stdin as pipe:
            pipe.write(json.dumps(self._settings).encode())
        self._wait_until_ready(self.process)

    def stop(self) -> None:
        """Stop the process, gracefully where it can; close the clients."""
        while self._clients:
            self._clients.pop().close()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL). `start` brings it back on the same data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same data and port; clients stay usable."""
        self._end(signal.SIGTERM)
        self.start()

    def _keep(self, client: Client) -> Client:
        self._clients.append(client)
        return client

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not _is_ready(self._port):
            if process.poll() is not None:
                self.process = None
                raise TransportError(f"the server ended with {process.returncode}: {self.log[-_LOG_TAIL_CHARS:]}")
            if time.monotonic() > deadline:
                self.kill()
                raise TransportTimeout(f"the server was not ready in time: {self.log[-_LOG_TAIL_CHARS:]}")
            time.sleep(_POLL_S)


def _text(value: object) -> str:
    """A setting's value as its variable has it."""
    return ",".join(value) if isinstance(value, (tuple, list)) else str(value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        answer.read()
        return is_success(answer.status)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
