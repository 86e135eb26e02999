"""Indexes whose codes lie in RAM, mapped from their layout's file: how they are built, saved, read, laid out, tuned."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.engine.choosing import Wish
from vdb.engine.index_files import Files, read_index, write_index
from vdb.engine.index_kind import Check
from vdb.engine.index_source import Points, read_points
from vdb.engine.pace import Cancelled
from vdb.engine.slots import OldSlots, unnamed
from vdb.engine.tuner import Tuner, typical_reading
from vdb.errors import CorruptData
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.model import Model
from vdb.index.curator.relayout import Moment
from vdb.index.curator.state import NO_PLACES
from vdb.index.curator.upkeep import laid_out
from vdb.storage.catalog import CollectionDocument
from vdb.storage.env import Environment
from vdb.storage.meta import read_sequence


class RamKind:
    """Of one collection. One thread at a time."""

    def __init__(self, collection: CollectionDocument, files: Files, tuner: Tuner) -> None:
        self.files = files
        self._collection = collection
        self._tuner = tuner
        self._slots = OldSlots()
        self._n_slots = 0
        self._made: Model | None = None
        self._ended_slots = NO_PLACES

    def exists(self) -> bool:
        return self.files.exists()

    @property
    def has_files(self) -> bool:
        return self.files.has_any

    def build(self, env: Environment, check: Check) -> tuple[CuratorIndex, int]:
        collection = self._collection
        with env.read() as txn:
            sequence = read_sequence(txn)
            vectors, self._n_slots = self.files.new_vectors(collection.dimension), 0
            self._slots.clear()
            points: Points = read_points(txn, collection, vectors, check)
        if not len(points.pids):
            raise CorruptData("no point has a sound vector and record")
        sample = points.sample(vectors.rows, collection.id)
        n_reading = typical_reading(points.readings())
        model = self._made = self._tuner.train(sample, len(points.pids), n_reading, Wish(), check)
        check()
        index = CuratorIndex.build(
            model, points.pids, points.owners, points.expires_at_ms, *points.granted(), vectors, sequence, check=check
        )
        return index, sequence

    def lay_out(
        self, index: CuratorIndex, moment: Moment, is_forced: bool, check: Check
    ) -> tuple[CuratorIndex, dict[str, Any]]:
        outcome = laid_out(index, moment, self._tuner.retrainer(moment.state, check), is_forced, check)
        self._made, self._ended_slots = outcome.index.state.model, moment.ended_slots
        return outcome.index, {"split": outcome.n_split, "trained": outcome.is_trained}

    def save(self, index: CuratorIndex, sequence: int, epoch: int) -> None:
        write_index(self.files, index, self.files.vectors, sequence, self._collection, epoch)

    def adopt(self) -> None:
        assert self._made is not None, "build or lay_out comes first"
        self._slots.saved()
        self._tuner.adopt(self._made)
        self._made = None  # what serves rests on its file
        self._tuner.save()

    def read(self) -> tuple[CuratorIndex, int, int]:
        index, sequence, epoch = read_index(self.files, self._collection)
        rows = index.state.rows
        named = rows.slots[: rows.n_laid]
        self._slots.leave_unnamed(unnamed(named, max(self._n_slots, index.n_slots_laid)))
        index.skip_slots(self._n_slots)
        return index, sequence, epoch

    def loaded(self, index: CuratorIndex) -> None:
        self._tuner.load(index.state.model)

    def show(self, index: CuratorIndex) -> None:
        self._slots.show(index.state.directories)

    def leave(self) -> None:
        self._slots.leave(self._ended_slots)

    def drop(self, index: CuratorIndex) -> None:
        """What is loaded takes other slots than those that searches go on reading."""
        self._n_slots = max(self._n_slots, index.n_slots)

    def upkeep(self, index: CuratorIndex) -> NDArray[np.uint32]:
        return self._slots.release(self.files.vectors)

    @property
    def is_retraining_wanted(self) -> bool:
        return self._tuner.wanted is not None

    def finish_retraining(self, error: str = "") -> None:
        self._tuner.finish(error)

    def should_measure(self, index: CuratorIndex) -> bool:
        return self._tuner.is_due(index)

    def measure(self, index: CuratorIndex, sequence: int, check: Check) -> None:
        try:
            self._tuner.measure(index, sequence, time.time_ns() // 1_000_000, check)
        except Cancelled:
            raise
        except Exception:
            self._tuner.measured_in_vain(index)
            raise

    def prefault(self) -> None:
        self.files.vectors.prefault()

    def distrust(self) -> None:
        self.files.layout_path.unlink(missing_ok=True)

    def remove(self) -> None:
        self.files.remove()

    def close(self) -> None:
        self.files.close()
