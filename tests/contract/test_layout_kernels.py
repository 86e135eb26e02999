"""Kernels that order rows and cut readings: both implementations against plain loops."""

import itertools

import numpy as np
import pytest

from tests.contract.readings import encoded, make_tree
from vdb.kernels import Kernels, cpu_kernels, reference_kernels
from vdb.kernels.reference import UInt32s
from vdb.kernels.reference_cells import (
    ENTRIES_FIRST,
    LIST_ENTRIES,
    LIST_FIRST,
    LIST_STOP,
    LVQ8,
    OWN_ENTRIES,
    OWN_FIRST,
    OWN_STOP,
    REVOKED,
)

ALIVE = 0xFFFF_FFFF
COUNTS_ONLY: UInt32s = np.zeros((2, 0), np.uint32)


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return reference_kernels() if request.param == "numpy" else cpu_kernels()


def sorted_list(rng: np.random.Generator, cells: UInt32s, n: int) -> UInt32s:
    """`n` different rows in the order of (cell, row)."""
    rows = rng.choice(len(cells), n, replace=False).astype(np.uint32)
    return rows[np.lexsort((rows, cells[rows]))]


@pytest.mark.parametrize("d", [1, 2, 31, 33, 160, 384])
@pytest.mark.parametrize("n_cells", [1, 2, 200])
def test_the_nearest_cell_is_that_of_the_least_distance(
    kernels: Kernels, rng: np.random.Generator, d: int, n_cells: int
) -> None:
    centroids = rng.integers(-8, 8, (n_cells, d)).astype(np.float32)
    rows = rng.integers(-127, 128, (300, d)).astype(np.float32)
    rows[:, 0] = 127
    rows[7] = 0
    codes, _ = encoded(centroids, LVQ8, 1.0)
    cell = np.full(300, 77, np.uint32)
    norms = (centroids**2).sum(axis=1)
    kernels.nearest_cells(rows, codes, codes.view(np.float32), norms, cell)
    scores = norms - 2 * rows.astype(float) @ centroids.T
    np.testing.assert_allclose(scores[np.arange(300), cell], scores.min(axis=1), rtol=1e-6, atol=0.1)
    assert np.mean(cell == scores.argmin(axis=1)) > 0.95


def test_of_equally_near_cells_the_lowest_is_taken(kernels: Kernels) -> None:
    codes, _ = encoded(np.full((9, 4), 3, np.float32), LVQ8, 1.0)
    cell = np.full(5, 77, np.uint32)
    offset = np.array([5, 4, 4, 6, 4, 9, 4, 4, 4], np.float32)
    kernels.nearest_cells(np.ones((5, 4), np.float32), codes, codes.view(np.float32), offset, cell)
    assert cell.tolist() == [1] * 5


@pytest.mark.parametrize("n_tops", [1, 3, 20, 50])
def test_cells_below_the_nearest_nodes_are_compared_and_no_others(
    kernels: Kernels, rng: np.random.Generator, n_tops: int
) -> None:
    tops = rng.integers(-8, 8, (20, 33)).astype(np.float32)
    cells = rng.integers(-8, 8, (200, 33)).astype(np.float32)
    cells[1::2] = cells[::2]  # ties go to the lower
    rows = rng.integers(-127, 128, (300, 33)).astype(np.float32)
    rows[:, 0], rows[7] = 127, 0
    first = np.sort(np.append(rng.choice(np.arange(1, 200), 19, replace=False), [0, 200])).astype(np.uint32)
    top_codes, cell_codes = encoded(tops, LVQ8, 1.0)[0], encoded(cells, LVQ8, 1.0)[0]
    top_norms, cell_norms = (tops**2).sum(axis=1), (cells**2).sum(axis=1)
    cell = np.full(300, 777, np.uint32)
    kernels.nearest_cells_below(
        rows, top_codes, top_codes.view(np.float32), top_norms, first,
        cell_codes, cell_codes.view(np.float32), cell_norms, n_tops, cell,
    )  # fmt: skip
    top_scores = top_norms - 2 * rows.astype(float) @ tops.T
    scores = cell_norms - 2 * rows.astype(float) @ cells.T
    near = np.sort(top_scores, axis=1)[:, min(n_tops, 20) - 1] + 0.1
    top_of = np.repeat(np.arange(20), np.diff(first.astype(int)))
    assert np.all(top_scores[np.arange(300), top_of[cell]] <= near)
    below = np.where((top_scores <= near[:, None])[:, top_of], scores, np.inf)
    np.testing.assert_allclose(scores[np.arange(300), cell], below.min(axis=1), rtol=1e-6, atol=0.1)
    assert np.mean(cell == below.argmin(axis=1)) > 0.95


