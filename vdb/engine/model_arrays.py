"""A model as the arrays of a file, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.leanvec.projection import Projection
from vdb.types import Metric


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


def number_in(head: Mapping[str, Any], name: str) -> int:
    """A number of a file's head; raises CorruptData where it is none."""
    number = head[name]
    if not isinstance(number, int) or number < 0:
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
