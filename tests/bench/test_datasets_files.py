"""Sets from files: ann-benchmarks' HDF5 and others, checksums, what is said where a file will not do."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from bench.datasets import load, main
from bench.datasets.checksum import sha256
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store
from bench.tenants.workload import Float32s

N, D, Q = 400, 12, 30
NAME = "tiny-12-euclidean"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets."""
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("VDB_DATASETS", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def _rows(rng: np.random.Generator, n: int = N) -> Float32s:
    return rng.standard_normal((n, D), dtype=np.float32)


def _neighbours(vectors: Float32s, queries: Float32s, k: int = 20) -> np.ndarray:
    squared = ((queries[:, None, :].astype(np.float64) - vectors[None]) ** 2).sum(axis=2)
    return np.argsort(squared, axis=1)[:, :k].astype(np.int32)


def _write(path: Path, vectors: Float32s, queries: Float32s, neighbours: np.ndarray | None, metric: str) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = metric
        file["train"], file["test"] = vectors, queries
        if neighbours is not None:
            file["neighbors"] = neighbours


def test_a_set_of_ann_benchmarks_is_read_with_its_neighbours(
    given: Path, store: Store, rng: np.random.Generator
) -> None:
    vectors, queries = _rows(rng), _rows(rng, Q)
    found = _neighbours(vectors, queries)
    _write(given / f"{NAME}.hdf5", vectors, queries, found, "euclidean")
    made = load(NAME, store, 1)
    np.testing.assert_array_equal(made.vectors, vectors)
    np.testing.assert_array_equal(made.queries, queries)
    np.testing.assert_array_equal(made.truth.ids, found[:, :10])
    assert made.metric == "l2" and str(made.about["neighbours"]).startswith("of the set")
    assert made.about["sha256"] == {f"{NAME}.hdf5": sha256(given / f"{NAME}.hdf5", store)}


@pytest.mark.parametrize("wrong", ["farther", "foreign", "twice", "few"])
def test_neighbours_that_are_not_the_nearest_are_reckoned_anew(
    wrong: str, given: Path, store: Store, rng: np.random.Generator
) -> None:
    vectors, queries = _rows(rng), _rows(rng, Q)
    right = _neighbours(vectors, queries)
    found = right.copy()
    if wrong == "farther":
        found[:, 9] = _neighbours(vectors, queries, N)[:, -1]
    elif wrong == "foreign":
        found[3, 3] = N
    elif wrong == "twice":
        found[3, 3] = found[3, 4]
    else:
        found = found[:, :5]
    _write(given / f"{NAME}.hdf5", vectors, queries, found, "euclidean")
    made = load(NAME, store, 1)
    np.testing.assert_array_equal(made.truth.ids, right[:, :10])
    assert str(made.about["neighbours"]).startswith("reckoned")


def test_directions_are_normalised_and_rows_of_zeros_left_out(
    given: Path, store: Store, rng: np.random.Generator
) -> None:
    vectors, queries = _rows(rng), _rows(rng, Q)
    vectors[[5, 7]] = 0
    _write(given / "tiny-12-angular.hdf5", vectors, queries, _neighbours(vectors, queries), "angular")
    made = load("tiny-12-angular", store, 1)
    assert made.metric == "cosine" and len(made.vectors) == N - 2
    assert made.about["zeros left out"] == 2
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(made.truth.distances[:, 0], 1 - (made.queries @ made.vectors.T).max(axis=1), atol=1e-6)


def test_a_file_that_changed_is_read_anew(given: Path, store: Store, rng: np.random.Generator) -> None:
    path = given / f"{NAME}.hdf5"
    _write(path, _rows(rng), _rows(rng, Q), None, "euclidean")
    first = load(NAME, store, 1)
    _write(path, _rows(rng), _rows(rng, Q), None, "euclidean")
    os.utime(path, ns=(1, 1))
    second = load(NAME, store, 1)
    assert first.about["sha256"] != second.about["sha256"]
    assert not np.array_equal(first.vectors, second.vectors)


def test_a_digest_is_reckoned_once_for_a_size_and_a_time(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(5, 5))
    first = sha256(path, store)
    path.write_bytes(b"two")
    os.utime(path, ns=(5, 5))
    assert sha256(path, store) == first, "not read again"
    os.utime(path, ns=(6, 6))
    assert sha256(path, store) != first


def test_a_digest_beside_the_file_is_held_against_it(given: Path, store: Store, rng: np.random.Generator) -> None:
    path = given / f"{NAME}.hdf5"
    _write(path, _rows(rng), _rows(rng, Q), None, "euclidean")
    beside = given / f"{NAME}.hdf5.sha256"
    beside.write_text(f"{sha256(path, store)}  {path.name}\n")
    assert len(load(NAME, store, 1).vectors) == N
    beside.write_text("0" * 64)
    with pytest.raises(LeftOut, match="damaged or another file"):
        load(NAME, store, 1)
    beside.write_text("no digest")
    with pytest.raises(LeftOut, match="does not begin"):
        load(NAME, store, 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sift-128-euclidean", "download https://ann-benchmarks.com/sift-128-euclidean.hdf5"),
        ("sift-256-hamming", "none of ours"),
        ("nothing", "there is no data set 'nothing'"),
        ("file:/nowhere/a.npy", "there is no file"),
        ("file:a.npy?metrics=l2", "after \\? come"),
        ("file:a.npy?queries", "cannot be read|there is no file|after"),
    ],
)
def test_what_is_not_there_is_left_out_with_a_reason(name: str, said: str, given: Path, store: Store) -> None:
    with pytest.raises(LeftOut, match=said):
        load(name, store, 1)


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(200)])
@pytest.mark.parametrize("suffix", ["hdf5", "npy", "fvecs", "txt"])
def test_a_damaged_file_is_left_out_with_a_reason(content: bytes, suffix: str, given: Path, store: Store) -> None:
    path = given / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(LeftOut, match=f"a.{suffix}"):
        load(f"file:{path}", store, 1)