@pytest.mark.parametrize("value", [1e30, 3e38, np.inf, np.nan, 1e-44])
def test_a_row_whose_products_overflow_has_a_cell(kernels: Kernels, rng: np.random.Generator, value: float) -> None:
    codes, _ = encoded(rng.integers(-8, 8, (20, 31)).astype(np.float32), LVQ8, 1.0)
    constants = codes.view(np.float32)
    constants[::2, -2:] = 3e38
    rows = rng.choice(np.array([value, -value, 0], np.float32), (30, 31))
    cell = np.full(30, 77, np.uint32)
    offset = np.full(20, np.inf, np.float32)
    kernels.nearest_cells(rows, codes, constants, offset, cell)
    assert np.all(cell < 20)
    cell[:] = 77
    halves = np.array([0, 10, 20], np.uint32)
    kernels.nearest_cells_below(rows, codes[:2], constants[:2], offset[:2], halves, codes, constants, offset, 2, cell)
    assert np.all(cell < 20)


def test_rows_with_the_same_tenants_have_the_same_key_and_others_another(
    kernels: Kernels, rng: np.random.Generator
) -> None:
    held = rng.random((12, 500)) < 0.3
    held[:, 100:200] = held[:, :100]
    starts = np.concatenate(([0], np.cumsum(held.sum(axis=1)))).astype(np.int64)
    key = np.zeros(500, np.uint64)
    kernels.sharing_keys(starts, np.nonzero(held)[1].astype(np.uint32), key)
    kinds = {tuple(column) for column in held.T.tolist()}
    assert len({(tuple(column), int(k)) for column, k in zip(held.T.tolist(), key, strict=True)}) == len(kinds)
    assert len(np.unique(key)) == len(kinds)


def test_keys_and_lists_are_the_same_from_both(rng: np.random.Generator) -> None:
    twin, compiled = reference_kernels(), cpu_kernels()
    starts = np.sort(rng.integers(0, 3_000, 21)).astype(np.int64)
    starts[0], starts[-1] = 0, 3_000
    rows = np.concatenate([sorted_list(rng, np.zeros(3_000, np.uint32), n) for n in np.diff(starts)])
    keys = [np.zeros(3_000, np.uint64) for _ in range(2)]
    lists = [np.zeros(3_000, np.uint32) for _ in range(2)]
    place = rng.permutation(3_000).astype(np.uint32)
    cells = rng.integers(0, 50, 3_000).astype(np.uint32)
    for kernels, key, listed in zip((twin, compiled), keys, lists, strict=True):
        kernels.sharing_keys(starts, rows, key)
        kernels.list_rows(starts, rows, place, cells, listed)
    np.testing.assert_array_equal(keys[0], keys[1])
    np.testing.assert_array_equal(lists[0], lists[1])


@pytest.mark.parametrize("n_cells", [1, 2, 30, 100_000])
def test_lists_are_translated_and_sorted_by_cell_and_row(
    kernels: Kernels, rng: np.random.Generator, n_cells: int
) -> None:
    cells = np.sort(rng.integers(0, n_cells, 400)).astype(np.uint32)
    cells[200:] = cells[:200]
    cells = np.append(cells, np.uint32(0xFFFF_FFFF))  # room for another row, which nothing was written to
    place = rng.permutation(400).astype(np.uint32)
    parts = [rng.choice(400, n, replace=False).astype(np.uint32) for n in (0, 1, 50, 400, 0)]
    starts = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    listed = np.full(int(starts[-1]), 77, np.uint32)
    kernels.list_rows(starts, np.concatenate(parts), place, cells, listed)
    for i, part in enumerate(parts):
        expected = sorted(place[part].tolist(), key=lambda row: (cells[row], row))
        assert listed[starts[i] : starts[i + 1]].tolist() == expected


