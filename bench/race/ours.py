"""Our index in races between libraries: the one that the server keeps, called without a server around it.

The exact vectors that hits are compared by lie in a mapped file, as they do under a server: they count as resident, not
as anonymous memory.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.race.peers.contender import Contender, Float32s, Rows
from bench.race.peers.serving import serve
from bench.tenants.access import single
from bench.tenants.ours import Ours
from bench.tenants.workload import Truth, Workload

__all__ = ["OursAlone"]


class OursAlone(Contender):
    """Settings: rows scored, as a multiple of n^0.6, and candidates compared by their exact vectors."""

    def __init__(self) -> None:
        self._index = Ours()

    @property
    def settings(self) -> Sequence[str]:
        return self._index.settings

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        empty = np.empty((0, vectors.shape[1]), np.float32)
        nobody = Truth(np.empty((0, 0), np.int64), np.empty((0, 0)))
        asker = np.zeros(1, np.int32)
        self._index.build(Workload("race", metric, vectors, single(len(vectors)), empty, asker, nobody, "", "", empty))
        facts = self._index.facts
        return f"encoding {facts['encoding']}; {facts['cells']} cells; kernels {facts['kernels']}"

    def use(self, setting: str) -> None:
        self._index.use(setting)

    def search(self, query: Float32s, k: int) -> Rows:
        return self._index.search(0, query)


if __name__ == "__main__":
    serve(OursAlone())
