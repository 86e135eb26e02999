"""A server with tenants to ask: one that is started for the purpose, or one that runs already."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import samples
from bench.connection import Connection, Refused
from bench.server import Server
from bench.tenants.workload import Float32s

__all__ = ["BadAddress", "Place", "started", "there_already"]

_BATCH = 1_000
_QUIET_S, _INDEX_TIMEOUT_S, _POLL_S = 3.0, 600.0, 0.25


class BadAddress(Exception):
    """The address or the key of a server will not do; the message says why."""


@dataclass(slots=True)
class Place:
    """An address with an admin key; `server` where the process is ours.

    `name` is that of the collection, and the names of tenants begin with it.
    """

    host: str
    port: int
    admin_key: str
    name: str
    server: Server | None = None

    def connect(self) -> Connection:
        return Connection(self.port, self.host)

    def kernels(self) -> str:
        """Which kernels answer: `numpy` is many times slower than the compiled ones."""
        with self.connect() as connection:
            return str(connection.ask("GET", "/readyz", "")["kernels"])

    def cpu_s(self) -> float | None:
        """CPU seconds of the server so far; None where it is not ours to read."""
        return None if self.server is None else self.server.cpu_s()

    def fill(self, parts: Sequence[Float32s]) -> list[str]:
        """A collection, and for each part a tenant that owns these vectors; returns the tenants' write keys."""
        keys = []
        with self.connect() as connection:
            about = {"name": self.name, "dimension": parts[0].shape[1], "metric": "cosine"}
            connection.ask("POST", "/v1/collections", self.admin_key, about)
            for rank, vectors in enumerate(parts):
                given = {"tenant": self._tenant(rank), "role": "write"}
                keys.append(str(connection.ask("POST", "/v1/keys", self.admin_key, given)["key"]))
                for first in range(0, len(vectors), _BATCH):
                    some = vectors[first : first + _BATCH]
                    connection.exchange(samples.binary_upsert(self.name, keys[-1], first, some))
        return keys

    def settle(self) -> str:
        """Wait until the collection's index has been left alone for a while; returns its state."""
        until, before, since = time.monotonic() + _INDEX_TIMEOUT_S, None, time.monotonic()
        with self.connect() as connection:
            while time.monotonic() < until:
                index = connection.ask("GET", f"/v1/collections/{self.name}/stats", self.admin_key)["index"]
                if index != before:
                    before, since = index, time.monotonic()
                elif index["state"] != "building" and time.monotonic() - since > _QUIET_S:
                    return str(index["state"])
                time.sleep(_POLL_S)
        raise TimeoutError("the index was not made in time")

    def clear(self, n_tenants: int) -> None:
        """Delete the collection and the tenants."""
        with self.connect() as connection:
            for path in (f"collections/{self.name}", *(f"tenants/{self._tenant(rank)}" for rank in range(n_tenants))):
                with suppress(Refused):  # what was not made yet is not there
                    connection.ask("DELETE", f"/v1/{path}", self.admin_key)

    def _tenant(self, rank: int) -> str:
        return f"{self.name}-{rank}"


@contextmanager
def started() -> Iterator[Place]:
    """A `vdb serve` of our own with the default settings, and its compiled kernels."""
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, Server(Path(folder)) as server:
        server.await_kernels()
        yield Place("127.0.0.1", server.port, server.admin_key, "replay", server)


@contextmanager
def there_already(url: str, key_file: Path | None, n_tenants: int) -> Iterator[Place]:
    """A server at `http://HOST:PORT` with the admin key in a file; what is made there is deleted in the end."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise BadAddress(f"{url}: http://HOST:PORT is needed")
    if key_file is None:
        raise BadAddress("--url needs --key-file, a file that holds the server's admin key")
    try:
        key = key_file.read_text(encoding="utf-8").strip()
        place = Place(parts.hostname, parts.port or 80, key, f"replay-{secrets.token_hex(4)}")
        with place.connect() as connection:
            connection.ask("GET", "/v1/keys", key)
    except (OSError, UnicodeError, Refused, ValueError) as exc:
        raise BadAddress(f"{url}: {exc}") from exc
    try:
        yield place
    finally:
        place.clear(n_tenants)
