"""Indexes whose posting lists lie on disk: how they are built, saved, read and folded. They are not tuned."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.engine.build_stages import BuildStages, Gathered
from vdb.engine.commit import CommitQueue
from vdb.engine.index_kind import Check
from vdb.engine.list_figures import Folds
from vdb.engine.list_files import ListFiles, read_lists, write_lists
from vdb.engine.pace import Cancelled
from vdb.engine.slots import OldSlots
from vdb.index.curator.model import Model
from vdb.index.curator.state import NO_PLACES
from vdb.index.curator.training import train
from vdb.index.spann.coding import default_encoding
from vdb.index.spann.deepening import deepened
from vdb.index.spann.fold import folded
from vdb.index.spann.giving_back import give_back
from vdb.index.spann.index import Moment, SpannIndex
from vdb.kernels import current
from vdb.storage.catalog import CollectionDocument
from vdb.storage.env import Environment

BUILD_FOLDER = "build"


class DiskKind:
    """Of one collection. One thread at a time."""

    def __init__(self, collection: CollectionDocument, folder: Path, queue: CommitQueue[Any]) -> None:
        self.files = ListFiles(folder)
        self.stages = BuildStages(folder / BUILD_FOLDER, collection, queue)
        self.folds = Folds()
        self._collection = collection
        self._slots = OldSlots()
        self._n_slots = 0
        self._ended_slots = NO_PLACES
        self._told = Folds()
        self._has_new_model = False
        self._saved_generation: int | None = None
        self._must_sweep = False

    def exists(self) -> bool:
        return self.files.exists()

    @property
    def has_files(self) -> bool:
        return self.files.has_folder

    def build(self, env: Environment, check: Check) -> tuple[SpannIndex, int]:
        """Goes on where a build was given up before: then it stands at a sequence of that time."""
        try:
            return self._built(env, check)
        except Cancelled:
            raise
        except BaseException:
            with suppress(OSError):  # what stays is removed when the next is begun
                self.remove()
            raise

    def _built(self, env: Environment, check: Check) -> tuple[SpannIndex, int]:
        """Vectors are read once into a file in the order of points, then laid out in another."""
        collection, files, stages = self._collection, self.files, self.stages
        self._n_slots, self._saved_generation, self._has_new_model = 0, None, True
        self._slots.clear()
        given = stages.gathered(env, check)
        tree, cells = stages.deepened(given, lambda: self._deepened(given, check))
        stages.write()
        files.begin(collection.dimension)
        index = SpannIndex.build(
            tree, given.pids, given.owners, given.expires_at_ms, given.tenants, (given.starts, given.pairs),
            given.vectors, files.vectors, files.lists, given.sequence, check=check, deep=(tree, cells),
        )  # fmt: skip
        return index, given.sequence

    def _deepened(self, given: Gathered, check: Check) -> tuple[Model, NDArray[np.uint32]]:
        collection, n = self._collection, len(given.pids)
        encoding = default_encoding(collection.dimension)
        model = train(given.sample(collection.id), n, collection.metric, encoding, check=check)
        check()
        return deepened(replace(model, n_trained=n), given.vectors.rows[:n], current(), check)

    def lay_out(
        self, index: SpannIndex, moment: Moment, is_forced: bool, check: Check
    ) -> tuple[SpannIndex, dict[str, Any]]:
        self._must_sweep = True  # a fold that is given up leaves a part of a generation
        outcome = folded(index, moment, self.files.lists, check)
        self._ended_slots = outcome.ended_slots
        self._told = Folds(1, outcome.n_rows, outcome.n_split, outcome.n_moved)
        self._has_new_model = outcome.index.state.model is not index.state.model
        return outcome.index, {"late": outcome.n_rows, "split": outcome.n_split, "moved": outcome.n_moved}

    def save(self, index: SpannIndex, sequence: int, epoch: int) -> None:
        generation, centroid = index.state.laid.pages.generation, index.state.model.centroid
        write_lists(self.files, index, sequence, self._collection, epoch)
        if self._has_new_model and index.state.model.centroid is not centroid:
            give_back(centroid)  # it lies in the file now
        self._saved_generation = generation

    def adopt(self) -> None:
        self.stages.remove()
        self._slots.saved()
        self._must_sweep = True

    def read(self) -> tuple[SpannIndex, int, int]:
        index, sequence, epoch = read_lists(self.files, self._collection)
        laid = index.state.laid
        later = np.arange(index.n_slots_laid, max(self._n_slots, index.n_slots_laid), dtype=np.uint32)
        self._slots.leave_unnamed(np.concatenate((laid.unnamed, later)))
        index.skip_slots(self._n_slots)
        self._saved_generation, self._must_sweep = laid.pages.generation, True
        return index, sequence, epoch

    def loaded(self, index: SpannIndex) -> None:
        """All that is known of it lies in its layout."""

    def show(self, index: SpannIndex) -> None:
        self._slots.show(index.state.directories)

    def leave(self) -> None:
        self._slots.leave(self._ended_slots)
        self.folds = self.folds.plus(self._told)

    def drop(self, index: SpannIndex) -> None:
        """What is loaded takes other slots than those that searches go on reading."""
        self._n_slots = max(self._n_slots, index.n_slots)

    def upkeep(self, index: SpannIndex) -> NDArray[np.uint32]:
        """Also removes pages that neither the saved layout names nor anybody reads."""
        if self._must_sweep:
            self.stages.remove()
            self.files.sweep()
            self._must_sweep = not self.files.lists.sweep(kept=self._saved_generation)
        return self._slots.release(self.files.vectors)

    @property
    def is_retraining_wanted(self) -> bool:
        return False

    def finish_retraining(self, error: str = "") -> None:
        """Nobody waits for it."""

    def should_measure(self, index: SpannIndex) -> bool:
        return False

    def measure(self, index: SpannIndex, sequence: int, check: Check) -> None:
        """Nothing is measured."""

    def prefault(self) -> None:
        """They stay on disk."""

    def distrust(self) -> None:
        self.files.distrust()

    def remove(self) -> None:
        self.stages.close()
        self.files.remove()

    def close(self) -> None:
        self.stages.close()
        self.files.close()
