"""Data sets by name: each a workload of vectors, queries and exact neighbours; made or read once, kept in the store.

The store keeps plain `.npy` files (`vectors_path`, `queries_path`), so that a peer's program reads them without ours.
"""

from bench.datasets.names import families, load, queries_path, vectors_path

__all__ = ["families", "load", "queries_path", "vectors_path"]
