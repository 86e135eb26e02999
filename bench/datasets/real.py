"""Real sets from the folder that VDB_DATASETS names: paper abstracts, grown to any size, and images of clothes."""

import re
from pathlib import Path

import numpy as np

from bench.datasets.parts import Parts
from bench.tenants import growth
from bench.tenants.contender import LeftOut
from bench.tenants.growth import Growth
from bench.tenants.store import Store, save

__all__ = ["known", "parts"]

_N_QUERIES = 1_000
_QUICK = (2_000, 32, 50)
"""Rows, dimension and queries of what is generated in the place of a set."""
_GROWN = re.compile(r"arxiv-(\d+)k")


def parts(name: str, store: Store, seed: int, is_quick: bool) -> Parts | None:
    """`arxiv-120k` (any number of thousands; beyond 19 grown from the seed; cosine) and `fashion-mnist` (l2)."""
    grown = _GROWN.fullmatch(name)
    if grown is not None:
        return _arxiv(int(grown[1]) * 1_000, store, seed, is_quick)
    return _fashion_mnist(store, seed, is_quick) if name == "fashion-mnist" else None


def known(_: Store) -> dict[str, str]:
    """Both, with whether their files are there."""
    places = {"arxiv-Nk": growth.datasets() / "arxiv", "fashion-mnist": growth.datasets() / "fashion_mnist"}
    return {name: "there" if place.is_dir() else f"not there: {place}" for name, place in places.items()}


def _arxiv(n: int, store: Store, seed: int, is_quick: bool) -> Parts:
    if is_quick:
        source, n = growth.generated(_QUICK[0] // 2, _QUICK[1], _QUICK[2], seed), _QUICK[0]
    else:
        source = growth.arxiv(_present("arxiv"))
    key = f"grown-{source.key}-{n}-s{seed}-{growth.FORMAT}"  # the one of the multi-tenant workloads

    def write(folder: Path) -> None:
        save(folder, {"parents": Growth(source, seed).write(folder / "vectors.npy", n)})

    vectors = store.arrays(key, write)["vectors"]
    about: dict[str, object] = {"source": "arXiv abstracts, MiniLM", "grown from": len(source.vectors)}
    return Parts("cosine", vectors, key, source.queries[:_N_QUERIES], key, about=about)


def _fashion_mnist(store: Store, seed: int, is_quick: bool) -> Parts:
    def write(folder: Path) -> None:
        if is_quick:
            drawn = growth.generated(*_QUICK, seed)
            save(folder, {"vectors": drawn.vectors, "queries": drawn.queries})
            return
        images = _present("fashion_mnist")
        save(folder, {"vectors": np.load(images / "train_u8.npy").astype(np.float32)})
        save(folder, {"queries": np.load(images / "test_u8.npy")[:_N_QUERIES].astype(np.float32)})

    key = f"fashion-mnist{f'-quick-s{seed}' if is_quick else ''}"
    kept = store.arrays(key, write)
    return Parts("l2", kept["vectors"], key, kept["queries"], key, about={"source": "Fashion-MNIST, pixels"})


def _present(name: str) -> Path:
    folder = growth.datasets() / name
    if not folder.is_dir():
        raise LeftOut(f"no data set at {folder}; VDB_DATASETS names the folder of all")
    return folder
