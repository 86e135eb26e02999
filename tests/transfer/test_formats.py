"""Every format gives the same points: ids, vectors, payloads, expiry and sharing lists, by default names and others."""

import base64
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from numpy.typing import NDArray

from tests.transfer.importing import Importing
from vdb.transfer import Fields

N, D = 5_000, 4
EXPIRY = datetime(2090, 1, 2, 3, 4, 5, 678000, UTC)


@pytest.fixture
def vectors(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal((N, D)).astype(np.float32)


def _payload(number: int) -> dict[str, Any]:
    return {"n": number, "text": "é\u0000\U0001f600", "nested": {"list": [1, None, {"a": 0.5}]}}


def _lines(vectors: NDArray[np.float32]) -> bytes:
    rows = []
    for number, vector in enumerate(vectors):
        row: dict[str, Any] = {"id": f"p{number}", "vector": vector.tolist(), "payload": _payload(number)}
        if number == 1:
            row |= {"expires_at": EXPIRY.isoformat(), "shared_with": ["globex"], "vector": None}
        if number == 2:
            row["vector"] = base64.b64encode(vector.tobytes()).decode()
        rows.append(json.dumps(row))
    return "\n".join(rows).encode()


def _npz(path: Path, vectors: NDArray[np.float32]) -> None:
    columns = _columns(vectors)
    text = "".join(columns["ids"]).encode()
    ends = np.cumsum([len(name) for name in columns["ids"]])
    columns |= {"ids": np.frombuffer(text, np.uint8), "ids_ends": ends}
    np.savez_compressed(path, **columns)


def _hdf5(path: Path, vectors: NDArray[np.float32]) -> None:
    columns = _columns(vectors)
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = "euclidean"
        file.create_dataset("train", data=columns.pop("vectors"), compression="gzip")
        for name, values in columns.items():
            file[name] = values


def _columns(vectors: NDArray[np.float32]) -> dict[str, Any]:
    number = range(N)
    return {
        "vectors": np.where(np.arange(N)[:, None] == 1, 0, vectors),
        "has_vector": np.array([i != 1 for i in number]),
        "ids": [f"p{i}" for i in number],
        "payloads": [json.dumps(_payload(i)) for i in number],
        "expires_at": np.array([round(EXPIRY.timestamp() * 1000) if i == 1 else 0 for i in number]),
        "shared_with": ['["globex"]' if i == 1 else "" for i in number],
    }


def _parquet(path: Path, vectors: NDArray[np.float32]) -> None:
    number = range(N)
    columns = {
        "id": [f"p{i}" for i in number],
        "vector": [None if i == 1 else vectors[i] for i in number],
        "payload": [json.dumps(_payload(i)) for i in number],
        "expires_at": [EXPIRY if i == 1 else None for i in number],
        "shared_with": [["globex"] if i == 1 else None for i in number],
    }
    parquet.write_table(arrow.table(columns), path, row_group_size=1_300)


def _write(path: Path, vectors: NDArray[np.float32]) -> Path:
    if path.suffix == ".jsonl":
        path.write_bytes(_lines(vectors))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(_lines(vectors)))
    else:
        {".npz": _npz, ".hdf5": _hdf5, ".parquet": _parquet}[path.suffix](path, vectors)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.npz", "a.hdf5", "a.parquet"])
def test_a_file_becomes_points(name: str, importing: Importing, vectors: NDArray[np.float32]) -> None:
    report = importing.run(_write(importing.folder / name, vectors))
    assert (report.n_written, report.n_rejected, report.rejected_path) == (N, 0, None)
    points = importing.points()
    assert sorted(points) == sorted(f"p{i}" for i in range(N))
    for number in (0, 2, 1999, 2000, N - 1):
        point = points[f"p{number}"]
        assert np.array_equal(point.vector, vectors[number])
        assert (point.payload, point.expires_at, point.shared_with) == (_payload(number), None, [])
    assert (points["p1"].vector, points["p1"].expires_at, points["p1"].shared_with) == (None, EXPIRY, ["globex"])
    assert importing.client.get_collection(importing.name).metric == ("l2" if name == "a.hdf5" else "cosine")
    assert sorted(path.name for path in importing.folder.iterdir()) == [name]


