"""Chroma's own server, `chroma run`: one process, a graph in RAM for each collection."""

from http.client import HTTPConnection
from pathlib import Path
from typing import ClassVar

from bench.race.environments import Environment
from bench.race.process import PEERS_FOLDER, Start
from bench.race.servers.program import Command, Program

__all__ = ["Chroma"]


class Chroma(Program):
    """Its ef of searches is part of a collection, read when the index is: after a change the server starts again."""

    requirements = ("chromadb==1.5.9",)
    reads_settings_at_start: ClassVar[bool] = True

    def __init__(self, place: Environment) -> None:
        self._place = place

    def command(self, folder: Path, port: int) -> Command:
        """Without telemetry; all else is its default."""
        listening = ("--host", "127.0.0.1", "--port", str(port), "--path", str(folder))
        return Command((self._place.program("chroma"), "run", *listening), {"ANONYMIZED_TELEMETRY": "False"})

    def client(self, port: int) -> Start:
        """Requests of JSON by http.client, which costs less than Chroma's own client."""
        return Start(("-m", "peers.chroma", str(port)), self._place.python, PEERS_FOLDER)

    def is_ready(self, port: int) -> bool:
        """By its heartbeat."""
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/v2/heartbeat")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
