"""Who takes part in races, by name: the program of each and the packages of its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.race.environments import environment
from bench.race.process import PEERS_FOLDER, Start

__all__ = ["DATABASES", "FAISS", "HNSWLIB", "LANCEDB", "LIBRARIES", "USEARCH", "Entry", "start_of", "versions_of"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A module below `bench/race/peers/` with its arguments, and requirements with their releases.

    Without requirements it is ours: a module of this repository, run by this interpreter. `environment` names one that
    several entries of the same requirements share.
    """

    module: str
    requirements: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: str = ""


HNSWLIB = ("hnswlib==0.8.0",)
_SVS = ("scalable-vs==0.5.0",)
FAISS = ("faiss-cpu==1.15.1",)
USEARCH = ("usearch==2.26.6",)
_RABITQ = ("rabitqlib==0.7.1",)

LIBRARIES: Mapping[str, Entry] = {
    "vdb-index": Entry("bench.race.ours"),
    "hnswlib-m8": Entry("hnsw", HNSWLIB, ("8", "500"), "hnswlib"),
    "hnswlib-m12": Entry("hnsw", HNSWLIB, ("12", "500"), "hnswlib"),
    "hnswlib-m16": Entry("hnsw", HNSWLIB, ("16", "500"), "hnswlib"),
    "hnswlib-m32": Entry("hnsw", HNSWLIB, ("32", "500"), "hnswlib"),
    "faiss-ivf": Entry("faiss_index", FAISS, ("ivf",), "faiss"),
    "faiss-fast-scan": Entry("faiss_index", FAISS, ("fast-scan",), "faiss"),
    "faiss-hnsw": Entry("faiss_index", FAISS, ("hnsw",), "faiss"),
    "usearch": Entry("usearch_graph", USEARCH, ("f32",), "usearch"),
    "usearch-bf16": Entry("usearch_graph", USEARCH, ("bf16",), "usearch"),
    "svs": Entry("svs_vamana", _SVS, ("64",), "svs"),
    "svs-r32": Entry("svs_vamana", _SVS, ("32",), "svs"),
    "rabitqlib-graph": Entry("rabitq", _RABITQ, ("graph",), "rabitqlib"),
    "rabitqlib-ivf": Entry("rabitq", _RABITQ, ("ivf",), "rabitqlib"),
    "scann": Entry("scann_tree", ("scann==1.4.2",)),
    "pynndescent": Entry("nearest_descent", ("pynndescent==0.7.0",)),
}
"""Indexes in process: `race unfiltered`."""

LANCEDB = ("lancedb==0.40.0",)

DATABASES: Mapping[str, Entry] = {
    "vdb": Entry("bench.race.ours_database"),
    "lancedb-pq": Entry("lance_table", LANCEDB, ("pq",), "lancedb"),
    "lancedb-hnsw": Entry("lance_table", LANCEDB, ("hnsw",), "lancedb"),
    "qdrant-edge": Entry("qdrant_edge_shard", ("qdrant-edge-py==0.9.0",)),
    "zvec": Entry("zvec_collection", ("zvec==0.8.0",)),
}
"""Databases in process: `race databases`."""


def start_of(name: str, entry: Entry, cache: Path) -> Start:
    """How to start an entry; its environment is made where there is none. Raises LeftOut where it cannot be."""
    if not entry.requirements:
        return Start(("-m", entry.module, *entry.arguments))
    place = environment(cache, entry.environment or name, entry.requirements)
    return Start(("-m", f"peers.{entry.module}", *entry.arguments), place.python, PEERS_FOLDER)


def versions_of(name: str, entry: Entry, cache: Path) -> dict[str, str]:
    """Releases of what an entry's environment holds, those asked for alone; empty for ours."""
    if not entry.requirements:
        return {}
    return environment(cache, entry.environment or name, entry.requirements).releases(entry.requirements)
