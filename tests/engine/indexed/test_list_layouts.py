"""Layouts of indexes on disk: read as they were written, without a page; what contradicts itself is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.indexed.test_soundness import document, edited
from tests.index.curator.world import Memory
from tests.index.spann.disk import NOW_MS, SEQUENCE, Points, arguments, some_points
from vdb.engine import index_soundness
from vdb.engine.list_files import ListFiles, read_lists, write_lists
from vdb.errors import CorruptData
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.training import train
from vdb.index.spann import layout, state
from vdb.index.spann.fold import folded
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort
from vdb.kernels import dispatch, reference_kernels
from vdb.storage.arrays import load_arrays, save_arrays
from vdb.types import Metric

D = 8
TENANTS = (1, 2, 3, 5, 9)
EFFORT = Effort(1 << 40, 1 << 12)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and lists have entries and tops here; no kernel may go where NumPy cannot follow."""
    for name, value in (("OWN_WHOLE", 20), ("LIST_WHOLE", 20), ("ENTRY_ROWS", 4)):
        monkeypatch.setattr(layout, name, value)
    monkeypatch.setattr(state, "FEW_ENTRIES", 10)
    monkeypatch.setattr(index_soundness, "BLOCK_PLACES", 50)
    monkeypatch.setattr(dispatch._loader, "current", reference_kernels())


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ListFiles]:
    files = ListFiles(tmp_path / "disk")
    yield files
    files.close()


def save(files: ListFiles, rng: np.random.Generator, metric: Metric = Metric.L2, n: int = 240) -> Points:
    points = some_points(rng, n, metric, D)
    ready = prepared(points.vectors, metric)
    files.begin(D)
    model = train(ready, n, metric, Encoding(Form.LVQ8, D if metric is Metric.L2 else 4))
    index = SpannIndex.build(
        model, vectors=Memory(ready), ordered=files.vectors, lists=files.lists, **arguments(points)
    )
    write_lists(files, index, SEQUENCE, document(metric), 1)
    files.close()
    return points


def pids_of(index: SpannIndex, tenant: int, turn: int = 0) -> list[int]:
    """All that a tenant finds, nearest first."""
    query = np.linspace(-1, 1, D, dtype=np.float32)
    found = index.search(index.state, tenant, query, 400, SEQUENCE + turn, NOW_MS, EFFORT)
    held = found.row >= 0
    assert np.isfinite(found.distance[held]).all()
    pids: list[int] = found.pid[held].tolist()
    assert len(set(pids)) == len(pids)
    return pids


def use(files: ListFiles, index: SpannIndex, rng: np.random.Generator) -> None:
    """Search it as every tenant, write to it, fold it, and search again."""
    for turn in range(2):
        for tenant in TENANTS:
            pids_of(index, tenant, turn)
        pids = np.array([5, 6, 1_000], np.uint32)
        vectors = rng.standard_normal((3, D)).astype(np.float32)
        index.put(1, pids, vectors, np.zeros(3, np.int64), {1: None, -2: [0]}, SEQUENCE + 1)
        index.revoke(5, np.arange(60, dtype=np.uint32))
        index.kill(np.array([7, 8], np.uint32), SEQUENCE + 1)
        moment = index.begin_layout(SEQUENCE + 1)
        index = folded(index, moment, files.lists).index


@pytest.mark.parametrize("metric", list(Metric))
def test_a_layout_is_read_as_it_was_written(files: ListFiles, rng: np.random.Generator, metric: Metric) -> None:
    points = save(files, rng, metric)
    index, sequence, epoch = read_lists(files, document(metric))
    assert (sequence, epoch, index.n_slots_laid) == (SEQUENCE, 1, 240)
    for tenant in TENANTS:
        assert set(pids_of(index, tenant)) == set(points.pids[points.seen(tenant)].tolist())
    use(files, index, rng)


