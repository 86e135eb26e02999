"""Small datasets in the form of VectorDBBench, of seeded vectors: to see that the client works, not to compare by.

Files: `train.parquet` and `shuffle_train.parquet` (id int64, emb float32 (d,)), `test.parquet`, `scalar_labels.parquet`
(id, labels), and the true neighbours of the queries, by cosine: `neighbors.parquet`, one file for each label and for
each bound on the id.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["INT_RATES", "LABELS", "command", "write"]

LABELS = ((5, "label_5p"), (25, "label_20p"), (75, "label_50p"), (100, "others"))
"""Of 100 numbers those below the first belong to the second."""
INT_RATES = (0.01, 0.02)
_N_TRUE = 100
_N_CLUSTERS = 50
_SPREAD = 0.6


def write(folder: Path, n_rows: int, n_queries: int, dimension: int, declared: int, seed: int) -> None:
    """Write the files. `declared`: how many rows the harness takes the dataset to have: it draws its bounds by it."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(_N_CLUSTERS, dimension))
    rows, queries = _drawn(rng, centres, n_rows), _drawn(rng, centres, n_queries)
    labels = np.array([_label_of(int(number)) for number in rng.integers(0, 100, n_rows)])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "shuffle_train"):
        pq.write_table(_vectors(rows), folder / f"{name}.parquet")
    pq.write_table(_vectors(queries), folder / "test.parquet")
    pq.write_table(pa.table({"id": np.arange(n_rows), "labels": labels}), folder / "scalar_labels.parquet")
    similarity = queries @ rows.T
    for name, is_meant in _subsets(labels, declared):
        nearest = np.argsort(-np.where(is_meant, similarity, -np.inf), axis=1, kind="stable")
        n_true = min(_N_TRUE, int(is_meant.sum()))
        truth = {"id": np.arange(n_queries), "neighbors_id": list(nearest[:, :n_true])}
        pq.write_table(pa.table(truth), folder / f"{name}.parquet")


def _drawn(rng: np.random.Generator, centres: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """Normalised vectors float32 (n, d) around the centres."""
    dimension = centres.shape[1]
    found = centres[rng.integers(0, len(centres), n)] + _SPREAD * rng.normal(size=(n, dimension))
    normalised: NDArray[np.float32] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return normalised


def _label_of(number: int) -> str:
    return next(label for bound, label in LABELS if number < bound)


def _subsets(labels: NDArray[np.str_], declared: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The files of true neighbours, and which rows each is of."""
    yield "neighbors", np.ones(len(labels), np.bool_)
    for _, label in LABELS:
        yield f"neighbors_labels_{label}", labels == label
    for rate in INT_RATES:
        yield f"neighbors_int_{int(rate * 100)}p", np.arange(len(labels)) >= int(declared * rate)


def _vectors(rows: NDArray[np.float32]) -> pa.Table:
    return pa.table({"id": np.arange(len(rows)), "emb": list(rows)})


@click.command(name="made-up")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rows", default=6_000, show_default=True)
@click.option("--queries", default=100, show_default=True)
@click.option("--dim", default=768, show_default=True)
@click.option("--declared", default=100_000, show_default=True, help="Rows that the harness takes it to have")
@click.option("--seed", default=1, show_default=True)
def command(folder: Path, rows: int, queries: int, dim: int, declared: int, seed: int) -> None:
    """Write a small dataset of seeded vectors."""
    write(folder, rows, queries, dim, declared, seed)
