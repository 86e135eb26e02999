"""Which data sets there are, and how one is had by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets import ann_benchmarks, local, made, real
from bench.datasets.parts import Maker, Parts
from bench.tenants.access import single
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, save
from bench.tenants.truth import exact
from bench.tenants.workload import Truth, Workload

__all__ = ["Family", "families", "load", "queries_path", "vectors_path"]

_FORMAT = "v1"
"""In the key of every data set: changed when what is kept of it changes."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of data sets: `make` makes the one of a name; `known` says of each that can be listed what there is of it.

    A maker gives None for a name of another family and raises LeftOut where the set cannot be had.
    """

    make: Maker
    known: Callable[[Store], dict[str, str]]

    @property
    def line(self) -> str:
        """The first line of what the maker says of itself."""
        return (self.make.__doc__ or "").partition("\n")[0]


_FAMILIES: dict[str, Family] = {
    "real": Family(real.parts, real.known),
    "ann-benchmarks": Family(ann_benchmarks.parts, ann_benchmarks.known),
    "local": Family(local.parts, local.known),
    "made": Family(made.parts, made.known),
}


def families() -> dict[str, Family]:
    """Kinds of data sets by name."""
    return dict(_FAMILIES)


def load(name: str, store: Store, seed: int, *, is_quick: bool = False) -> Workload:
    """The data set of that name. Raises LeftOut where there is none of the name, or its files are not there.

    `is_quick`: a small one in its place, generated, for tests of what uses it.
    """
    for family in _FAMILIES.values():
        parts = family.make(name, store, seed, is_quick)
        if parts is not None:
            return _workload(parts.name or name, parts, store)
    raise LeftOut(f"there is no data set {name!r}: `python -m bench datasets` lists them")


def vectors_path(store: Store, workload: Workload) -> Path:
    """The file of a data set's vectors, float32 (n, d)."""
    return store.folder / workload.vectors_key / "vectors.npy"


def queries_path(store: Store, workload: Workload) -> Path:
    """The file of a data set's queries, float32 (q, d)."""
    return store.folder / workload.key / "queries.npy"


def _workload(name: str, parts: Parts, store: Store) -> Workload:
    access = parts.access if parts.access is not None else single(len(parts.vectors))
    askers = parts.askers if parts.askers is not None else np.zeros(len(parts.queries), np.int32)

    def write(folder: Path) -> None:
        truth = parts.truth or exact(parts.metric, parts.vectors, access, parts.queries, askers)
        recorded = parts.queries[:0] if parts.recorded is None else parts.recorded
        save(folder, {"queries": parts.queries, "askers": askers, "recorded": recorded})
        save(folder, {"truth": truth.ids, "truth_distances": truth.distances})

    key = f"dataset-{_FORMAT}-{parts.key}"
    kept = store.arrays(key, write)
    about = {"points": len(parts.vectors), "queries": len(parts.queries), **parts.about}
    return Workload(
        name, parts.metric, parts.vectors, access, kept["queries"], kept["askers"],
        Truth(kept["truth"], kept["truth_distances"]), key, parts.vectors_key, kept["recorded"], about,
    )  # fmt: skip