def test_a_folded_layout_is_read_as_it_was_written(files: ListFiles, rng: np.random.Generator) -> None:
    save(files, rng)
    index, _, _ = read_lists(files, document(Metric.L2))
    gone = index.state.laid.row_of_pid.nonzero()[0][:40].astype(np.uint32)
    index.kill(gone, SEQUENCE + 1)
    index.put(2, gone[:5], np.ones((5, D), np.float32), np.zeros(5, np.int64), {2: None}, SEQUENCE + 2)
    outcome = folded(index, index.begin_layout(SEQUENCE + 2), files.lists)
    write_lists(files, outcome.index, SEQUENCE + 2, document(Metric.L2), 2)
    before = [pids_of(outcome.index, tenant, 2) for tenant in TENANTS]
    files.close()
    read, sequence, _ = read_lists(files, document(Metric.L2))
    assert sequence == SEQUENCE + 2 and [pids_of(read, tenant, 2) for tenant in TENANTS] == before
    laid = read.state.laid
    assert len(laid.unnamed) == read.n_slots_laid - laid.n_rows > 0


def test_loading_reads_no_page_of_lists(files: ListFiles, rng: np.random.Generator) -> None:
    """A start does not wait for what only searches read: where it is damaged they say so."""
    save(files, rng)
    index, _, _ = read_lists(files, document(Metric.L2))
    places = index.state.laid.pages.places.tolist()
    del index
    files.close()
    with (files.lists_path / "data.mdb").open("r+b") as file:
        for place in places:
            file.seek(place * 4096 + 16)
            file.write(b"\xff" * 4080)
    index, _, _ = read_lists(files, document(Metric.L2))
    with pytest.raises(CorruptData, match="page"):
        pids_of(index, 1)


@pytest.mark.parametrize("seed", range(9))
def test_edited_arrays_with_right_checksums_are_refused_or_harmless(files: ListFiles, seed: int) -> None:
    rng = np.random.default_rng(seed)
    metric = list(Metric)[seed % 3]
    save(files, rng, metric)
    head, arrays = load_arrays(files.layout_path)
    names, n_refused = sorted(arrays), 0
    for turn in range(2 * len(names)):
        name = names[turn % len(names)]
        save_arrays(files.layout_path, head, arrays | {name: edited(arrays[name], rng)})
        try:
            index, _, _ = read_lists(files, document(metric))
        except CorruptData:
            n_refused += 1
            continue
        use(files, index, rng)
    assert n_refused > len(names) // 2


@pytest.mark.parametrize(
    "edit",
    [
        {"n_slots": 10}, {"n_slots": 1 << 40}, {"n_slots": -1}, {"n_slots": None}, {"form": 9}, {"form": 2},
        {"dimension": 3}, {"dimension": 0}, {"dimension": "x"}, {"is_projected": True}, {"layout": 2}, {"sequence": 8},
        {"epoch": -1}, {"epoch": None}, {"collection": [3, 6]}, {"n_trained": -1}, {"generation": 5},
        {"generation": None}, {"generation": 1 << 70}, {"n_rows": 239}, {"n_rows": 1 << 40}, {"has_expiry": False},
        {"has_expiry": 1}, {"spread": -1.0}, {"spread": None}, {"spread": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_heads_that_do_not_fit_the_arrays_are_refused(
    files: ListFiles, rng: np.random.Generator, edit: dict[str, Any]
) -> None:
    save(files, rng)
    head, arrays = load_arrays(files.layout_path)
    save_arrays(files.layout_path, head | edit, arrays)
    with pytest.raises(CorruptData):
        read_lists(files, document(Metric.L2))


@pytest.mark.parametrize("name", ["layout_path", "vectors_path", "lists_path"])
def test_files_that_are_not_all_there_are_refused(files: ListFiles, rng: np.random.Generator, name: str) -> None:
    save(files, rng)
    path: Path = getattr(files, name)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises((CorruptData, FileNotFoundError)):
        read_lists(files, document(Metric.L2))
