"""Sets of ann-benchmarks by their names, as HDF5 files that the user downloads."""

import re
from pathlib import Path

from bench.datasets.files import Place, from_files
from bench.datasets.parts import Parts, stand_in
from bench.tenants import growth
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store

__all__ = ["NAMES", "known", "parts"]

NAMES = (
    "coco-i2i-512-angular",
    "coco-t2i-512-angular",
    "deep-image-96-angular",
    "fashion-mnist-784-euclidean",
    "gist-960-euclidean",
    "glove-25-angular",
    "glove-50-angular",
    "glove-100-angular",
    "glove-200-angular",
    "lastfm-64-dot",
    "mnist-784-euclidean",
    "nytimes-16-angular",
    "nytimes-256-angular",
    "random-s-100-angular",
    "random-s-100-euclidean",
    "random-xs-20-angular",
    "random-xs-20-euclidean",
    "sift-128-euclidean",
)
"""Those known to be there; others of the same form are looked for too."""

_METRICS = {"angular": "cosine", "euclidean": "l2", "dot": "ip"}
_OTHERS = ("hamming", "jaccard")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*-(angular|euclidean|dot|hamming|jaccard)")
_URL = "https://ann-benchmarks.com"


def parts(name: str, store: Store, seed: int, is_quick: bool) -> Parts | None:
    """`sift-128-euclidean`, `glove-100-angular` and others of ann-benchmarks: `<name>.hdf5`, put into VDB_DATASETS."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    if found[1] in _OTHERS:
        raise LeftOut(f"{name}: the metric {found[1]} is none of ours")
    metric = _METRICS[found[1]]
    if is_quick:
        return stand_in(metric, store, seed)
    path = _file(name, store)
    if path is None:
        folders = " or ".join(map(str, _folders(store)))
        raise LeftOut(f"there is no {name}.hdf5: download {_URL}/{name}.hdf5 and put it into {folders}")
    made = from_files(metric, Place(path, "train"), Place(path, "test"), Place(path, "neighbors"), store, seed)
    made.about["source"] = f"ann-benchmarks, {name}.hdf5"
    return made


def known(store: Store) -> dict[str, str]:
    """The names, with whether their files are there."""
    return {name: "there" if _file(name, store) else f"not there: {_URL}/{name}.hdf5" for name in NAMES}


def _file(name: str, store: Store) -> Path | None:
    return next((path for folder in _folders(store) if (path := folder / f"{name}.hdf5").is_file()), None)


def _folders(store: Store) -> tuple[Path, Path]:
    return growth.datasets(), store.folder
