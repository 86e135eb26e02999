"""What is found on disk is what is seen, nothing else, and the nearest of it."""

from pathlib import Path

import numpy as np
import pytest

from tests.index.spann.disk import (
    EVERYTHING,
    NOW_MS,
    SEQUENCE,
    Points,
    built,
    clustered,
    in_memory,
    search,
    some_points,
)
from vdb.errors import CorruptData
from vdb.index.curator.index import Effort as MemoryEffort
from vdb.index.curator.model import Encoding, Form
from vdb.index.spann.search import Effort
from vdb.types import EVERYONE_ID, Metric

TENANTS = (1, 2, 3, 5, 8, 9)
LEAST_RECALL = 0.95


@pytest.mark.parametrize("form", [Form.LVQ8, Form.LVQ4, Form.FLOAT32, Form.FLOAT16])
@pytest.mark.parametrize("metric", list(Metric))
def test_an_unbounded_search_finds_what_comparing_everything_finds(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None, metric: Metric, form: Form
) -> None:
    points = some_points(rng, 1_500, metric)
    index, lists = built(points, tmp_path / "lists", Encoding(form, 24))
    for tenant in TENANTS:
        query = points.vectors[int(rng.integers(1_500))] + rng.standard_normal(24).astype(np.float32) / 4
        wanted = points.nearest(tenant, query, 30)
        found = search(index, tenant, query, 30)
        n = len(wanted)
        assert np.all(found.row[n:] == -1) and np.all(np.isinf(found.distance[n:]))
        np.testing.assert_allclose(found.distance[:n], [distance for distance, _ in wanted], rtol=1e-4, atol=1e-5)
        seen = set(points.pids[points.seen(tenant)].tolist())
        assert set(found.pid[:n].tolist()) <= seen and len(set(found.pid[:n].tolist())) == n
    lists.close()


