"""A workload as files, for a contender in another process: what it builds and is asked, not the answers."""

import json
from pathlib import Path

import numpy as np

from bench.tenants.store import Store, save
from bench.tenants.workload import Access, Float32s, Truth, Workload

__all__ = ["read", "write"]

_FACTS = "workload.json"
_MAPPED_BYTES = 64 << 20
"""Vectors from here on are mapped, not read, as the store does: they count as a file."""


def write(workload: Workload, store: Store, folder: Path) -> None:
    """Fill a folder with a workload's parts; its vectors stay where the store has them, or come along."""
    access = workload.access
    vectors = store.folder / workload.vectors_key / "vectors.npy"
    if not vectors.exists():
        vectors = folder / "vectors.npy"
        np.save(vectors, workload.vectors)
    save(folder, {"owners": access.owners, "offsets": access.offsets, "grantees": access.grantees})
    save(folder, {"queries": workload.queries, "askers": workload.askers, "recorded": workload.recorded})
    facts = {"name": workload.name, "metric": workload.metric, "n_tenants": access.n_tenants, "vectors": str(vectors)}
    keys = {"key": workload.key, "vectors_key": workload.vectors_key}
    (folder / _FACTS).write_text(json.dumps(facts | keys), encoding="utf-8")


def read(folder: Path) -> Workload:
    """The workload that `write` put there, without exact answers."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    kept = {path.stem: np.load(path) for path in folder.glob("*.npy") if path.stem != "vectors"}
    access = Access(facts["n_tenants"], kept["owners"], kept["offsets"], kept["grantees"])
    unknown = Truth(np.empty((0, 0), np.int64), np.empty((0, 0)))
    return Workload(
        facts["name"], facts["metric"], _vectors(Path(facts["vectors"])), access, kept["queries"], kept["askers"],
        unknown, facts["key"], facts["vectors_key"], kept["recorded"],
    )  # fmt: skip


def _vectors(path: Path) -> Float32s:
    loaded: Float32s = np.load(path, mmap_mode="r" if path.stat().st_size >= _MAPPED_BYTES else None)
    return np.asarray(loaded)
