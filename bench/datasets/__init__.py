"""Data sets by name: which there are, which are there, and what tells the hard ones from the easy.

Each is a workload of vectors, queries and exact neighbours, made or read once and kept in the store as plain `.npy`
files (`vectors_path`, `queries_path`), so that a peer's program reads them without ours. With names: each is made or
read, and printed with the share of its variance in the first d/3 principal axes, the local intrinsic dimensionality
(LID) about its queries, the relative contrast of distances, and the share of queries whose 10th and 11th are tied.
"""

from collections.abc import Sequence

from bench.datasets import command
from bench.datasets.names import families, load, queries_path, vectors_path

__all__ = ["families", "load", "main", "queries_path", "vectors_path"]


def main(arguments: Sequence[str]) -> int:
    """List the sets, or make those named and print what they are like; 1 where one cannot be had."""
    return command.run(command.parser(__doc__).parse_args(arguments))
