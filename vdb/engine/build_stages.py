"""What of an index on disk in the making is done already: kept in files, so that a build that was ended goes on there.

`given.vdb` are the vectors of all points, prepared, in the order in which the store has them, `points.vdb` whose they
are and who may see them, as of a sequence; `tree.vdb` the tree carried deeper and the list of each point. What comes
after takes a few minutes for ten million points and is done anew. The store knows the id of the points that were
gathered last from a commit after that: a store that was put back to before it has them gathered again.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.engine.commit import CommitQueue
from vdb.engine.index_soundness import check_model
from vdb.engine.index_source import SAMPLE_POINTS, read_points
from vdb.engine.model_arrays import arrays_of, head_of, model_in, number_in
from vdb.errors import CorruptData
from vdb.index.curator.model import Model
from vdb.kernels.distinct import distinct
from vdb.storage.arrays import load_arrays, map_arrays, save_arrays
from vdb.storage.catalog import CollectionDocument
from vdb.storage.changes import read_changes_from
from vdb.storage.directory import make_folder, remove_folder
from vdb.storage.env import Environment, Transaction
from vdb.storage.keyspace import META_INDEX_BUILD
from vdb.storage.meta import read_number, read_sequence, write_number
from vdb.storage.points import read_totals
from vdb.storage.vectors_file import VectorsFile

logger = logging.getLogger(__name__)

Check = Callable[[], None]
UInt32s = NDArray[np.uint32]

_COLUMNS = {"pids": "<u4", "owners": "<u4", "expires_at_ms": "<i8", "tenants": "<u4", "starts": "<i8", "pairs": "<u4"}
CHECK_POINTS = 1_024
"""Points that are read between two looks at how far a build is."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """n points as of `sequence`; slot i of `vectors` is point i's. `starts` (t + 1,) and `pairs` are what each of
    `tenants`, ascending, is granted."""

    vectors: VectorsFile
    pids: UInt32s
    owners: UInt32s
    expires_at_ms: NDArray[np.int64]
    tenants: UInt32s
    starts: NDArray[np.int64]
    pairs: UInt32s
    sequence: int

    def sample(self, seed: int) -> NDArray[np.float32]:
        """Up to 100,000 of the vectors, in their order, copied."""
        n = len(self.pids)
        if n <= SAMPLE_POINTS:
            return np.array(self.vectors.rows[:n])
        chosen = np.random.default_rng(seed).choice(n, SAMPLE_POINTS, replace=False)
        return np.array(self.vectors.rows[np.sort(chosen)])


class BuildStages:
    """Of one collection, in a folder of their own. One thread at a time; any thread reads `stage` and `share`."""

    def __init__(self, folder: Path, collection: CollectionDocument, queue: CommitQueue[Any]) -> None:
        self._folder = folder
        self._collection = collection
        self._queue = queue
        self._vectors: VectorsFile | None = None
        self.stage = ""
        self.share: float | None = None
        """Of the stage that is done, where it is known."""

    def gathered(self, env: Environment, check: Check) -> Gathered:
        """All points with a sound vector: as they were gathered before, or now.

        The log of changes is kept by now. Raises CorruptData where there is no such point, DiskFull, StorageFailure.
        """
        self._at("reading points")
        with env.read() as txn:
            try:
                found = self._found(txn)
            except (CorruptData, KeyError, TypeError, ValueError) as exc:
                logger.warning("points are gathered anew", exc_info=exc, extra={"collection": self._collection.id})
                found = None
        return found or self._gather(env, check)

    def deepened(self, given: Gathered, make: Callable[[], tuple[Model, UInt32s]]) -> tuple[Model, UInt32s]:
        """A tree and the list of each point: of before, or made now."""
        self._at("clustering")
        path = self._folder / "tree.vdb"
        if path.exists():
            try:
                return self._tree(path, given)
            except (CorruptData, KeyError, TypeError, ValueError) as exc:
                logger.warning("points are clustered anew", exc_info=exc, extra={"collection": self._collection.id})
        model, cells = make()
        head = self._head(given.sequence) | head_of(model)
        save_arrays(path, head, arrays_of(model) | {"cells": cells})
        return model, cells

    def write(self) -> None:
        """What comes now is done anew by whoever goes on."""
        self._at("writing lists")

    def remove(self) -> None:
        """All is done, or not wanted any more."""
        self._at("")
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None
        remove_folder(self._folder)

    def close(self) -> None:
        """Let the files go; they stay."""
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None

    def _at(self, stage: str) -> None:
        self.stage, self.share = stage, None
        if stage:
            logger.info("an index is being built", extra={"collection": self._collection.id, "stage": stage})

    def _head(self, sequence: int) -> dict[str, Any]:
        return {"collection": [self._collection.id, self._collection.created_at_ms], "sequence": sequence}

    def _gather(self, env: Environment, check: Check) -> Gathered:
        self.close()
        remove_folder(self._folder)
        make_folder(self._folder.absolute())
        self._vectors = VectorsFile(self._folder / "given.vdb", self._collection.dimension)
        with env.read() as txn:
            sequence, n_vectors = read_sequence(txn), read_totals(txn).vectors
            n_read = 0

            def watch() -> None:
                nonlocal n_read
                n_read += CHECK_POINTS
                self.share = min(1.0, n_read / max(1, n_vectors))
                check()

            points = read_points(txn, self._collection, self._vectors, watch)
        if not len(points.pids):
            raise CorruptData("no point has a sound vector and record")
        tenants, (starts, pairs) = points.granted()
        self._vectors.flush()
        self._vectors.mark(sequence)
        build = 1 + secrets.randbits(62)
        arrays: dict[str, Any] = {
            "pids": points.pids,
            "owners": points.owners,
            "expires_at_ms": points.expires_at_ms,
            "tenants": tenants,
            "starts": starts,
            "pairs": pairs,
        }
        save_arrays(self._folder / "points.vdb", self._head(sequence) | {"build": build}, arrays)
        self._queue.submit(lambda group: write_number(group.txn, META_INDEX_BUILD, build), 0, frees_space=True).result()
        return Gathered(self._vectors, sequence=sequence, **arrays)

    def _found(self, txn: Transaction) -> Gathered | None:
        path = self._folder / "points.vdb"
        if not path.exists():
            return None
        head, arrays = load_arrays(path)
        sequence = number_in(head, "sequence")
        changes_from = read_changes_from(txn)
        if head["build"] != read_number(txn, META_INDEX_BUILD) or head["collection"] != self._head(0)["collection"]:
            raise CorruptData("the points that were gathered are not of this collection's past")
        if changes_from is None or not changes_from - 1 <= sequence <= read_sequence(txn):
            raise CorruptData("the log of changes does not go back to when the points were gathered")
        self.close()
        self._vectors = VectorsFile(self._folder / "given.vdb", self._collection.dimension)
        _check_points(arrays)
        if self._vectors.marked_sequence < sequence or self._vectors.n_slots < len(arrays["pids"]):
            raise CorruptData("the points that were gathered have no vectors")
        return Gathered(self._vectors, sequence=sequence, **arrays)

    def _tree(self, path: Path, given: Gathered) -> tuple[Model, UInt32s]:
        head, arrays, _ = map_arrays(path)
        if {name: head[name] for name in ("collection", "sequence")} != self._head(given.sequence):
            raise CorruptData("the tree is of other points")
        model = model_in(self._collection.metric, head, arrays)
        check_model(model)
        cells = arrays["cells"]
        is_right = cells.dtype == np.uint32 and cells.shape == given.pids.shape
        if not is_right or model.dimension != self._collection.dimension or not (cells < len(model.leaves)).all():
            raise CorruptData("the tree does not fit its points")
        return model, np.array(cells)


def _check_points(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise CorruptData unless what kernels rely on holds."""
    for name, dtype in _COLUMNS.items():
        if arrays[name].dtype != np.dtype(dtype) or arrays[name].ndim != 1:
            raise CorruptData(f"the points that were gathered have no {name}")
    n, starts, tenants = len(arrays["pids"]), arrays["starts"], arrays["tenants"].astype(np.int64)
    is_right = len(arrays["owners"]) == len(arrays["expires_at_ms"]) == n == len(distinct(arrays["pids"]))
    is_right &= len(starts) == len(tenants) + 1 and int(starts[0]) == 0 and int(starts[-1]) == len(arrays["pairs"])
    if not is_right or (np.diff(starts) < 0).any() or (np.diff(tenants) <= 0).any() or (arrays["pairs"] >= n).any():
        raise CorruptData("the points that were gathered contradict themselves")
