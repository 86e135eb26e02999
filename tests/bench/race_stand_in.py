"""A server and a client for tests of the race between servers: an exact scan behind the standard library's HTTP.

`python -m tests.bench.race_stand_in serve FOLDER PORT` keeps its vectors in FOLDER; `… ask PORT` is its client.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from bench.race.peers.contender import Contender, Float32s, Rows
from bench.race.peers.exchange import Exchange
from bench.race.peers.serving import serve
from bench.race.process import Start
from bench.race.servers.program import Command, Program
from bench.record import ROOT

MODULE = "tests.bench.race_stand_in"
SLEEPER = "import time; time.sleep(600)"


class StandIn(Program):
    """It has a process below it that sleeps; `words` in the place of its own end it at once with these words."""

    def __init__(self, *, words: str = "", is_restarted: bool = False) -> None:
        self._words = words
        self.reads_settings_at_start = is_restarted  # type: ignore[misc]  # of this one

    def command(self, folder: Path, port: int) -> Command:
        if self._words:
            return Command((sys.executable, "-c", f"raise SystemExit({self._words!r})"))
        arguments = (sys.executable, "-m", MODULE, "serve", str(folder), str(port))
        return Command(arguments, {"PYTHONPATH": str(ROOT)})

    def client(self, port: int) -> Start:
        return Start(("-m", MODULE, "ask", str(port)))


class Client(Contender):
    """Settings: how many of the first rows are looked at."""

    settings: Sequence[str] = ["rows 500", "rows 2000"]

    def __init__(self, port: int) -> None:
        self._server = Exchange(port)
        self._n_rows = 0

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._server.post("/load", np.ascontiguousarray(vectors).tobytes(), f"{vectors.shape[1]}")
        return f"{metric}, {n_threads} threads"

    def use(self, setting: str) -> None:
        self._n_rows = int(setting.split()[1])
        self._server.ask("POST", "/use", self._n_rows)

    def search(self, query: Float32s, k: int) -> Rows:
        found = self._server.ask("POST", "/search", {"query": query.tolist(), "k": k, "rows": self._n_rows})
        return np.array(found, np.int64)

    def load(self, folder: Path) -> None:
        self._server.ask("GET", "/count")


def _server(folder: Path, port: int) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER])
    (folder / "sleeper").write_text(str(sleeper.pid))
    path = folder / "vectors.npy"

    class Handler(BaseHTTPRequestHandler):
        """Answers `/load`, `/use`, `/search` and `/count`."""

        protocol_version = "HTTP/1.1"
        vectors = np.load(path) if path.exists() else np.empty((0, 1), np.float32)

        def do_GET(self) -> None:
            self._answer(len(self.vectors))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/load":
                vectors = np.frombuffer(body, np.float32).reshape(-1, int(self.headers["Content-Type"]))
                np.save(path, vectors)
                Handler.vectors = vectors
                self._answer(len(vectors))
            elif self.path == "/use":
                self._answer(None)
            else:
                asked = json.loads(body)
                scores = self.vectors[: asked["rows"]] @ np.array(asked["query"], np.float32)
                self._answer(np.argsort(-scores, kind="stable")[: asked["k"]].tolist())

        def _answer(self, found: object) -> None:
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: what is said last is for errors."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def spinning(seconds: float) -> None:
    """Burn CPU of this process."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _server(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        serve(Client(int(sys.argv[2])))
