"""What exact search is asked about: vectors with owners, grants and payloads, from real data sets or from a seed.

Real data lies in the folder that VDB_DATASETS names, or in `../shared/data`; a set that is not there is left out.
"""

import gzip
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.record import ROOT
from vdb.types import EVERYONE

Filter = dict[str, Any] | None
Matches = NDArray[np.bool_]

_PUBLIC_SHARE = 0.05
_MAX_GRANTEES = 3


@dataclass(frozen=True, slots=True)
class Corpus:
    """Points and queries. `owners` has a tenant per row, `shared_with` the tenants who may see it besides, or `*`.

    `filters` names each filter, as a request says it, and the rows (n,) that satisfy it, as NumPy says it.
    """

    name: str
    metric: str
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    owners: Sequence[str]
    shared_with: Sequence[Sequence[str]]
    payloads: Sequence[dict[str, Any]]
    filters: dict[str, tuple[Filter, Matches]]

    @property
    def tenants(self) -> list[str]:
        """Every owner, largest first."""
        names, counts = np.unique(np.array(self.owners), return_counts=True)
        return [str(names[i]) for i in np.argsort(-counts, kind="stable")]

    def visible_to(self, tenant: str) -> Matches:
        """The rows a tenant may see: own, granted, everyone's."""
        pairs = zip(self.owners, self.shared_with, strict=True)
        return np.array([owner == tenant or tenant in names or EVERYONE in names for owner, names in pairs])


def corpora(n: int, n_queries: int, seed: int) -> Iterator[Corpus]:
    """Seeded corpora of every metric, then the real ones that are there; at most `n` rows and `n_queries` queries."""
    for metric in ("cosine", "l2", "ip"):
        yield seeded(metric, n, n_queries, seed)
    folder = Path(os.environ.get("VDB_DATASETS", ROOT.parent / "shared" / "data"))
    if (folder / "arxiv").is_dir():
        yield _arxiv(folder / "arxiv", "cosine", n, n_queries, seed)
        yield _arxiv(folder / "arxiv", "ip", n, n_queries, seed)
    if (folder / "fashion_mnist").is_dir():
        yield _fashion(folder / "fashion_mnist", n, n_queries, seed)


def seeded(metric: str, n: int, n_queries: int, seed: int) -> Corpus:
    """A mixture of 16 clusters in 48 dimensions, every tenth row a twin of its neighbour, every hundredth zero."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((16, 48))

    def drawn(size: int) -> NDArray[np.float32]:
        return (centres[rng.integers(16, size=size)] + 0.3 * rng.standard_normal((size, 48))).astype(np.float32)

    vectors = drawn(n)
    vectors[9::10] = vectors[8::10][: len(vectors[9::10])]
    vectors[99::100] = 0
    owners = [f"t{number}" for number in rng.zipf(1.5, n) % 20]
    years = rng.integers(1990, 2030, n)
    payloads = [{"year": int(year), "lang": "en" if year % 2 else "de"} for year in years]
    filters: dict[str, tuple[Filter, Matches]] = {
        "no filter": (None, np.ones(n, np.bool_)),
        "weak filter": ({"field": "lang", "eq": "en"}, years % 2 == 1),
        "strong filter": ({"field": "year", "eq": 2001}, years == 2001),
    }
    return Corpus(
        f"seeded {metric}", metric, vectors, drawn(n_queries), owners, _shared(rng, owners), payloads, filters
    )


def _arxiv(folder: Path, metric: str, n: int, n_queries: int, seed: int) -> Corpus:
    """Abstracts: the first category owns, the others are granted. For ip the norms are made to vary."""
    rng = np.random.default_rng(seed)
    vectors = _normalised(np.load(folder / "base_f16.npy")[:n])
    queries = _normalised(np.load(folder / "query_f16.npy")[:n_queries])
    if metric == "ip":
        vectors *= rng.uniform(0.5, 2.0, (len(vectors), 1)).astype(np.float32)
    with gzip.open(folder / "base.jsonl.gz", "rt", encoding="utf-8") as lines:
        papers = [json.loads(line) for _, line in zip(range(len(vectors)), lines, strict=False)]
    categories = [paper["categories"] for paper in papers]
    owners = [_tenant(names[0]) for names in categories]
    shared = [[_tenant(name) for name in names[1:]] for names in categories]
    for row in np.flatnonzero(rng.random(len(papers)) < _PUBLIC_SHARE).tolist():
        shared[row] = [EVERYONE]
    n_authors = np.array([paper["n_authors"] for paper in papers])
    has_lg = np.array(["cs.LG" in names for names in categories])
    filters: dict[str, tuple[Filter, Matches]] = {
        "no filter": (None, np.ones(len(papers), np.bool_)),
        "weak filter": ({"field": "n_authors", "gte": 3}, n_authors >= 3),
        "strong filter": (
            {"and": [{"field": "categories", "contains": "cs.LG"}, {"field": "n_authors", "gt": 8}]},
            has_lg & (n_authors > 8),
        ),
    }
    payloads = [{"n_authors": paper["n_authors"], "categories": paper["categories"]} for paper in papers]
    return Corpus(f"arxiv {metric}", metric, vectors, queries, owners, shared, payloads, filters)


def _fashion(folder: Path, n: int, n_queries: int, seed: int) -> Corpus:
    """Images: four tenants hold them at random, the label is in the payload."""
    rng = np.random.default_rng(seed)
    vectors = np.load(folder / "train_u8.npy")[:n].astype(np.float32)
    queries = np.load(folder / "test_u8.npy")[:n_queries].astype(np.float32)
    labels = np.load(folder / "train_labels.npy")[:n].astype(np.int64)
    owners = [f"t{number}" for number in rng.integers(4, size=len(vectors))]
    payloads = [{"label": int(label)} for label in labels]
    filters: dict[str, tuple[Filter, Matches]] = {
        "no filter": (None, np.ones(len(vectors), np.bool_)),
        "weak filter": ({"not": {"field": "label", "eq": 3}}, labels != 3),
        "strong filter": ({"field": "label", "in": [7]}, labels == 7),
    }
    return Corpus("fashion-mnist l2", "l2", vectors, queries, owners, _shared(rng, owners), payloads, filters)


def _shared(rng: np.random.Generator, owners: Sequence[str]) -> list[list[str]]:
    """Random grants: a fifth of the rows to one to three other tenants, a twentieth to everyone."""
    names = sorted(set(owners))
    drawn = rng.random(len(owners))
    shared: list[list[str]] = []
    for owner, chance in zip(owners, drawn.tolist(), strict=True):
        if chance < _PUBLIC_SHARE:
            shared.append([EVERYONE])
        elif chance < _PUBLIC_SHARE + 0.2:
            chosen = rng.choice(names, min(len(names), int(rng.integers(1, _MAX_GRANTEES + 1))), replace=False)
            shared.append([str(name) for name in chosen if name != owner])
        else:
            shared.append([])
    return shared


def _tenant(category: str) -> str:
    """A category as the name of a tenant."""
    return re.sub(r"[^a-z0-9_-]", "-", category.lower())


def _normalised(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    wide = vectors.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return wide
