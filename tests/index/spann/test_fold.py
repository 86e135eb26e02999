"""A fold splits lists that have grown, moves rows to nearer lists, loses nothing, and leaves a damaged page alone."""

from pathlib import Path

import numpy as np
import pytest

from tests.index.spann.disk import NOW_MS, SEQUENCE, Points, arguments, clustered
from tests.index.spann.world import EVERYTHING, DiskWorld
from vdb.errors import CorruptData
from vdb.index.curator.model import Encoding, Form, prepared
from vdb.index.curator.training import train
from vdb.index.spann import fold
from vdb.index.spann.fold import folded
from vdb.index.spann.index import SpannIndex
from vdb.index.spann.search import Effort
from vdb.storage.lists import Lists
from vdb.storage.vectors_file import VectorsFile
from vdb.types import Metric


def index_of(vectors: np.ndarray, folder: Path) -> tuple[SpannIndex, Lists, VectorsFile]:
    """An index of one owner's points, whose vectors lie in a file."""
    points = Points(vectors, np.ones(len(vectors), np.uint32), np.zeros(len(vectors), np.int64), {})
    ready = prepared(vectors, Metric.COSINE)
    model = train(ready, len(ready), Metric.COSINE, Encoding(Form.LVQ8, ready.shape[1]))
    given, ordered = (VectorsFile(folder / name, ready.shape[1]) for name in ("given.vdb", "vectors.vdb"))
    given.put(np.arange(len(ready), dtype=np.uint32), ready)
    lists = Lists(folder / "lists")
    index = SpannIndex.build(model, vectors=given, ordered=ordered, lists=lists, **arguments(points))
    given.close()
    return index, lists, ordered


def test_lists_that_have_grown_are_split_and_rows_move_to_nearer_ones(rng: np.random.Generator, tmp_path: Path) -> None:
    rows = clustered(rng, 30_000, 24, 300, spread=0.8)
    crowded = rows[rng.integers(300, size=20_000)] + 0.6 * rng.standard_normal((20_000, 24))
    rows[10_000:] = crowded
    index, lists, file = index_of(rows[:10_000], tmp_path)
    n_before = len(index.state.model.leaves)
    new = np.arange(20_000, dtype=np.uint32) + np.uint32(40_000)
    index.put(1, new, rows[10_000:], np.zeros(20_000, np.int64), {1: None}, SEQUENCE + 1)
    outcome = folded(index, index.begin_layout(SEQUENCE + 1), lists)
    laid = outcome.index.state.laid
    assert outcome.n_rows == 20_000 and outcome.n_split > n_before / 4 and outcome.n_moved > 0
    assert len(laid.model.leaves) == n_before + outcome.n_split
    counts = np.bincount(laid.cells, minlength=len(laid.model.leaves))
    assert counts.sum() == 30_000 and counts.max() <= fold.SPLIT_ROWS + fold.LIST_ROWS
    effort = Effort(budget=1_500, candidates=60)
    wanted = prepared(rows, Metric.COSINE)
    hits = 0
    for query in wanted[::300]:
        true = np.sort(1 - wanted @ query)[9]
        found = outcome.index.search(outcome.index.state, 1, query, 10, SEQUENCE + 1, NOW_MS, effort)
        hits += int((found.distance <= true + 1e-5).sum())
    assert hits >= 0.95 * 10 * len(wanted[::300])
    lists.close()
    file.close()


def test_identical_late_vectors_are_all_found_after_a_fold(rng: np.random.Generator, tmp_path: Path) -> None:
    n_same = 5_000
    index, lists, file = index_of(clustered(rng, 5_000, 16, 100), tmp_path)
    same = np.repeat(rng.standard_normal((1, 16)).astype(np.float32), n_same, axis=0)
    pids = np.arange(n_same, dtype=np.uint32) + np.uint32(100_000)
    for half in (pids[: n_same // 2], pids[n_same // 2 :]):
        sequence = int(half[0])
        index.put(1, half, same[: len(half)], np.zeros(len(half), np.int64), {1: None}, sequence)
        index = folded(index, index.begin_layout(sequence), lists).index
    found = index.search(index.state, 1, same[0], n_same, int(pids[-1]), NOW_MS, Effort(3 * n_same, n_same))
    assert set(found.pid.tolist()) == set(pids.tolist())
    lists.close()
    file.close()


def test_a_damaged_page_ends_a_fold_and_the_index_goes_on(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(300))
    index = world.index
    place = int(index.state.laid.pages.places[1])
    with (tmp_path / "lists" / "data.mdb").open("r+b") as file:
        file.seek(place * 4096 + 600)
        file.write(b"damage")
    moment = index.begin_layout(world.sequence)
    with pytest.raises(CorruptData, match="page 1 "):
        folded(index, moment, world.lists)
    index.abandon_layout()
    assert index.n_noted == 0
    with pytest.raises(CorruptData):
        index.search(index.state, 1, world.vectors(1)[0], 300, world.sequence, 0, EVERYTHING)
    world.lists.close()


def test_an_interrupted_fold_leaves_the_index_and_its_generation_alone(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    """Given up at every step in turn; the last one comes to its end."""
    world = DiskWorld(rng, folder=tmp_path / "lists")
    world.build(world.some_points(300))
    for _ in range(30):
        world.change_something()
    left = [0]

    def give_up() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise InterruptedError

    n_steps, outcome = 0, None
    while outcome is None:
        left[0] = n_steps
        moment = world.index.begin_layout(world.sequence)
        try:
            outcome = folded(world.index, moment, world.lists, give_up)
        except InterruptedError:
            world.check(int(rng.choice(world.tenants)))
            n_steps += 1
        world.index.abandon_layout()
    assert n_steps > 5
    world.index = outcome.index
    world.check_all()
    world.lists.sweep(kept=world.index.state.laid.pages.generation)
    assert world.lists.generations()[-1] == world.index.state.laid.pages.generation
    world.lists.close()


def test_late_rows_with_an_expiry_give_the_layout_a_column(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = clustered(rng, 500, 16, 10)
    index, lists, file = index_of(vectors, tmp_path)
    assert not index.state.laid.has_expiry
    expiries = np.array([NOW_MS + 5_000, 0, NOW_MS - 5_000], np.int64)
    pids = np.array([9_001, 9_002, 9_003], np.uint32)
    index.put(1, pids, vectors[:3], expiries, {1: None}, SEQUENCE + 1)
    index = folded(index, index.begin_layout(SEQUENCE + 1), lists).index
    assert index.state.laid.has_expiry
    for now_ms, gone in ((NOW_MS, {9_003}), (NOW_MS + 6_000, {9_001, 9_003})):
        found = index.search(index.state, 1, vectors[0], 600, SEQUENCE + 1, now_ms, EVERYTHING)
        seen = set(found.pid[found.row >= 0].tolist())
        assert len(seen) == 503 - len(gone) and not seen & gone
    lists.close()
    file.close()