def test_an_npy_has_row_numbers_for_ids(importing: Importing, vectors: NDArray[np.float32]) -> None:
    file = importing.folder / "a.npy"
    np.save(file, np.asfortranarray(vectors.astype(np.float64)))
    importing.run(file, Fields(id_prefix="row-"))
    importing.run(file, Fields(id_prefix="row-"))  # again: no duplicates
    points = importing.points()
    assert len(points) == N
    assert all(np.array_equal(points[f"row-{i}"].vector, vectors[i]) for i in range(0, N, 97))


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<f2", "<i4", "|u1", "<i8"])
def test_numbers_of_any_type_become_float32(kind: str, importing: Importing) -> None:
    numbers = np.arange(12, dtype=kind).reshape(3, 4)
    np.savez(importing.folder / "a.npz", numbers)
    importing.run(importing.folder / "a.npz")
    assert [point.vector.tolist() for point in importing.points().values()] == numbers.tolist()


def test_an_hdf5_of_ann_benchmarks_needs_no_option(importing: Importing, vectors: NDArray[np.float32]) -> None:
    file = importing.folder / "glove-angular.hdf5"
    with h5py.File(file, "w") as opened:
        opened.attrs["distance"], opened.attrs["type"] = "angular", "dense"
        opened["train"], opened["test"] = vectors, vectors[:7].astype(np.float64)
        opened["neighbors"] = np.zeros((7, 100), np.int32)
    importing.run(file)
    assert (len(importing.points()), importing.client.get_collection(importing.name).metric) == (N, "cosine")
    importing.run(file, Fields(vector="test", id_prefix="q"), restart=True)
    points = importing.points()
    assert len(points) == N + 7 and np.array_equal(points["q6"].vector, vectors[6])


def test_fields_are_named_and_chosen(importing: Importing) -> None:
    lines = [
        {"key": 7, "emb": [1, 2], "meta": {"a": 1}, "lang": "en", "till": "2090-01-01T00:00:00+01:00"},
        {"key": "x", "emb": [3, 4], "meta": None, "lang": "de", "for": ["globex"]},
    ]
    file = importing.write("a.jsonl", "\n".join(map(json.dumps, lines)))
    named: dict[str, Any] = {"id": "key", "vector": "emb", "expires_at": "till", "shared_with": "for"}
    expected: dict[str, list[Any]] = {
        "all": [{"meta": {"a": 1}, "lang": "en"}, {"meta": None, "lang": "de"}],
        "none": [{}, {}],
        "lang": [{"lang": "en"}, {"lang": "de"}],
        "lang,meta.*": [{"lang": "en", "a": 1}, {"lang": "de"}],
    }
    for payload, values in expected.items():
        importing.run(file, Fields(payload=payload, **named))
        points = importing.points()
        assert [points[name].payload for name in ("7", "x")] == values
    assert points["7"].expires_at == datetime(2089, 12, 31, 23, tzinfo=UTC)
    assert points["x"].shared_with == ["globex"]


def test_parquet_columns_become_payload_fields(importing: Importing) -> None:
    moment = datetime(2024, 1, 2, 3, tzinfo=UTC)
    table = {
        "id": [1, 2],
        "vector": arrow.array([[1, 2], [3, 4]], arrow.list_(arrow.float64(), 2)),
        "lang": arrow.array(["en", None]).dictionary_encode(),
        "at": [moment, None],
        "tags": [["a", "b"], []],
        "inner": [{"x": 1, "y": None}, None],
    }
    parquet.write_table(arrow.table(table), importing.folder / "a.parquet")
    importing.run(importing.folder / "a.parquet")
    points = importing.points()
    assert points["1"].payload == {"lang": "en", "at": moment.isoformat(), "tags": ["a", "b"], "inner": {"x": 1}}
    assert points["2"].payload == {"tags": []} and points["2"].vector.tolist() == [3, 4]


def test_a_metric_may_be_chosen(importing: Importing, vectors: NDArray[np.float32]) -> None:
    importing.run(_write(importing.folder / "a.hdf5", vectors), metric="ip")
    assert importing.client.get_collection(importing.name).metric == "ip"
