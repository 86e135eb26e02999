"""What is known of how well an index works: how its encoding was chosen, what recall costs; and its file.

`tuning.vdb` lies beside the layout and is written more often than it: after every measurement. It holds recorded
queries too. Without it, or for another model than it was made for, all is measured anew.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vdb.errors import CorruptData
from vdb.index.curator.model import Model
from vdb.index.curator.profile import Profile
from vdb.storage.arrays import load_arrays, save_arrays

logger = logging.getLogger(__name__)

LAYOUT = 1
DEFAULT, ROWS, RECORDED, REQUESTED = "default", "rows", "recorded", "requested"
"""How an encoding came to be chosen: not by measurement, by rows held out, by recorded queries, by an admin."""
ORIGINS = (DEFAULT, ROWS, RECORDED, REQUESTED)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Of one model. `recall` and `cost_us` are what the choice expects of a search for 10 of a reading of typical size.

    `n_profiled`: rows that the collection had when `profile` was measured, 0 before it was tried; `n_recorded`:
    recorded queries that it was measured by, beside rows.
    """

    origin: str = DEFAULT
    for_queries: bool = False
    recall: float | None = None
    cost_us: float | None = None
    profile: Profile | None = None
    n_profiled: int = 0
    n_recorded: int = 0


def fingerprint_of(model: Model) -> list[int]:
    """Tells a model from others, but not from itself with more cells."""
    encoding = model.encoding
    checksum = 0 if model.projection is None else crc32(np.ascontiguousarray(model.projection.of_queries).tobytes())
    return [int(encoding.form), encoding.dimension, model.n_trained, checksum]


def write_tuning(path: Path, tuning: Tuning, fingerprint: list[int], queries: NDArray[np.float32]) -> None:
    """Replace the file. Raises StorageFailure."""
    head = {
        "layout": LAYOUT,
        "model": fingerprint,
        "origin": tuning.origin,
        "for_queries": tuning.for_queries,
        "recall": tuning.recall,
        "cost_us": tuning.cost_us,
        "profile": tuning.profile.as_dict() if tuning.profile is not None else None,
        "n_profiled": tuning.n_profiled,
        "n_recorded": tuning.n_recorded,
    }
    save_arrays(path, head, {"queries": queries})


def read_tuning(path: Path, fingerprint: list[int], dimension: int) -> tuple[Tuning, NDArray[np.float32]]:
    """What the file says of a model, and the queries; nothing where there is no file, or none that can be read."""
    nothing = Tuning(), np.empty((0, dimension), np.float32)
    try:
        head, arrays = load_arrays(path)
        queries = _queries(arrays, dimension)
        return (_tuning(head) if head["model"] == fingerprint else Tuning()), queries
    except FileNotFoundError:
        return nothing
    except (CorruptData, KeyError, ValueError, TypeError, AttributeError) as exc:
        logger.warning("what was measured of an index is measured anew", exc_info=exc)
        return nothing


def _queries(arrays: dict[str, Any], dimension: int) -> NDArray[np.float32]:
    queries: NDArray[np.float32] = arrays["queries"]
    if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != dimension:
        raise CorruptData("recorded queries are of another dimension")
    return queries[np.isfinite(queries).all(axis=1)]


def _tuning(head: dict[str, Any]) -> Tuning:
    if head["layout"] != LAYOUT or head["origin"] not in ORIGINS:
        raise CorruptData("the tuning is of another layout")
    profile = head["profile"]
    return Tuning(
        origin=head["origin"],
        for_queries=bool(head["for_queries"]),
        recall=None if head["recall"] is None else float(head["recall"]),
        cost_us=None if head["cost_us"] is None else float(head["cost_us"]),
        profile=None if profile is None else Profile.from_dict(profile),
        n_profiled=int(head["n_profiled"]),
        n_recorded=int(head.get("n_recorded", 0)),  # older files do not say
    )
