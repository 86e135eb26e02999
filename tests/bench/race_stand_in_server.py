"""The server of a stand-in in races: an exact scan behind the standard library's HTTP, with a process below it.

`python -m tests.bench.race_stand_in_server FOLDER PORT` keeps its vectors in FOLDER.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np


def main(folder: Path, port: int) -> None:
    """Answer until it is ended."""
    sleeper = subprocess.Popen(["sleep", "600"])
    (folder / "sleeper").write_text(str(sleeper.pid))
    path = folder / "vectors.npy"

    class Handler(BaseHTTPRequestHandler):
        """Answers `/load`, `/use`, `/search` and `/count`; `/end` ends the server."""

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
            elif self.path == "/end":
                sleeper.kill()
                print("it had enough", file=sys.stderr, flush=True)
                os._exit(1)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