@pytest.mark.parametrize("limit", [1, 5, 64, 10_000])
@pytest.mark.parametrize("n_cells", [1, 2, 3, 40, 129])
def test_entries_cover_a_reading_once_at_the_highest_nodes_under_the_limit(
    kernels: Kernels, rng: np.random.Generator, n_cells: int, limit: int
) -> None:
    children, low, high = make_tree(n_cells)
    parent = {int(child): node for node, pair in enumerate(children) for child in pair if child >= 0}
    cells = np.sort(rng.integers(n_cells, size=600)).astype(np.uint32)
    listed = sorted_list(rng, cells, 300)
    listed[rng.random(300) < 0.2] |= np.uint32(REVOKED)
    spans = np.zeros((3, 9), np.int64)
    spans[:, [OWN_FIRST, OWN_STOP]] = [(0, 400), (400, 600), (0, 0)]
    spans[:, [LIST_FIRST, LIST_STOP]] = [(0, 0), (10, 290), (0, 3)]
    how = (listed, cells, children, low, high, limit, 20, 20)
    n = kernels.cut_entries(spans, *how, COUNTS_ONLY)
    entries = np.full((2, n), 77, np.uint32)
    assert kernels.cut_entries(spans, *how, entries) == n
    assert spans[2, [OWN_ENTRIES, LIST_ENTRIES]].tolist() == [0, 0]
    for span in spans[:2]:
        first, n_own = int(span[ENTRIES_FIRST]), int(span[OWN_ENTRIES])
        kinds = (
            (entries[:, first : first + n_own], span[OWN_FIRST], span[OWN_STOP], cells),
            (
                entries[:, first + n_own : first + n_own + int(span[LIST_ENTRIES])],
                span[LIST_FIRST],
                span[LIST_STOP],
                cells[listed & np.uint32(REVOKED - 1)],
            ),
        )
        for part, start, stop, of_place in kinds:
            nodes, begins = part.tolist()
            places = [range(begin, end) for begin, end in itertools.pairwise((*begins, int(stop)))]
            assert [place for run in places for place in run] == list(range(start, stop))
            for node, run in zip(nodes, places, strict=True):
                length = len(run)
                assert np.all((of_place[run] >= low[node]) & (of_place[run] < high[node]))
                assert length <= limit or children[node, 0] < 0
                if node:
                    above = parent[node]
                    n_above = np.count_nonzero(
                        (of_place[start:stop] >= low[above]) & (of_place[start:stop] < high[above])
                    )
                    assert n_above > limit


def test_a_tree_deeper_than_any_balanced_one_is_cut(kernels: Kernels) -> None:
    n_cells = 700
    children = np.full((2 * n_cells - 1, 2), -1, np.int32)
    low = np.zeros(2 * n_cells - 1, np.uint32)
    high = np.full(2 * n_cells - 1, n_cells, np.uint32)
    for i in range(n_cells - 1):
        node, left, right = 2 * i, 2 * i + 2, 2 * i + 1
        children[node] = left, right
        high[left] = n_cells - i - 1
        low[right], high[right] = n_cells - i - 1, n_cells - i
    cells = np.arange(n_cells, dtype=np.uint32)
    spans = np.zeros((1, 9), np.int64)
    spans[0, OWN_STOP] = n_cells
    entries = np.zeros((2, n_cells), np.uint32)
    nothing = np.zeros(0, np.uint32)
    assert kernels.cut_entries(spans, nothing, cells, children, low, high, 1, 0, 0, entries) == n_cells
    assert entries[1].tolist() == list(range(n_cells))


@pytest.mark.parametrize(("n_list", "n_tail"), [(0, 0), (0, 9), (50, 0), (300, 100), (5, 300)])
def test_a_fold_merges_what_is_alive_and_not_revoked_each_row_once(
    kernels: Kernels, rng: np.random.Generator, n_list: int, n_tail: int
) -> None:
    cells = rng.integers(0, 40, 400).astype(np.uint32)
    dead_at = rng.choice([ALIVE, 50, 51], 400, p=[0.8, 0.1, 0.1]).astype(np.uint32)
    parts = [sorted_list(rng, cells, n) for n in (n_list, n_tail)]
    for part in parts:
        part[rng.random(len(part)) < 0.2] |= np.uint32(REVOKED)
    listed = np.concatenate((np.full(3, 5, np.uint32), parts[0], np.full(2, 6, np.uint32)))
    merged = np.full(n_list + n_tail, 77, np.uint32)
    n = kernels.fold(listed, 3, 3 + n_list, parts[1], cells, dead_at, 50, merged)
    kept = {row for part in parts for row in part.tolist() if row < REVOKED and dead_at[row] > 50}
    assert merged[:n].tolist() == sorted(kept, key=lambda row: (cells[row], row))


@pytest.mark.parametrize("n_tail", [0, 1, 40])
def test_rows_of_a_list_and_its_tail_are_named_once_by_their_new_numbers(
    kernels: Kernels, rng: np.random.Generator, n_tail: int
) -> None:
    n, tenant = 300, 3
    is_kept, owners = rng.random(n) < 0.8, rng.integers(1, 5, n + 20).astype(np.uint32)
    place, is_late = rng.permutation(n).astype(np.uint32), np.zeros(n, np.bool_)
    listed = rng.permutation(n + 10)[:200].astype(np.uint32)  # some arrived since
    tail = rng.integers(0, n + 10, n_tail).astype(np.uint32)  # some twice, some listed too
    listed[::7] |= np.uint32(REVOKED)
    tail[::5] |= np.uint32(REVOKED)
    named = np.full(190 + n_tail, 777, np.uint32)
    n_named = kernels.name_rows(tenant, listed, 10, 200, tail, is_kept, owners, place, is_late, named)
    rows = {row for row in [*listed[10:200].tolist(), *tail.tolist()] if row < n}
    expected = sorted(int(place[row]) for row in rows if is_kept[row] and owners[row] != tenant)
    assert sorted(named[:n_named].tolist()) == expected
    assert not is_late.any()
