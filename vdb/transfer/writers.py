"""The files of an export that are arrays or tables: npz, HDF5 and parquet, made of rows that are read once.

They hold what the readers beside this file take by default names, and nothing else. Text in an npz is bytes with their
ends; an HDF5 has the form of ann-benchmarks, with its word for the metric.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from vdb.protocol.answers import Collection
from vdb.transfer.extras import library
from vdb.transfer.fields import EPOCH
from vdb.transfer.rows import Rows

_DISTANCES = {"cosine": "angular", "ip": "dot", "l2": "euclidean"}
_GROUP_ROWS = 50_000


def write_npz(file: IO[bytes], chunks: Iterator[Rows], n: int, collection: Collection) -> None:
    """A zip of arrays, not compressed; columns are gathered in unnamed files first, as a zip takes one at a time."""
    folder = Path(file.name).parent
    columns = {name: _Gathered(folder, kind) for name, kind in _NPZ_KINDS.items()}
    for rows in chunks:
        columns["vectors"].add(np.ascontiguousarray(rows.vectors, "<f4"))
        columns["has_vector"].add(_has_vector(rows))
        columns["expires_at"].add(_expiries(rows))
        for name, texts in _texts(rows).items():
            columns[name].add_texts(texts)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, column in columns.items():
            if name in ("vectors", "ids") or column.is_needed(default=name == "has_vector"):
                column.store(archive, name, (n, collection.dimension) if name == "vectors" else (n,))
            column.close()


def write_hdf5(file: IO[bytes], chunks: Iterator[Rows], n: int, collection: Collection) -> None:
    """`train` and columns beside it; those that no point needs are left out."""
    h5py = library("h5py")
    text = h5py.string_dtype()
    with h5py.File(file, "w") as made:
        made.attrs["distance"], made.attrs["type"] = _DISTANCES[collection.metric], "dense"
        train = made.create_dataset("train", (n, collection.dimension), "f4")
        place = 0

        def put(name: str, values: Any, kind: Any, default: Any) -> None:
            if name not in made and all(value == default for value in values):
                return
            if name not in made:
                made.create_dataset(name, (n,), kind, fillvalue=None if kind is text else default)
            made[name][place : place + len(values)] = values

        for rows in chunks:
            train[place : place + len(rows)] = rows.vectors
            for name, values in _texts(rows).items():
                put(name, [value.decode() for value in values], text, "")
            put("expires_at", _expiries(rows), "i8", 0)
            put("has_vector", _has_vector(rows), "?", True)
            place += len(rows)


def write_parquet(file: IO[bytes], chunks: Iterator[Rows], n: int, collection: Collection) -> None:
    """Columns id, vector, payload (text of JSON), expires_at and shared_with."""
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    schema = arrow.schema(
        {
            "id": arrow.string(),
            "vector": arrow.list_(arrow.float32()),
            "payload": arrow.string(),
            "expires_at": arrow.timestamp("ms", "UTC"),
            "shared_with": arrow.list_(arrow.string()),
        }
    )
    with parquet.ParquetWriter(file, schema) as made:
        waiting: list[Any] = []
        for rows in chunks:
            waiting.append(_batch(arrow, schema, rows))
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                made.write_table(arrow.Table.from_batches(waiting, schema))
                waiting = []
        if waiting:
            made.write_table(arrow.Table.from_batches(waiting, schema))


WRITERS: dict[str, Callable[[IO[bytes], Iterator[Rows], int, Collection], None]] = {
    "npz": write_npz,
    "hdf5": write_hdf5,
    "parquet": write_parquet,
}

_NPZ_KINDS = {
    "vectors": "<f4",
    "has_vector": "|b1",
    "ids": "|u1",
    "payloads": "|u1",
    "expires_at": "<i8",
    "shared_with": "|u1",
}


class _Gathered:
    """One column of an npz, in a file without a name until it is whole."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._kind = kind
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (`close` closes it)
        self._ends: list[NDArray[np.int64]] = []
        self._n_bytes = 0
        self._has_true = self._has_false = False

    def add(self, values: NDArray[Any]) -> None:
        """Values of the column; which of them are needed is told by whether they differ from the default."""
        self._has_true |= bool(np.any(values))
        self._has_false |= not bool(np.all(values))
        self._file.write(values.tobytes())

    def add_texts(self, texts: list[bytes]) -> None:
        ends = self._n_bytes + np.cumsum([len(text) for text in texts], dtype=np.int64)
        self._ends.append(ends)
        self._n_bytes = int(ends[-1])
        self._has_true |= any(texts)
        self._file.write(b"".join(texts))

    def is_needed(self, *, default: bool) -> bool:
        """Whether some value is not the default (true, or else empty)."""
        return self._has_false if default else self._has_true

    def store(self, archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> None:
        """Write the column as an array; text as bytes, with the ends in an array beside it."""
        is_text = self._kind == "|u1"
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            _write_head(member, self._kind, (self._n_bytes,) if is_text else shape)
            self._file.seek(0)
            shutil.copyfileobj(self._file, member, 1 << 20)
        if is_text:
            with archive.open(f"{name}_ends.npy", "w", force_zip64=True) as member:
                _write_head(member, "<i8", shape)
                member.writelines(ends.astype("<i8").tobytes() for ends in self._ends)

    def close(self) -> None:
        self._file.close()


def _write_head(member: Any, kind: str, shape: tuple[int, ...]) -> None:
    npy_format.write_array_header_1_0(member, {"descr": kind, "fortran_order": False, "shape": shape})


def _texts(rows: Rows) -> dict[str, list[bytes]]:
    """The columns of text."""
    return {
        "ids": [name.encode() for name in rows.ids],
        "payloads": _jsons(rows.payloads, len(rows)),
        "shared_with": _jsons(rows.shared_with, len(rows)),
    }


def _jsons(values: list[Any] | None, n: int) -> list[bytes]:
    return [b""] * n if values is None else [msgspec.json.encode(value) if value else b"" for value in values]


def _has_vector(rows: Rows) -> NDArray[np.bool_]:
    return np.ones(len(rows), np.bool_) if rows.has_vector is None else np.array(rows.has_vector, np.bool_)


def _expiries(rows: Rows) -> NDArray[np.int64]:
    """Milliseconds since 1970, 0 for none."""
    if rows.expires_at is None:
        return np.zeros(len(rows), np.int64)
    return np.array([0 if moment is None else _milliseconds(moment) for moment in rows.expires_at], np.int64)


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _batch(arrow: Any, schema: Any, rows: Rows) -> Any:
    has_vector = _has_vector(rows)
    ends = np.concatenate(([0], np.cumsum(has_vector) * rows.vectors.shape[1])).astype(np.int32)
    starts = arrow.array(ends, mask=np.append(~has_vector, False))
    vectors = arrow.ListArray.from_arrays(starts, arrow.array(rows.vectors[has_vector].reshape(-1)))
    columns = [
        arrow.array(rows.ids, arrow.string()),
        vectors,
        arrow.array([text.decode() or None for text in _jsons(rows.payloads, len(rows))], arrow.string()),
        arrow.array(rows.expires_at or [None] * len(rows), schema.field("expires_at").type),
        arrow.array(rows.shared_with or [None] * len(rows), schema.field("shared_with").type),
    ]
    return arrow.RecordBatch.from_arrays(columns, schema=schema)
