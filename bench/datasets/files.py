"""A set made of files that a user brought: converted once for each content, with its checksums in the report."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.checksum import sha256
from bench.datasets.given import checked
from bench.datasets.matrices import Matrix, converted, opened, whole
from bench.datasets.parts import Parts
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, load_facts, save, save_facts
from bench.tenants.workload import Truth

__all__ = ["Place", "from_files"]

_FORMAT = "v1"
"""In the key of what is made of files: changed when it changes."""

_N_QUERIES = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """A matrix: a file, and the name in it where it has several."""

    path: Path
    name: str = ""


def from_files(
    metric: str, base: Place, queries: Place | None, neighbours: Place | None, store: Store, seed: int
) -> Parts:
    """The set of these files, with the first 1,000 queries.

    Without queries the last rows of the base are, a tenth and at most 1,000, and are not stored. Vectors and queries
    are normalised for "cosine". Neighbours are rows of the base, (q, at least 10). Raises LeftOut where a file will
    not do.
    """
    places = [place for place in (base, queries, neighbours) if place is not None]
    digests = {path.name: sha256(path, store) for path in dict.fromkeys(place.path for place in places)}
    content = "-".join([metric, *digests.values(), *(place.name for place in places), str(seed)])
    key = f"file-{hashlib.sha256(content.encode()).hexdigest()[:24]}-{_FORMAT}"

    def write(folder: Path) -> None:
        _write(folder, metric, base, queries, neighbours, seed)

    kept = store.arrays(key, write)
    facts = load_facts(store.folder / key)
    truth = Truth(kept["truth"], kept["truth_distances"]) if "truth" in kept else None
    about: dict[str, object] = {"sha256": digests, **facts}
    return Parts(metric, kept["vectors"], key, kept["queries"], key, truth=truth, about=about)


def _write(folder: Path, metric: str, base: Place, queries: Place | None, neighbours: Place | None, seed: int) -> None:
    """Vectors, queries, the truth where the set's own will do, and what is to be said of them."""
    facts: dict[str, Any] = {}
    is_normalised = metric == "cosine"
    with opened(base.path) as matrices:
        rows = _needed(matrices(base.name), base)
        n = len(rows)
        if queries is None:
            n_held = min(_N_QUERIES, n // 10)
            if not n_held:
                raise LeftOut(f"{base.path}: too few rows to hold some out as queries; name a file of them")
            n -= n_held
            facts["held out as queries"] = n_held
            held = _Rows(rows, n)
            n_zero_queries = converted(held, n_held, folder / "queries.npy", is_normalised=is_normalised)
        n_zero = converted(rows, n, folder / "vectors.npy", is_normalised=is_normalised)
    if queries is not None:
        with opened(queries.path) as matrices:
            asked = _needed(matrices(queries.name), queries)
            n_asked = min(_N_QUERIES, len(asked))
            n_zero_queries = converted(asked, n_asked, folder / "queries.npy", is_normalised=is_normalised)
    facts |= {name: n for name, n in (("zeros left out", n_zero), ("zero queries left out", n_zero_queries)) if n}
    made, ask = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    if made.shape[1] != ask.shape[1]:
        raise LeftOut(f"{base.path} has {made.shape[1]} dimensions, its queries have {ask.shape[1]}")
    if not len(made) or not len(ask):
        raise LeftOut(f"{base.path}: all vectors or all queries are zeros")
    given = None
    if neighbours is not None and not n_zero and not n_zero_queries and queries is not None:
        with opened(neighbours.path) as matrices:
            found = matrices(neighbours.name)
            given = None if found is None else whole(found, _N_QUERIES)
    truth, facts["neighbours"] = checked(metric, made, ask, given, seed)
    if truth is not None:
        save(folder, {"truth": truth.ids, "truth_distances": truth.distances})
    save_facts(folder, facts)


def _needed(found: Matrix | None, place: Place) -> Matrix:
    if found is None:
        raise LeftOut(f"{place.path} has no dataset {place.name!r}")
    return found


class _Rows:
    """The rows of a matrix from one on."""

    def __init__(self, matrix: Matrix, first: int) -> None:
        self._matrix, self._first = matrix, first
        self.shape: Sequence[int] = (len(matrix) - first, matrix.shape[1])
        self.dtype = matrix.dtype

    def __getitem__(self, part: slice) -> Any:
        return self._matrix[self._first + (part.start or 0) : self._first + part.stop]
