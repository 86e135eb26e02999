"""`python -m bench.big_ann.truth`: the true neighbours of queries, for `compute_gt.py` of big-ann-benchmarks.

It takes the arguments that the harness gives its own tool, and reads and writes its files: vectors as two uint32 (rows,
dimensions) and the rows; tags the same with one column; answers as two uint32 (queries, K), the tags uint32 (q, K), and
the distances float32 (q, K), L2 squared, or the inner product for `mips`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["main", "nearest", "read_rows", "write_answers"]

_DTYPES = {"float": np.float32, "int8": np.int8, "uint8": np.uint8, "tags": np.uint32}
_BLOCK_QUERIES = 100


def main(arguments: Sequence[str]) -> int:
    """Answer the queries of one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist_fn", choices=("l2", "mips"), required=True)
    parser.add_argument("--data_type", choices=("float", "int8", "uint8"), required=True)
    parser.add_argument("--K", type=int, required=True)
    for name in ("query_file", "base_file", "gt_file", "tags_file"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(arguments)
    rows = read_rows(given.base_file, given.data_type).astype(np.float32)
    queries = read_rows(given.query_file, given.data_type).astype(np.float32)
    tags = read_rows(given.tags_file, "tags")[:, 0]
    found, distance = nearest(rows, queries, given.K, given.dist_fn)
    write_answers(given.gt_file, tags[found], distance)
    return 0


def read_rows(path: Path, kind: str) -> NDArray[Any]:
    """The rows of a file, (n, d)."""
    n_rows, n_columns = np.fromfile(path, np.uint32, 2).tolist()
    return np.fromfile(path, _DTYPES[kind], n_rows * n_columns, offset=8).reshape(n_rows, n_columns)


def nearest(
    rows: NDArray[np.float32], queries: NDArray[np.float32], k: int, distance: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest rows of each query, nearest first, and how far they are."""
    k = min(k, len(rows))
    norms = np.einsum("ij,ij->i", rows, rows)
    places, values = [], []
    for first in range(0, len(queries), _BLOCK_QUERIES):
        some = queries[first : first + _BLOCK_QUERIES]
        product = some @ rows.T
        far = -product if distance == "mips" else norms - 2 * product + np.einsum("ij,ij->i", some, some)[:, None]
        order = np.argsort(far, axis=1, kind="stable")[:, :k]
        places.append(order)
        values.append(np.take_along_axis(far, order, axis=1))
    found = np.concatenate(values).astype(np.float32)
    return np.concatenate(places), -found if distance == "mips" else found


def write_answers(path: Path, tags: NDArray[Any], distance: NDArray[np.float32]) -> None:
    """Write tags (q, k) and distances (q, k)."""
    with path.open("wb") as file:
        np.array(tags.shape, np.uint32).tofile(file)
        tags.astype(np.uint32).tofile(file)
        distance.astype(np.float32).tofile(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