def test_bounded_searches_find_most_of_the_neighbours_and_nothing_that_is_hidden(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    points = some_points(rng, 20_000)
    index, lists = built(points, tmp_path / "lists", Encoding(Form.LVQ4, 24))
    effort = Effort(budget=800, candidates=60, ratio=3.0, spreads=5.0)
    hits, n_wanted, pages = 0, 0, []
    asked = np.flatnonzero(points.vectors.any(axis=1))
    for i in range(60):
        tenant = TENANTS[i % 3]
        query = points.vectors[int(rng.choice(asked))] + rng.standard_normal(24).astype(np.float32) / 10
        wanted = points.nearest(tenant, query, 10)
        found = search(index, tenant, query, 10, effort)
        assert set(found.pid.tolist()) <= set(points.pids[points.seen(tenant)].tolist())
        hits += int((found.distance <= wanted[-1][0] + 1e-5).sum())
        n_wanted += len(wanted)
        pages.append(int(found.statistics[4]))
    recall = hits / n_wanted
    assert recall >= LEAST_RECALL, f"recall is {recall:.3f}"
    assert np.mean(pages) < index.state.laid.pages.n_pages / 3, f"{np.mean(pages)} pages were read on average"
    lists.close()


def test_lists_are_read_beside_a_run_that_is_scanned_whole(rng: np.random.Generator, tmp_path: Path) -> None:
    """A run of more rows than the budget once left it no list of what is everyone's."""
    vectors = clustered(rng, 6_000, 24, 60)
    owners = np.where(np.arange(6_000) < 900, 1, 2).astype(np.uint32)
    points = Points(vectors, owners, np.zeros(6_000, np.int64), {EVERYONE_ID: list(range(900, 6_000))})
    index, lists = built(points, tmp_path / "lists")
    assert index.state.laid.reading(1).n_entries == 0
    for effort in (Effort(budget=600, candidates=60), Effort(budget=600, candidates=60, ratio=3.0, spreads=5.0)):
        hits = 0
        for _ in range(20):
            query = vectors[int(rng.integers(6_000))] + rng.standard_normal(24).astype(np.float32) / 10
            wanted = points.nearest(1, query, 10)
            hits += int((search(index, 1, query, 10, effort).distance <= wanted[-1][0] + 1e-5).sum())
        assert hits / 200 >= LEAST_RECALL, f"recall is {hits / 200:.3f}"
    lists.close()


def test_on_disk_and_in_memory_the_same_is_found(rng: np.random.Generator, tmp_path: Path, small_bounds: None) -> None:
    points = some_points(rng, 2_000)
    index, lists = built(points, tmp_path / "lists")
    memory = in_memory(points)
    for tenant in TENANTS:
        query = rng.standard_normal(24).astype(np.float32)
        found = search(index, tenant, query, 20)
        state = memory.state
        readings = state.reading(tenant), state.reading(EVERYONE_ID)
        other = memory.search(state, *readings, query, 20, SEQUENCE, NOW_MS, MemoryEffort(1 << 40, 1 << 14))
        held = other.row >= 0
        assert found.pid[held].tolist() == state.rows.pids[other.row[held]].tolist()
        np.testing.assert_array_equal(found.distance, other.distance)
        assert index.state.laid.owners_of(found.row[held]).tolist() == state.rows.owners[other.row[held]].tolist()
    lists.close()


def test_identical_vectors_are_all_found(rng: np.random.Generator, tmp_path: Path) -> None:
    n, n_same = 100_000, 10_000
    vectors = clustered(rng, n, 16, 500)
    same = rng.choice(n, n_same, replace=False)
    vectors[same] = vectors[same[0]]
    points = Points(vectors, np.ones(n, np.uint32), np.zeros(n, np.int64), {})
    index, lists = built(points, tmp_path / "lists")
    found = search(index, 1, vectors[same[0]], n_same, Effort(budget=3 * n_same, candidates=n_same))
    assert set(points.pids[same].tolist()) <= set(found.pid.tolist())
    lists.close()


def test_every_point_has_one_row(rng: np.random.Generator, tmp_path: Path, small_bounds: None) -> None:
    points = some_points(rng, 1_000)
    index, lists = built(points, tmp_path / "lists")
    pages = index.state.laid.pages
    _, columns = pages.rows(0, pages.n_rows)
    assert sorted(columns[0].tolist()) == points.pids.tolist()
    assert columns[1].tolist() == list(range(1_000)), "vectors lie in the order of rows"
    owners = index.state.laid.owners_of(np.arange(1_000))
    assert owners.tolist() == points.owners[columns[0] // 3].tolist() and owners.tolist() == sorted(owners.tolist())
    lists.close()


def test_large_readings_are_searched_through_their_tops(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    points = some_points(rng, 3_000)
    index, lists = built(points, tmp_path / "lists")
    reading = index.state.laid.reading(1)
    query = points.vectors[5]
    found = search(index, 1, query, 10, Effort(50, 30))
    assert reading.n_entries > 30
    assert found.statistics[0] < reading.n_entries + index.state.laid.reading(EVERYONE_ID).n_entries
    tops = index.state.laid.table(1).arrays[3]
    assert tops.shape[1] > 2 and tops[1, 0] == 0 and np.all(np.diff(tops[1].astype(np.int64)) > 0)
    lists.close()


def test_a_damaged_page_is_told_and_nothing_of_it_is_found(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    points = some_points(rng, 1_000)
    index, lists = built(points, tmp_path / "lists")
    place = int(index.state.laid.pages.places[2])
    with (tmp_path / "lists" / "data.mdb").open("r+b") as file:
        file.seek(place * 4096 + 700)
        file.write(b"damage")
    with pytest.raises(CorruptData, match="page 2 "):
        search(index, 1, points.vectors[3], 10)
    lists.close()


def test_rows_that_ended_are_not_found_from_their_sequence_on(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    points = some_points(rng, 600)
    points.expires_at_ms[:] = 0
    index, lists = built(points, tmp_path / "lists")
    gone = np.sort(rng.choice(points.pids, 100, replace=False))
    index.kill(gone[1::2].copy(), SEQUENCE)
    index.kill(gone[::2].copy(), SEQUENCE + 3)
    for after, missing in ((0, set(gone[1::2].tolist())), (2, set(gone[1::2].tolist())), (3, set(gone.tolist()))):
        found = index.search(index.state, 1, points.vectors[0], 600, SEQUENCE + after, NOW_MS, EVERYTHING)
        seen = set(points.pids[points.seen(1)].tolist()) - missing
        assert set(found.pid[found.row >= 0].tolist()) == seen
    lists.close()


def test_an_index_of_no_points_of_a_tenant_finds_nothing(
    rng: np.random.Generator, tmp_path: Path, small_bounds: None
) -> None:
    points = some_points(rng, 50)
    points.shared = {}
    index, lists = built(points, tmp_path / "lists")
    found = search(index, 77, points.vectors[0], 5)
    assert np.all(found.row == -1) and found.statistics[:6].tolist() == [0] * 6
    lists.close()
