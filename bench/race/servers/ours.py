"""Our server, `vdb serve`, asked in JSON or with binary bodies."""

import json
import secrets
import sys
from http.client import HTTPConnection
from pathlib import Path

from bench.race.process import Start
from bench.race.servers.program import Command, Program
from bench.record import ROOT

__all__ = ["INDEX_FROM_POINTS", "OurServer"]

INDEX_FROM_POINTS = 20_000
"""The server's default."""


class OurServer(Program):
    """Queries are not recorded: the index is not to learn from those that it is judged by."""

    def __init__(self, form: str, index_from_points: int = INDEX_FROM_POINTS) -> None:
        """`form` of the requests: "json" or "binary"; below so many points there is no index."""
        self._form, self._index_from_points = form, index_from_points
        self._admin_key = secrets.token_urlsafe(24)

    def command(self, folder: Path, port: int) -> Command:
        """The server's defaults, recorded queries apart."""
        given = {"data_dir": folder / "data", "port": port, "admin_key": self._admin_key, "record_queries": "false"}
        given["index_from_points"] = self._index_from_points
        environment = {f"VDB_{name.upper()}": str(value) for name, value in given.items()} | {"PYTHONPATH": str(ROOT)}
        return Command((sys.executable, "-m", "vdb.cli", "serve"), environment)

    def client(self, port: int) -> Start:
        """Requests by http.client, as Chroma's."""
        arguments = (str(port), self._form, self._admin_key, str(self._index_from_points))
        return Start(("-m", "bench.race.servers.our_client", *arguments))

    def is_ready(self, port: int) -> bool:
        """By its own word."""
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return bool(json.loads(connection.getresponse().read())["status"] == "ready")
        except (OSError, ValueError, KeyError):
            return False
        finally:
            connection.close()
