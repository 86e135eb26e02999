"""Sets of the user's own files: `file:PATH?queries=PATH&neighbours=PATH&metric=l2`.

`.npy`, `.fvecs` and `.bvecs` hold one matrix; HDF5 holds `train`, `test` and `neighbors`, and its metric in the
attribute `distance`. All after the path may be left out: the last rows are then the queries, of `NAME_base.fvecs` those
of `NAME_query.fvecs` beside it with the neighbours of `NAME_groundtruth.ivecs`, and the metric is l2. Other paths are
relative to the first.
"""

from pathlib import Path
from urllib.parse import parse_qsl

from bench.datasets.files import Place, from_files
from bench.datasets.matrices import HDF5_SUFFIXES, attribute, opened
from bench.datasets.parts import Parts, stand_in
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store

__all__ = ["known", "parts"]

_PREFIX = "file:"
_METRICS = {
    "angular": "cosine",
    "cosine": "cosine",
    "dot": "ip",
    "euclidean": "l2",
    "ip": "ip",
    "l2": "l2",
}
_OPTIONS = ("metric", "neighbours", "queries")


def parts(name: str, store: Store, seed: int, is_quick: bool) -> Parts | None:
    """`file:PATH?queries=PATH&metric=cosine`: .npy, .hdf5, .fvecs, .bvecs; without queries some rows are held out."""
    if not name.startswith(_PREFIX):
        return None
    path_text, _, rest = name.removeprefix(_PREFIX).partition("?")
    options = dict(parse_qsl(rest, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown or (rest and not options):
        raise LeftOut(f"{name}: after ? come {', '.join(_OPTIONS)}, as NAME=VALUE with & between")
    base = Path(path_text).expanduser()
    if is_quick:
        return stand_in(_metric(options.get("metric", "l2")), store, seed)
    if not base.is_file():
        raise LeftOut(f"there is no file {base}")
    queries = _other(options.get("queries"), base, "test")
    neighbours = _other(options.get("neighbours"), base, "neighbors")
    metric = options.get("metric", "l2")
    if base.suffix in HDF5_SUFFIXES:
        metric = options.get("metric") or attribute(base, "distance") or "l2"
        queries = queries or _inside(base, "test")
        neighbours = neighbours or _inside(base, "neighbors")
    elif base.stem.endswith("_base"):
        queries = queries or _beside(base, "query", base.suffix)
        neighbours = neighbours or _beside(base, "groundtruth", ".ivecs")
    found = from_files(_metric(metric), Place(base, "train"), queries, neighbours, store, seed)
    return _named(found, base)


def known(_: Store) -> dict[str, str]:
    """Nothing is known before it is named."""
    return {"file:PATH": "any file"}


def _named(found: Parts, base: Path) -> Parts:
    """A report shows the file's own name, not where it lies."""
    about = {"source": "a local file", **found.about}
    return Parts(
        found.metric, found.vectors, found.vectors_key, found.queries, found.key,
        truth=found.truth, name=f"{_PREFIX}{base.name}", about=about,
    )  # fmt: skip


def _metric(word: str) -> str:
    if word.lower() not in _METRICS:
        raise LeftOut(f"{word!r} is no metric: l2, cosine or ip")
    return _METRICS[word.lower()]


def _other(text: str | None, base: Path, name: str) -> Place | None:
    return None if text is None else Place(base.parent / Path(text).expanduser(), name)


def _beside(base: Path, what: str, suffix: str) -> Place | None:
    path = base.with_name(f"{base.stem.removesuffix('_base')}_{what}{suffix}")
    return Place(path) if path.is_file() else None


def _inside(base: Path, name: str) -> Place | None:
    with opened(base) as matrices:
        return Place(base, name) if matrices(name) is not None else None
