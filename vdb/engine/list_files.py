"""The files of an index on disk: `layout.vdb`, its last layout and model; `lists/`, the pages of that layout; and
`vectors.vdb`, which candidates are compared by. What of a build is done lies beside them (`vdb.engine.build_stages`).

All are derived and may be removed at any time while no server runs. What was written after the layout's sequence is in
the collection's log of changes. A layout names a generation of pages, and only its rows' lists, heads and directories
lie in it: no page is read before a search asks for it.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from vdb.engine.index_soundness import check_laid, check_laid_shapes, check_model
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
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.state import Laid
from vdb.storage.arrays import map_arrays, save_arrays, sweep_drafts
from vdb.storage.catalog import CollectionDocument
from vdb.storage.directory import make_folder, remove_folder
from vdb.storage.list_pages import Shape
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric

logger = logging.getLogger(__name__)

LAYOUT = 1
"""Of `layout.vdb` in this folder; one of another version is dropped, and the index built anew."""


class ListFiles:
    """The folder of an index on disk. One thread at a time, but for `distrust`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vectors: VectorsFile | None = None
        self._lists: Lists | None = None

    @property
    def layout_path(self) -> Path:
        return self._folder / "layout.vdb"

    @property
    def vectors_path(self) -> Path:
        return self._folder / "vectors.vdb"

    @property
    def lists_path(self) -> Path:
        return self._folder / "lists"

    def exists(self) -> bool:
        return self.layout_path.exists()

    @property
    def has_folder(self) -> bool:
        """Whether there is anything of an index, whole or not."""
        return self._folder.exists()

    @property
    def vectors(self) -> VectorsFile:
        assert self._vectors is not None, "begin or open comes first"
        return self._vectors

    @property
    def lists(self) -> Lists:
        assert self._lists is not None, "begin or open comes first"
        return self._lists

    def begin(self, dimension: int) -> None:
        """Empty files in place of any there are; whoever holds pages or rows of the old ones keeps them."""
        self.close()
        self.distrust()
        self.vectors_path.unlink(missing_ok=True)
        remove_folder(self.lists_path)
        make_folder(self._folder.absolute())
        self.open(dimension)

    def open(self, dimension: int) -> None:
        """Open the files that are there; raises CorruptData."""
        if self._vectors is None:
            self._vectors = VectorsFile(self.vectors_path, dimension)
        if self._lists is None:
            self._lists = Lists(self.lists_path)

    def sweep(self) -> None:
        """Remove what a crash left half made."""
        sweep_drafts(self._folder)

    def distrust(self) -> None:
        """No later process or load takes the layout."""
        self.layout_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder, the layout first: without it nobody trusts the others."""
        self.close()
        self.distrust()
        remove_folder(self._folder)

    def close(self) -> None:
        for file in (self._vectors, self._lists):
            if file is not None:
                file.close()
        self._vectors = self._lists = None


def write_lists(files: ListFiles, index: SpannIndex, sequence: int, collection: CollectionDocument, epoch: int) -> None:
    """Save the layout of an index, as of `sequence`, under the id `epoch`; the vectors it names are synced before, its
    pages are durable already.

    Nobody reads or writes the index yet: from now on it uses the file's arrays for its own, where they can be mapped.
    """
    vectors, laid = files.vectors, index.state.laid
    vectors.flush()
    vectors.mark(sequence)
    head = layout_head(LAYOUT, collection, sequence, epoch, index.n_slots_laid) | head_of(laid.model)
    head |= {
        "generation": laid.pages.generation,
        "n_rows": laid.n_rows,
        "has_expiry": laid.has_expiry,
        "spread": laid.spread,
    }
    arrays: dict[str, Any] = {name: getattr(laid, name) for name in ("cells", "row_of_pid", "unnamed")}
    save_arrays(files.layout_path, head, arrays | readings_of(laid.directories) | arrays_of(laid.model))
    try:
        _rest_on(files.layout_path, index)
    except VdbError as exc:  # it takes more memory then
        logger.warning("an index is not mapped", exc_info=exc)


def _rest_on(path: Path, index: SpannIndex) -> None:
    """Have the index use the arrays of the file that was just made of its own."""
    laid = index.state.laid
    _, arrays, _ = map_arrays(path, is_checked=False)
    index.rest_on(
        replace(
            laid,
            model=laid.model.resting_on(arrays["centroid"]),
            directories=directories_in(arrays),
            cells=arrays["cells"],
            row_of_pid=arrays["row_of_pid"],
            unnamed=arrays["unnamed"],
        )
    )


def read_lists(files: ListFiles, collection: CollectionDocument) -> tuple[SpannIndex, int, int]:
    """The index of the files, the sequence it stands at, and its id; raises CorruptData, FileNotFoundError.

    Of `lists/` the head of the generation and the places of its pages are read, no page.
    """
    head, arrays, _ = map_arrays(files.layout_path)
    try:
        check_belongs(head, LAYOUT, collection)
        sequence, n_slots, n_rows = (number_in(head, name) for name in ("sequence", "n_slots", "n_rows"))
        if not files.vectors_path.exists() or not files.lists_path.exists():
            raise CorruptData("the index's files are not all there")
        files.open(collection.dimension)
        if files.vectors.marked_sequence < sequence or n_slots > files.vectors.n_slots:
            raise CorruptData("the index's files do not belong together")
        encoding = encoding_in(head)
        check_laid_shapes(arrays, n_rows, collection.dimension, encoding, head["is_projected"])
        model = model_in(collection.metric, head, arrays)
        check_model(model)
        check_laid(arrays, len(model.leaves), len(model.children), n_slots)
        laid = _laid(files, head, arrays, model, sequence)
        shape = Shape(encoding.row_bytes, 2 + (collection.metric is Metric.L2) + laid.has_expiry)
        if laid.pages.shape != shape or laid.pages.n_rows != n_rows:
            raise CorruptData("the index's pages are not those of its layout")
        return SpannIndex(laid, files.vectors, n_slots), sequence, number_in(head, "epoch")
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as exc:
        raise CorruptData(f"the index's layout is not one: {exc}") from exc


def _laid(files: ListFiles, head: dict[str, Any], arrays: dict[str, Any], model: Any, sequence: int) -> Laid:
    has_expiry, spread = head["has_expiry"], head["spread"]
    if not isinstance(has_expiry, bool) or not isinstance(spread, float | int) or not 0 <= spread < float("inf"):
        raise CorruptData("the index's layout has no spread")
    return Laid(
        model=model,
        pages=files.lists.open(number_in(head, "generation")),
        directories=directories_in(arrays),
        vectors=files.vectors.rows,
        cells=arrays["cells"],
        row_of_pid=arrays["row_of_pid"],
        unnamed=arrays["unnamed"],
        has_expiry=has_expiry,
        spread=float(spread),
        base_sequence=sequence,
    )
