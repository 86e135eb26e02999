"""Which data sets there are, and how one is had by its name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.datasets import real
from bench.datasets.parts import Parts
from bench.tenants.access import single
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store, save
from bench.tenants.truth import exact
from bench.tenants.workload import Truth, Workload

__all__ = ["families", "load", "queries_path", "vectors_path"]

_FORMAT = "v1"
"""In the key of every data set: changed when what is kept of it changes."""

Maker = Callable[[str, Store, int, bool], Parts | None]
_FAMILIES: dict[str, Maker] = {"real": real.parts}


def families() -> dict[str, str]:
    """Kinds of data sets, with the first line of what each says of itself."""
    return {name: (maker.__doc__ or "").partition("\n")[0] for name, maker in _FAMILIES.items()}


def load(name: str, store: Store, seed: int, *, is_quick: bool = False) -> Workload:
    """The data set of that name. Raises LeftOut where there is none of the name, or its files are not there.

    `is_quick`: a small one in its place, generated, for tests of what uses it.
    """
    for maker in _FAMILIES.values():
        parts = maker(name, store, seed, is_quick)
        if parts is not None:
            return _workload(name, parts, store)
    raise LeftOut(f"there is no data set {name!r}")


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
        truth = exact(parts.metric, parts.vectors, access, parts.queries, askers)
        save(folder, {"queries": parts.queries, "askers": askers, "recorded": parts.queries[:0]})
        save(folder, {"truth": truth.ids, "truth_distances": truth.distances})

    key = f"dataset-{_FORMAT}-{parts.key}"
    kept = store.arrays(key, write)
    about = {"points": len(parts.vectors), "queries": len(parts.queries), **parts.about}
    return Workload(
        name, parts.metric, parts.vectors, access, kept["queries"], kept["askers"],
        Truth(kept["truth"], kept["truth_distances"]), key, parts.vectors_key, kept["recorded"], about,
    )  # fmt: skip
