"""A contender for tests of the race between servers, and its client.

`python -m tests.bench.race_stand_in PORT PATH` is the client, which sends what it stores to PATH.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.race.peers.contender import Contender, Float32s, Rows
from bench.race.peers.exchange import Exchange
from bench.race.peers.serving import serve
from bench.race.process import Start
from bench.race.servers.program import Command, Program
from bench.record import ROOT

MODULE = "tests.bench.race_stand_in"


class StandIn(Program):
    """`words`: it ends at once with these in the place of its own; `is_ended`: it ends while it is loaded."""

    def __init__(self, *, words: str = "", is_ended: bool = False, is_restarted: bool = False) -> None:
        self._words, self._is_ended = words, is_ended
        self.reads_settings_at_start = is_restarted  # type: ignore[misc]  # of this one

    def command(self, folder: Path, port: int) -> Command:
        if self._words:
            return Command((sys.executable, "-c", f"raise SystemExit({self._words!r})"))
        arguments = (sys.executable, "-m", f"{MODULE}_server", str(folder), str(port))
        return Command(arguments, {"PYTHONPATH": str(ROOT)})

    def client(self, port: int) -> Start:
        return Start(("-m", MODULE, str(port), "/end" if self._is_ended else "/load"))


class Client(Contender):
    """Settings: how many of the first rows are looked at."""

    settings: Sequence[str] = ["rows 500", "rows 2000"]

    def __init__(self, port: int, path: str) -> None:
        self._server, self._path = Exchange(port), path
        self._n_rows = 0

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._server.post(self._path, np.ascontiguousarray(vectors).tobytes(), f"{vectors.shape[1]}")
        return f"{metric}, {n_threads} threads"

    def use(self, setting: str) -> None:
        self._n_rows = int(setting.split()[1])
        self._server.ask("POST", "/use", self._n_rows)

    def search(self, query: Float32s, k: int) -> Rows:
        found = self._server.ask("POST", "/search", {"query": query.tolist(), "k": k, "rows": self._n_rows})
        return np.array(found, np.int64)

    def load(self, folder: Path) -> None:
        self._server.ask("GET", "/count")


if __name__ == "__main__":
    serve(Client(int(sys.argv[1]), sys.argv[2]))
