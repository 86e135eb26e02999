"""Layouts whose checksums are right and whose contents are not: refused, or searched within their arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vdb.engine import index_soundness
from vdb.engine.index_files import Files, read_index, write_index
from vdb.errors import CorruptData
from vdb.index.curator import layout
from vdb.index.curator.index import CuratorIndex, Effort
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.training import train
from vdb.kernels import reference_kernels
from vdb.storage.arrays import load_arrays, save_arrays
from vdb.storage.catalog import CollectionDocument
from vdb.types import EVERYONE_ID, Metric, Sharing

N, D, SEQUENCE = 240, 8, 7
TENANTS = (1, 2, 3, 9)
EFFORT = Effort(1 << 30, 50)


def document(metric: Metric) -> CollectionDocument:
    return CollectionDocument(
        id=3, name="books", state="ready", dimension=D, metric=metric, sharing=Sharing.TENANTS, fields={}, tenants=None,
        created_at_ms=5,
    )  # fmt: skip


def saved(folder: Path, rng: np.random.Generator, metric: Metric, is_projected: bool) -> Files:
    """An index of three owners, whose runs and lists are cut into entries."""
    files = Files(folder)
    vectors = files.new_vectors(D)
    rows = rng.standard_normal((N, D)).astype(np.float32)
    if metric is Metric.COSINE:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors.put(np.arange(N, dtype=np.uint32), rows)
    tenants = np.sort(np.array([EVERYONE_ID, 1, 2, 9], np.uint32))
    owners = np.repeat([1, 2, 3], N // 3).astype(np.uint32)
    lists = [np.flatnonzero((rng.random(N) < 0.4) & (owners != tenant)).astype(np.uint32) for tenant in tenants]
    starts = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    expires_at_ms = np.where(rng.random(N) < 0.1, 10_000, 0).astype(np.int64)
    index = CuratorIndex.build(
        train(rows, N, metric, Encoding(Form.LVQ8, 4 if is_projected else D)), rng.permutation(N).astype(np.uint32),
        owners, expires_at_ms, tenants, (starts, np.concatenate(lists)), vectors, SEQUENCE, reference_kernels(),
    )  # fmt: skip
    write_index(files, index, vectors, SEQUENCE, document(metric), 1)
    return files


def edited(values: Any, rng: np.random.Generator) -> Any:
    """An array with some values others, a shape that is another, or parts exchanged."""
    values = np.array(values)
    how = rng.integers(6)
    if not values.size:
        return np.zeros((2, *values.shape[1:]), values.dtype)
    if how == 0:
        return values[: len(values) // 2]
    if how == 1:
        return np.concatenate((values, values[:3]))
    if how == 2:
        return values[rng.permutation(len(values))]
    flat = values.reshape(-1)
    at = rng.integers(len(flat), size=int(rng.integers(1, 4)))
    if values.dtype.kind == "f":
        flat[at] = rng.choice([np.nan, np.inf, -1e30, 0.0, 3.0], len(at))
    elif how == 3:
        limits = np.iinfo(values.dtype)
        flat[at] = rng.choice([0, 1, limits.max, limits.max // 2, limits.min], len(at)).astype(values.dtype)
    else:
        flat[at] += rng.integers(1, 4, len(at)).astype(values.dtype)
    return values


def use(index: CuratorIndex, rng: np.random.Generator) -> None:
    """Search it as every tenant, write to it, lay it out, and search again; all rows it finds are rows, found once."""
    kernels = reference_kernels()
    for turn in range(2):
        state = index.state
        for tenant in TENANTS:
            query = rng.standard_normal(D).astype(np.float32)
            found = index.search(
                state, state.reading(tenant), state.reading(EVERYONE_ID), query, 300, SEQUENCE + turn, 0, EFFORT,
                kernels=kernels,
            )  # fmt: skip
            rows = found.row[found.row >= 0]
            assert np.all(rows < index.n_rows) and len(np.unique(rows)) == len(rows)
            assert np.isfinite(found.distance[: len(rows)]).all()
            pids = state.rows.pids[rows]
            assert len(np.unique(pids)) == len(pids)
        pids = np.array([5, 6, 1_000], np.uint32)
        vectors = rng.standard_normal((3, D)).astype(np.float32)
        index.put(1, pids, vectors, np.zeros(3, np.int64), {1: None, -2: [0]}, SEQUENCE + 1)
        index.revoke(9, np.arange(30, dtype=np.uint32))
        index.kill(np.array([7, 8], np.uint32), SEQUENCE + 1)
        index = index.successor(index.begin_layout(SEQUENCE + 1))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and lists have entries here, and lists several blocks; no kernel may go where NumPy cannot follow."""
    for name, value in (("OWN_WHOLE", 20), ("LIST_WHOLE", 20), ("ENTRY_ROWS", 4)):
        monkeypatch.setattr(layout, name, value)
    monkeypatch.setattr(index_soundness, "BLOCK_PLACES", 50)
    for module in ("index", "relayout"):
        monkeypatch.setattr(f"vdb.index.curator.{module}.current", reference_kernels, raising=False)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("is_projected", [False, True])
def test_a_layout_is_read_as_it_was_written(
    tmp_path: Path, rng: np.random.Generator, metric: Metric, is_projected: bool
) -> None:
    files = saved(tmp_path, rng, metric, is_projected)
    index, sequence, _ = read_index(files, document(metric))
    assert sequence == SEQUENCE and index.state.directories.entries.shape[1] > 20
    use(index, rng)
    files.close()


@pytest.mark.parametrize("seed", range(12))
def test_edited_arrays_with_right_checksums_are_refused_or_harmless(tmp_path: Path, seed: int) -> None:
    """Entries were bounded by the longer of rows and lists, and what arrays of the model held was not looked at."""
    rng = np.random.default_rng(seed)
    metric = list(Metric)[seed % 3]
    files = saved(tmp_path, rng, metric, seed % 2 == 0)
    head, arrays = load_arrays(files.layout_path)
    n_refused = 0
    names = sorted(arrays)
    for turn in range(2 * len(names)):
        name = names[turn % len(names)]
        save_arrays(files.layout_path, head, arrays | {name: edited(arrays[name], rng)})
        try:
            index, _, _ = read_index(files, document(metric))
        except CorruptData:
            n_refused += 1
            continue
        use(index, rng)
    assert n_refused > len(names) // 2
    files.close()


@pytest.mark.parametrize(
    "edit",
    [
        {"n_slots": 10}, {"n_slots": 1 << 40}, {"n_slots": -1}, {"n_slots": None}, {"form": 9}, {"form": 2},
        {"dimension": 3}, {"dimension": 0}, {"dimension": "x"}, {"is_projected": True}, {"layout": 1}, {"sequence": 8},
        {"epoch": -1}, {"epoch": None}, {"collection": [3, 6]}, {"n_trained": -1},
    ],
    ids=str,
)  # fmt: skip
def test_heads_that_do_not_fit_the_arrays_are_refused(
    tmp_path: Path, rng: np.random.Generator, edit: dict[str, Any]
) -> None:
    files = saved(tmp_path, rng, Metric.L2, False)
    head, arrays = load_arrays(files.layout_path)
    save_arrays(files.layout_path, head | edit, arrays)
    with pytest.raises(CorruptData):
        read_index(files, document(Metric.L2))
    files.close()
