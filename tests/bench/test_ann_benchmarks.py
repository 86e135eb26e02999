"""The plug-in for ann-benchmarks, driven as that harness's runner drives it."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.harness_bases import install_ann_benchmarks

N_ROWS, N_QUERIES, DIMENSION, K = 1_500, 20, 12, 10
FORMS = ("Vdb", "VdbServer", "VdbIndex")
CONFIG = Path(__file__).resolve().parents[2] / "bench" / "ann_benchmarks" / "vdb" / "config.yml"

Floats = NDArray[np.float32]
Make = Callable[..., Any]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    install_ann_benchmarks(monkeypatch)
    return importlib.import_module("bench.ann_benchmarks.vdb.module")


@pytest.fixture
def make(plugin: Any) -> Iterator[Make]:
    """Algorithms that are closed in the end, whatever happens."""
    made: list[Any] = []

    def made_of(form: str, metric: str, arguments: dict[str, Any] | None = None) -> Any:
        made.append(getattr(plugin, form)(metric, arguments))
        return made[-1]

    yield made_of
    for algorithm in made:
        algorithm.done()


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Floats, Floats]:
    centres = 3 * rng.normal(size=(20, DIMENSION))
    drawn = centres[rng.integers(0, 20, N_ROWS + N_QUERIES)] + rng.normal(size=(N_ROWS + N_QUERIES, DIMENSION))
    rows = drawn.astype(np.float32)
    return rows[:N_ROWS], rows[N_ROWS:]


def distances(metric: str, rows: Floats, query: Floats) -> NDArray[np.float64]:
    """As the harness computes them."""
    exact, asked = rows.astype(np.float64), query.astype(np.float64)
    if metric == "euclidean":
        far: NDArray[np.float64] = np.linalg.norm(exact - asked, axis=1)
        return far
    similarity: NDArray[np.float64] = exact @ asked / (np.linalg.norm(exact, axis=1) * np.linalg.norm(asked))
    return 1 - similarity


def recall(metric: str, rows: Floats, queries: Floats, found: list[Any]) -> float:
    """By distance, as the harness counts it."""
    hits = 0
    for query, places in zip(queries, found, strict=True):
        far = distances(metric, rows, query)
        assert len(places) == len(set(map(int, places))) == K
        hits += int((far[np.asarray(places)] <= np.sort(far)[K - 1] + 1e-3).sum())
    return hits / (K * len(queries))


@pytest.mark.parametrize("metric", ["euclidean", "angular"])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_finds_what_its_arguments_promise(
    form: str, metric: str, make: Make, data: tuple[Floats, Floats], plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "_LEAST_TUNED", 1_000)
    rows, queries = data
    algorithm = make(form, metric, None)
    before = algorithm.get_memory_usage()
    algorithm.fit(rows)
    assert algorithm.get_memory_usage() >= before > 0
    for arguments, floor in (({"recall": 0.95}, 0.9), ({"budget": 1_500, "rerank": 1}, 0.9), ({"exact": True}, 1.0)):
        algorithm.set_query_arguments(arguments)
        measured = recall(metric, rows, queries, [algorithm.query(query, K) for query in queries])
        assert measured >= floor, f"{algorithm}: recall {measured}"
        algorithm.batch_query(queries, K)
        batch = [list(found) for found in algorithm.get_batch_results()]
        assert batch == [algorithm.query(query, K).tolist() for query in queries]
    assert "exact" not in algorithm.get_additional()["encoding"]


@pytest.mark.parametrize("form", FORMS)
def test_a_name_tells_all_arguments(form: str, make: Make) -> None:
    algorithm = make(form, "euclidean", {"form": "lvq8"})
    algorithm.set_query_arguments({"budget": 500, "rerank": 40})
    assert str(algorithm) == f"{algorithm.form}(form=lvq8, budget=500, rerank=40)"
    algorithm.set_query_arguments({"recall": 0.9})
    assert str(algorithm) == f"{algorithm.form}(form=lvq8, recall=0.9)"


def test_unknown_arguments_and_metrics_are_refused(make: Make) -> None:
    algorithm = make("VdbIndex", "euclidean")
    with pytest.raises(ValueError, match="ef: there are recall"):
        algorithm.set_query_arguments({"ef": 10})
    with pytest.raises(ValueError, match="unknown arguments M"):
        make("VdbIndex", "euclidean", {"M": 16})
    with pytest.raises(ValueError, match="hamming"):
        make("VdbIndex", "hamming")


def test_an_encoding_that_is_named_is_the_one_that_is_built(make: Make, data: tuple[Floats, Floats]) -> None:
    for form in ("Vdb", "VdbIndex"):
        algorithm = make(form, "euclidean", {"form": "lvq4", "dimension": 8})
        algorithm.fit(data[0])
        assert algorithm.get_additional()["encoding"] == "lvq4, 8 dimensions"


def test_the_index_lies_on_the_tier_that_is_named(make: Make, data: tuple[Floats, Floats]) -> None:
    rows, queries = data
    algorithm = make("Vdb", "euclidean", {"tier": "disk"})
    algorithm.fit(rows)
    assert algorithm.get_additional()["tier"] == "disk"
    algorithm.set_query_arguments({"recall": 0.99})
    measured = recall("euclidean", rows, queries, [algorithm.query(query, K) for query in queries])
    assert measured >= 0.8, f"recall {measured}"  # 4-bit codes, and no profile of this tier


def test_few_rows_are_searched_exactly(make: Make, data: tuple[Floats, Floats]) -> None:
    rows, queries = data[0][:200], data[1]
    algorithm = make("Vdb", "angular", {"index_from_points": 1_000})
    algorithm.fit(rows)
    assert recall("angular", rows, queries, [algorithm.query(query, K) for query in queries]) == 1.0
    assert algorithm.get_additional()["encoding"] == "exact"


def test_the_server_is_a_process_of_its_own_that_ends(make: Make) -> None:
    algorithm = make("VdbServer", "euclidean")
    pid = algorithm._server.pid
    assert pid != os.getpid()
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    resident = next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    assert algorithm.get_memory_usage() == pytest.approx(resident, rel=0.2)
    algorithm.done()
    assert not Path(f"/proc/{pid}").exists()


def test_the_configuration_names_what_there_is(make: Make, plugin: Any) -> None:
    yaml = pytest.importorskip("yaml")
    algorithms = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["float"]["any"]
    assert [one["name"] for one in algorithms] == ["vdb", "vdb-server", "vdb-index"]
    for one in algorithms:
        constructor = getattr(plugin, one["constructor"])
        assert constructor.form == one["name"]
        for group in one["run_groups"].values():
            for arguments in group["args"][0]:
                assert set(arguments) <= set(constructor.build_arguments)
            for arguments in group["query_args"][0]:
                algorithm = constructor.__new__(constructor)
                algorithm.set_query_arguments(arguments)
                assert algorithm.query_arguments == arguments


def test_results_fit_the_files_of_the_harness(make: Make, data: tuple[Floats, Floats], tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rows, queries = data
    algorithm = make("VdbIndex", "euclidean")
    algorithm.fit(rows)
    found = [algorithm.query(query, K) for query in queries]
    with h5py.File(tmp_path / "result.hdf5", "w") as file:
        for name, value in {"name": str(algorithm), **algorithm.get_additional()}.items():
            file.attrs[name] = value
        neighbors = file.create_dataset("neighbors", (len(found), K), "i")
        for place, some in enumerate(found):
            neighbors[place] = [int(row) for row in some]
    with h5py.File(tmp_path / "result.hdf5", "r") as file:
        assert file.attrs["name"] == "vdb-index()"
        assert file.attrs["encoding"].endswith("dimensions")
        np.testing.assert_array_equal(file["neighbors"], found)
