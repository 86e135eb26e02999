"""The files of an index: `layout.vdb`, its last layout and model, `vectors.vdb`, which it ranks candidates by, and
`tuning.vdb` (see `vdb.engine.tuning`).

All are derived and may be removed at any time while no server runs. What was written after the layout's sequence is in
the collection's log of changes. The large arrays of an index that answers are private mappings of its layout's file:
what no write has touched since takes no memory that the system cannot have back.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vdb.engine.index_soundness import check_directories, check_model, check_rows, check_shapes
from vdb.engine.model_arrays import (
    arrays_of,
    check_belongs,
    directories_in,
    encoding_in,
    head_of,
    layout_head,
    model_in,
    number_in,
    readings_of,
)
from vdb.errors import CorruptData, VdbError
from vdb.index.curator.index import CuratorIndex
from vdb.index.curator.layout import room_for
from vdb.index.curator.state import ALIVE, Rows, State
from vdb.storage.arrays import Capacity, map_arrays, save_arrays, sweep_drafts
from vdb.storage.catalog import CollectionDocument
from vdb.storage.directory import make_folder
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

logger = logging.getLogger(__name__)

LAYOUT = 2
"""Of `layout.vdb`; one of another version is dropped, and the index built anew."""
_ROWS = ("codes", "offsets", "pids", "slots", "owners", "cells", "expires_at")


class Files:
    """The folder of an index. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vectors: VectorsFile | None = None

    @property
    def layout_path(self) -> Path:
        return self._folder / "layout.vdb"

    @property
    def vectors_path(self) -> Path:
        return self._folder / "vectors.vdb"

    @property
    def tuning_path(self) -> Path:
        return self._folder / "tuning.vdb"

    def exists(self) -> bool:
        return self.layout_path.exists() and self.vectors_path.exists()

    @property
    def has_any(self) -> bool:
        """Whether there is anything of an index, whole or not."""
        return any(path.exists() for path in (self.layout_path, self.vectors_path, self.tuning_path))

    @property
    def vectors(self) -> VectorsFile:
        assert self._vectors is not None, "new_vectors or old_vectors comes first"
        return self._vectors

    def new_vectors(self, dimension: int) -> VectorsFile:
        """An empty vectors file in place of any there is; whoever holds rows of the old one keeps them."""
        self.remove()
        make_folder(self._folder.absolute())
        self._vectors = VectorsFile(self.vectors_path, dimension)
        return self._vectors

    def old_vectors(self, dimension: int) -> VectorsFile:
        """The vectors file that is there; raises CorruptData."""
        if self._vectors is None:
            self._vectors = VectorsFile(self.vectors_path, dimension)
        return self._vectors

    def remove(self) -> None:
        """Remove the files, the layout first: without it nobody trusts the vectors."""
        self.close()
        self.layout_path.unlink(missing_ok=True)
        self.vectors_path.unlink(missing_ok=True)
        self.tuning_path.unlink(missing_ok=True)
        if self._folder.exists():
            sweep_drafts(self._folder)

    def close(self) -> None:
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None


def write_index(
    files: Files, index: CuratorIndex, vectors: VectorsFile, sequence: int, collection: CollectionDocument, epoch: int
) -> None:
    """Save the last layout of an index, as of `sequence`, under the id `epoch`; the vectors it names are synced before.

    Nobody reads or writes the index yet: from now on it uses the file's arrays for its own, where they can be mapped.
    """
    vectors.flush()
    vectors.mark(sequence)
    state = index.state
    rows, directories, model = state.rows, state.directories, state.model
    n = rows.n_laid
    arrays: dict[str, Any] = {name: getattr(rows, name)[:n] for name in _ROWS}
    arrays |= readings_of(directories) | arrays_of(model)
    head = layout_head(LAYOUT, collection, sequence, epoch, index.n_slots_laid) | head_of(model)
    save_arrays(files.layout_path, head, arrays)
    try:
        _rest_on(files.layout_path, index)
    except VdbError as exc:  # it takes more memory then
        logger.warning("an index is not mapped", exc_info=exc)


def _rest_on(path: Path, index: CuratorIndex) -> None:
    """Have the index use the arrays of the file that was just made of its own."""
    state = index.state
    _, arrays, roomy = map_arrays(path, _capacity(state.model.metric), is_checked=False)
    of_rows: dict[str, Any] = {name: roomy[name] for name in _ROWS}
    rows = replace(state.rows, **of_rows)
    directories = directories_in(arrays)
    model = state.model.resting_on(arrays["centroid"])
    index.rest_on(replace(state, model=model, rows=rows, directories=directories, seen={}))


def _capacity(metric: Metric) -> Capacity:
    """Arrays of rows have room for later ones, where they have rows at all."""

    def rows_of(name: str, n: int) -> int:
        is_absent = (name == "offsets" and metric is not Metric.L2) or (name == "expires_at" and not n)
        return room_for(n) if name in _ROWS and not is_absent else n

    return rows_of


def read_index(files: Files, collection: CollectionDocument) -> tuple[CuratorIndex, int, int]:
    """The index of the files, the sequence it stands at, and its id; raises CorruptData, FileNotFoundError."""
    head, arrays, roomy = map_arrays(files.layout_path, _capacity(collection.metric))
    try:
        check_belongs(head, LAYOUT, collection)
        sequence, n_slots = number_in(head, "sequence"), number_in(head, "n_slots")
        vectors = files.old_vectors(collection.dimension)
        if vectors.marked_sequence < sequence or n_slots > vectors.n_slots:
            raise CorruptData("the index's files do not belong together")
        encoding = encoding_in(head)
        check_shapes(arrays, collection.metric, collection.dimension, encoding, head["is_projected"])
        model = model_in(collection.metric, head, arrays)
        check_model(model)
        check_rows(arrays, len(model.leaves), n_slots)
        check_directories(arrays, len(model.children))
        rows = _rows(roomy, len(arrays["pids"]), sequence)
        state = State(model, rows, directories_in(arrays), {}, vectors.rows, sequence)
        return CuratorIndex(state, vectors, n_slots), sequence, number_in(head, "epoch")
    except (KeyError, ValueError, TypeError, IndexError) as exc:
        raise CorruptData(f"the index's layout is not one: {exc}") from exc


def _rows(roomy: dict[str, Any], n: int, sequence: int) -> Rows:
    capacity = room_for(n)
    dead_at = np.empty(capacity, np.uint32)
    dead_at[:n] = ALIVE
    return Rows(
        dead_at=dead_at,
        added_at=np.empty(capacity - n, np.uint32),
        n_laid=n,
        base_sequence=sequence,
        **{name: roomy[name] for name in _ROWS},
    )