def test_numbers_that_are_not_finite_are_refused(given: Path, store: Store, rng: np.random.Generator) -> None:
    vectors = _rows(rng)
    vectors[3, 4] = np.nan
    np.save(given / "a.npy", vectors)
    with pytest.raises(LeftOut, match="not finite"):
        load(f"file:{given / 'a.npy'}", store, 1)


def test_queries_of_another_dimension_are_refused(given: Path, store: Store, rng: np.random.Generator) -> None:
    np.save(given / "a.npy", _rows(rng))
    np.save(given / "b.npy", _rows(rng)[:, :5])
    with pytest.raises(LeftOut, match="12 dimensions, its queries have 5"):
        load(f"file:{given / 'a.npy'}?queries=b.npy", store, 1)


def test_a_matrix_without_queries_holds_its_last_rows_out(given: Path, store: Store, rng: np.random.Generator) -> None:
    vectors = _rows(rng)
    np.save(given / "a.npy", vectors)
    made = load(f"file:{given / 'a.npy'}?metric=ip", store, 1)
    np.testing.assert_array_equal(made.vectors, vectors[:360])
    np.testing.assert_array_equal(made.queries, vectors[360:])
    assert made.metric == "ip" and made.about["held out as queries"] == 40
    assert made.name == "file:a.npy", "a report does not say where the file lies"


def _vecs(path: Path, rows: np.ndarray) -> None:
    heads = np.full((len(rows), 1), rows.shape[1], "<i4").view(np.uint8)
    np.concatenate([heads, rows.view(np.uint8).reshape(len(rows), -1)], axis=1).tofile(path)


def test_fvecs_with_queries_and_neighbours_beside(given: Path, store: Store, rng: np.random.Generator) -> None:
    vectors, queries = _rows(rng), _rows(rng, Q)
    _vecs(given / "x_base.fvecs", vectors)
    _vecs(given / "x_query.fvecs", queries)
    _vecs(given / "x_groundtruth.ivecs", _neighbours(vectors, queries))
    made = load(f"file:{given / 'x_base.fvecs'}", store, 1)
    np.testing.assert_array_equal(made.vectors, vectors)
    np.testing.assert_array_equal(made.queries, queries)
    assert str(made.about["neighbours"]).startswith("of the set")


def test_bvecs_are_numbers_from_0_to_255(given: Path, store: Store, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 256, (50, D)).astype(np.uint8)
    _vecs(given / "x.bvecs", rows)
    np.testing.assert_array_equal(load(f"file:{given / 'x.bvecs'}", store, 1).vectors, rows[:45].astype(np.float32))


def test_an_hdf5_file_says_its_metric(given: Path, store: Store, rng: np.random.Generator) -> None:
    _write(given / "a.hdf5", _rows(rng), _rows(rng, Q), None, "angular")
    assert load(f"file:{given / 'a.hdf5'}", store, 1).metric == "cosine"
    assert load(f"file:{given / 'a.hdf5'}?metric=l2", store, 1).metric == "l2"


def test_the_command_lists_all_and_says_what_is_not_there(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cache", str(given)]) == 0
    listed = capsys.readouterr().out
    for name in ("made-plain-N", "glove-100-angular", "arxiv-Nk", "file:PATH"):
        assert name in listed
    assert "not there: https://ann-benchmarks.com/gist-960-euclidean.hdf5" in listed


def test_the_command_prints_what_a_set_is_like(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--cache", str(given), "made-plain-20kx16", "nothing"]) == 1
    printed = capsys.readouterr()
    assert "made-plain-20kx16" in printed.out and "made from the seed: plain" in printed.out
    assert "left out: there is no data set 'nothing'" in printed.err
