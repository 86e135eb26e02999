"""Our index on disk as a contender: `python -m bench.disk.ours ask …` asks it, in the way of `bench/disk/peers/`."""

import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.disk.lists import EFFORT, read
from bench.disk.peers.asking import main
from bench.disk.peers.contender import Contender, Float32s, Rows
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort
from vdb.kernels import warm

COUNTED = ("lists scored", "lists", "rows scanned", "vectors compared", "pages of lists", "pages of vectors")
SWITCH_S = 0.0005
"""What the server sets."""


class Ours(Contender):
    """One index; an effort is a budget of rows. What stays in RAM is read when it is opened."""

    efforts = (EFFORT.budget, 2_400, 3_400, 5_000, 7_000)

    def __init__(self) -> None:
        warm(background=False)
        sys.setswitchinterval(SWITCH_S)
        self._opened = ExitStack()
        self._index: SpannIndex | None = None
        self._statistics: list[Rows] = []

    def open(self, folder: Path, ram_bytes: int) -> None:
        self._index = self._opened.enter_context(read(folder).opened(folder))

    def meet(self, asker: int) -> None:
        assert self._index is not None, "open comes first"
        self._index.state.laid.table(asker + 1)

    def search(self, asker: int, query: Float32s, k: int, effort: int) -> Rows:
        assert self._index is not None, "open comes first"
        how = Effort(effort, EFFORT.candidates, EFFORT.ratio, EFFORT.spreads)
        found = self._index.search(self._index.state, asker + 1, query, k, 1, 0, how)
        self._statistics.append(found.statistics)
        return found.pid[found.row >= 0].astype(np.int64)

    def close(self) -> None:
        self._index = None
        self._opened.close()

    def counts(self) -> dict[str, float]:
        means = np.mean(self._statistics, axis=0)[: len(COUNTED)].tolist()
        self._statistics.clear()
        return dict(zip(COUNTED, means, strict=True))


if __name__ == "__main__":
    main(Ours(), sys.argv[1:])
