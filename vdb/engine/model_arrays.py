"""A model, and the readings of a layout, as the arrays of a file, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.state import Directories
from vdb.index.leanvec.projection import Projection
from vdb.storage.catalog import CollectionDocument
from vdb.types import Metric

_READINGS = ("tenants", "spans", "entries", "listed")


def arrays_of(model: Model) -> dict[str, NDArray[Any]]:
    """What a file has of it beside `head_of`."""
    arrays: dict[str, NDArray[Any]] = {
        "children": model.children,
        "centroid": model.centroid,
        "radius": model.radius,
    }
    if model.projection is not None:
        projection = model.projection
        arrays |= {
            "of_queries": projection.of_queries,
            "of_rows": projection.of_rows,
            "mean": projection.mean,
            "energy": projection.energy,
        }
    return arrays


def head_of(model: Model) -> dict[str, Any]:
    """What a file's head says of it; the metric is the collection's."""
    return {
        "form": int(model.encoding.form),
        "dimension": model.encoding.dimension,
        "n_trained": model.n_trained,
        "is_projected": model.projection is not None,
    }


def layout_head(
    version: int, collection: CollectionDocument, sequence: int, epoch: int, n_slots: int
) -> dict[str, Any]:
    """What the head of every layout says beside that."""
    return {
        "layout": version,
        "collection": [collection.id, collection.created_at_ms],
        "sequence": sequence,
        "epoch": epoch,
        "n_slots": n_slots,
    }


def readings_of(directories: Directories) -> dict[str, NDArray[Any]]:
    """What a layout has of all readings."""
    return {name: getattr(directories, name) for name in _READINGS}


def directories_in(arrays: Mapping[str, NDArray[Any]]) -> Directories:
    """The readings of a layout."""
    return Directories(*(arrays[name] for name in _READINGS))


def check_belongs(head: Mapping[str, Any], version: int, collection: CollectionDocument) -> None:
    """Raise CorruptData unless a head is that of a layout of this version, and of this collection."""
    if head["layout"] != version:
        raise CorruptData(f"the index's layout is of version {head['layout']}, not {version}")
    if head["collection"] != [collection.id, collection.created_at_ms]:
        raise CorruptData("the index's files do not belong together")


def number_in(head: Mapping[str, Any], name: str) -> int:
    """A number of a file's head; raises CorruptData where it is none."""
    number = head[name]
    if not isinstance(number, int) or not 0 <= number < 1 << 64:
        raise CorruptData(f"the file's head has no {name}")
    return number


def encoding_in(head: Mapping[str, Any]) -> Encoding:
    """How rows are coded, as a head says; raises CorruptData, ValueError."""
    return Encoding(Form(head["form"]), number_in(head, "dimension"))


def model_in(metric: Metric, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Model:
    """The model of a file whose arrays have the right types and shapes; raises CorruptData."""
    projection = None
    if head["is_projected"]:
        of_queries, of_rows = arrays["of_queries"], arrays["of_rows"]
        is_of_rows = np.array_equal(of_queries, of_rows)  # one array for both then: whoever asks again sees it at once
        projection = Projection(of_rows if is_of_rows else of_queries, of_rows, arrays["mean"], arrays["energy"])
    parts = arrays["children"], arrays["centroid"], arrays["radius"]
    return Model(metric, encoding_in(head), projection, *parts, number_in(head, "n_trained"))
