"""A peer in tests of races: an exact scan that does one thing wrong, named by its argument.

`python -m tests.bench.race_peer [kind]`, asked as `bench/race/peers` are.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.race.peers.contender import Contender, Float32s, LeftOut, Rows
from bench.race.peers.serving import serve

KEPT_BYTES = 64 << 20
SPUN_S = 0.002


class Scan(Contender):
    """Looks at a part of the rows, by the setting."""

    settings: Sequence[str] = ("share 0.5", "share 1")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._share = 1.0
        self._is_loaded = False

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        if self._kind == "unfit":
            raise LeftOut("it has no such metric")
        if self._kind == "broken":
            raise ValueError("it cannot count")
        if self._kind == "waste":
            for _ in range(20):
                bytearray(b"x") * KEPT_BYTES
        if self._kind == "hoard":
            self._hoard = bytearray(b"x") * KEPT_BYTES
        if self._kind == "loud":
            os.write(1, b"built\n{half a line")
        self._rows = vectors
        return f"{metric}, {n_threads} threads"

    def use(self, setting: str) -> None:
        self._share = float(setting.split()[1])

    def search(self, query: Float32s, k: int) -> Rows:
        if self._kind == "dies" and self._share == 1:
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        if self._kind == "sleeps":
            time.sleep(600)
        if self._kind == "threads":
            other = threading.Thread(target=_spin)
            other.start()
            other.join()
        if self._kind == "empty" and self._is_loaded:
            return np.empty(0, np.int64)
        rows = self._rows[: round(self._share * len(self._rows))]
        found = np.argsort(((rows - query) ** 2).sum(axis=1), kind="stable")[:k]
        if self._kind == "other row":  # the last row is a copy of the first
            found[found == 0] = len(self._rows) - 1
        return found

    def save(self, folder: Path) -> bool:
        if self._kind == "forgets":
            return False
        np.save(folder / "rows.npy", self._rows)
        return True

    def load(self, folder: Path) -> None:
        if self._kind == "lost":
            raise OSError("its file is not one")
        self._rows = np.load(folder / "rows.npy")
        self._is_loaded = True


def _spin() -> None:
    until = time.thread_time() + SPUN_S
    while time.thread_time() < until:
        pass


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind == "loud":
        print('loading\n["not an answer"]', flush=True)
    serve(Scan(kind))
