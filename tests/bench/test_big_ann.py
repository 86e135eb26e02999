"""The wrappers for big-ann-benchmarks, driven as its runners drive them, and the tool for true neighbours."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.big_ann import truth
from tests.bench.harness_bases import TaggedRows, Tags, install_big_ann

N_ROWS, N_QUERIES, DIMENSION, K = 1_200, 15, 8, 10
BIG_ANN = Path(__file__).resolve().parents[2] / "bench" / "big_ann"

Floats = NDArray[np.float32]


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Floats, Floats]:
    rows = rng.normal(size=(N_ROWS + N_QUERIES, DIMENSION)).astype(np.float32)
    return rows[:N_ROWS], rows[N_ROWS:]


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install_big_ann(monkeypatch, {})
    module = importlib.import_module("neurips23.streaming.vdb.vdb")
    algorithm = module.VdbStreaming("euclidean", {"index_from_points": 500})
    yield algorithm
    algorithm.done()


def recall(rows: Floats, ids: NDArray[np.integer[Any]], queries: Floats, found: NDArray[np.int32]) -> float:
    """Of the ids that there are, `rows` by id; anything else that is found is a fault."""
    assert set(found.ravel().tolist()) <= set(ids.tolist())
    nearest, _ = truth.nearest(rows[ids], queries, K, "l2")
    return float(np.mean([len(set(ids[one]) & set(some)) / K for one, some in zip(nearest, found, strict=True)]))


def test_a_runbook_is_followed_to_the_letter(streaming: Any, data: tuple[Floats, Floats]) -> None:
    rows, queries = data
    streaming.setup("float32", N_ROWS, DIMENSION)
    streaming.set_query_arguments({"recall": 0.99, "threads": 2})
    everything = np.arange(N_ROWS, dtype=np.uint32)
    half = everything[: N_ROWS // 2]
    for operation, ids in (("insert", everything), ("delete", half), ("insert", half)):
        if operation == "insert":
            streaming.insert(rows[ids], ids)
            left = everything
        else:
            streaming.delete(ids)
            left = everything[N_ROWS // 2 :]
        streaming.query(queries, K)
        measured = recall(rows, left, queries, streaming.get_results())
        assert measured >= 0.95, f"after {operation}: recall {measured}"


def test_a_replaced_id_is_found_by_its_new_vector_only(streaming: Any, data: tuple[Floats, Floats]) -> None:
    rows, queries = data
    streaming.setup("float32", N_ROWS, DIMENSION)
    ids = np.arange(50, dtype=np.uint32)
    streaming.insert(rows[:50], ids)
    changed = rows.copy()
    changed[:50] = rows[100:150]
    streaming.replace(changed[:50], ids)
    streaming.set_query_arguments({"exact": True})
    streaming.query(queries, K)
    assert recall(changed, ids, queries, streaming.get_results()) == 1.0


def test_bytes_are_stored_as_they_are_and_short_answers_padded(streaming: Any, rng: np.random.Generator) -> None:
    rows = rng.integers(0, 255, (3, DIMENSION)).astype(np.uint8)
    streaming.setup("uint8", 10, DIMENSION)
    streaming.insert(rows, np.array([7, 8, 9], np.uint32))
    streaming.query(rows, K)
    found = streaming.get_results()
    assert found.shape == (3, K)
    assert found[:, 0].tolist() == [7, 8, 9]
    assert (found[:, 3:] == -1).all()


def test_only_rows_with_all_tags_of_the_query_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: tuple[Floats, Floats]
) -> None:
    rows, queries = data
    tags = [[place % 2, 2 + place % 3] for place in range(N_ROWS)]
    install_big_ann(monkeypatch, {"made-up": lambda: TaggedRows(rows, tags)})
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("neurips23.filter.vdb.vdb")
    monkeypatch.setattr(module, "DATASETS", {"made-up": lambda: TaggedRows(rows, tags)})
    wanted = [[place % 2] if place % 3 else [0, 4] for place in range(N_QUERIES)]
    for is_first in (True, False):
        algorithm = module.VdbFilter("euclidean", {"index_from_points": 500})
        assert algorithm.load_index("made-up") is not is_first
        if is_first:
            algorithm.fit("made-up")
        algorithm.set_query_arguments({"recall": 0.99})
        algorithm.filtered_query(queries, Tags(wanted), K)
        found = algorithm.get_results()
        for place, asked in enumerate(wanted):
            ids = np.array([row for row in range(N_ROWS) if set(asked) <= set(tags[row])])
            measured = recall(rows, ids, queries[place : place + 1], found[place : place + 1])
            assert measured >= 0.9, f"query {place}: recall {measured}"
        assert str(algorithm) == "vdb(index_from_points=500, recall=0.99)"
        algorithm.done()


def test_unknown_arguments_are_refused(streaming: Any) -> None:
    with pytest.raises(ValueError, match="unknown arguments Ls"):
        streaming.set_query_arguments({"Ls": 100})


@pytest.mark.parametrize("track", ["filter", "streaming"])
def test_the_configuration_names_what_there_is(track: str, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = pytest.importorskip("yaml")
    install_big_ann(monkeypatch, {})
    datasets = yaml.safe_load((BIG_ANN / track / "vdb" / "config.yaml").read_text(encoding="utf-8"))
    assert len(datasets) >= 3
    for one in datasets.values():
        module = importlib.import_module(one["vdb"]["module"])
        constructor = getattr(module, one["vdb"]["constructor"])
        group = one["vdb"]["run-groups"]["base"]
        for arguments in yaml.safe_load(group["args"]):
            algorithm = constructor("euclidean", arguments)
            for given in yaml.safe_load(group["query-args"]):
                algorithm.set_query_arguments(given)


def test_the_tool_writes_true_neighbours_by_tag(tmp_path: Path, data: tuple[Floats, Floats]) -> None:
    rows, queries = data
    tags = (np.arange(N_ROWS, dtype=np.uint32)[::-1] + 5)[:, None]
    for name, array in (("base", rows), ("query", queries), ("tags", tags)):
        with (tmp_path / name).open("wb") as file:
            np.array(array.shape, np.uint32).tofile(file)
            array.tofile(file)
    given = ["--dist_fn", "l2", "--data_type", "float", "--K", "5"]
    for option, name in (("query_file", "query"), ("base_file", "base"), ("gt_file", "answers"), ("tags_file", "tags")):
        given += [f"--{option}", str(tmp_path / name)]
    assert truth.main(given) == 0
    written = tmp_path / "answers"
    assert np.fromfile(written, np.uint32, 2).tolist() == [N_QUERIES, 5]
    found = np.fromfile(written, np.uint32, N_QUERIES * 5, offset=8).reshape(N_QUERIES, 5)
    far = ((queries[:, None, :] - rows[None]) ** 2).sum(axis=2)
    order = np.argsort(far, axis=1)[:, :5]
    np.testing.assert_array_equal(found, tags[:, 0][order])
    distance = np.fromfile(written, np.float32, offset=8 + found.nbytes).reshape(N_QUERIES, 5)
    np.testing.assert_allclose(distance, np.take_along_axis(far, order, axis=1), rtol=1e-4, atol=1e-4)
