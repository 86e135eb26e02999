"""milvus-lite's server: gRPC, indexes of faiss in a process of Python."""

from pathlib import Path

from bench.race.environments import Environment
from bench.race.process import PEERS_FOLDER, Start
from bench.race.servers.program import Command, Program

__all__ = ["Milvus"]


class Milvus(Program):
    """One collection with a graph index."""

    requirements = ("milvus-lite==3.2.2", "pymilvus==3.0.2")

    def __init__(self, place: Environment) -> None:
        self._place = place

    def command(self, folder: Path, port: int) -> Command:
        """On 127.0.0.1: by default it listens everywhere."""
        listening = ("--data-dir", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port))
        return Command((self._place.program("milvus-lite"), "server", *listening))

    def client(self, port: int) -> Start:
        """Its own client, pymilvus."""
        return Start(("-m", "peers.milvus", str(port)), self._place.python, PEERS_FOLDER)
