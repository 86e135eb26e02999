"""Our index in races between libraries: the one that the server keeps, called without a server around it.

It is built, saved and loaded by what the server does it with. Once it is saved, codes and the vectors that hits are
compared by lie in mapped files: they count as resident, not as anonymous memory.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.race.peers.contender import Contender, Float32s, Rows
from bench.race.peers.serving import serve
from bench.tenants.access import single
from bench.tenants.ours import POWER, SEQUENCE, Ours
from bench.tenants.workload import K, Truth, Workload
from vdb.engine.index_files import Files, read_index, write_index
from vdb.index.curator.profile import BUDGETS, CANDIDATES
from vdb.kernels import warm
from vdb.storage.catalog import ACTIVE, CollectionDocument
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric, Sharing

__all__ = ["FACTORS", "OursAlone"]

FACTORS = tuple(factor for factor in BUDGETS if factor < 30)
"""Efforts are those of the grid that the server measures its profile on."""
_ABOUT = "about.txt"


class _Filed(Ours):
    """Its vectors lie where a server has them: in the folder of the index's files."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self._files = files

    def _file(self, dimension: int) -> VectorsFile:
        return self._files.new_vectors(dimension)

    def save(self, collection: CollectionDocument) -> None:
        assert self._index is not None, "build comes first"
        write_index(self._files, self._index, self._files.vectors, SEQUENCE, collection, epoch=1)

    def load(self, collection: CollectionDocument) -> None:
        self._index = read_index(self._files, collection)[0]


class OursAlone(Contender):
    """Settings: rows scored, as a multiple of n^0.6, and candidates compared by their exact vectors."""

    def __init__(self) -> None:
        warm(background=False)  # compiled code is loaded before anything is measured, as that of other libraries

    @property
    def settings(self) -> Sequence[str]:
        kept = [round(factor * K) for factor in CANDIDATES if factor <= 20]
        return [f"budget {factor} n^{POWER}, candidates {n}" for n in kept for factor in FACTORS]

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._collection = _collection(vectors.shape[1], metric)
        self._index = _Filed(Files(folder))
        empty = np.empty((0, vectors.shape[1]), np.float32)
        nobody = Truth(np.empty((0, 0), np.int64), np.empty((0, 0)))
        asker = np.zeros(1, np.int32)
        self._index.build(Workload("race", metric, vectors, single(len(vectors)), empty, asker, nobody, "", "", empty))
        facts = self._index.facts
        return f"encoding {facts['encoding']}; {facts['cells']} cells; kernels {facts['kernels']}; 1 thread"

    def use(self, setting: str) -> None:
        self._index.use(setting)

    def search(self, query: Float32s, k: int) -> Rows:
        return self._index.search(0, query)

    def save(self, folder: Path) -> bool:
        self._index.save(self._collection)
        (folder / _ABOUT).write_text(f"{self._collection.dimension} {self._collection.metric}")
        return True

    def load(self, folder: Path) -> None:
        dimension, metric = (folder / _ABOUT).read_text().split()
        self._index = _Filed(Files(folder))
        self._index.load(_collection(int(dimension), metric))


def _collection(dimension: int, metric: str) -> CollectionDocument:
    return CollectionDocument(
        id=1, name="race", state=ACTIVE, dimension=dimension, metric=Metric(metric), sharing=Sharing.MANAGED, fields={},
        tenants=None, created_at_ms=1,
    )  # fmt: skip


if __name__ == "__main__":
    serve(OursAlone())
