"""Balanced clustering: the tree's shape on any data, that it is a clustering, and that a seed says everything."""

import numpy as np
import pytest

from vdb.errors import InvalidArgument
from vdb.index import kmeans
from vdb.index.kmeans import LEAF, Tree, bisect, cell_ranges, nearest, refine
from vdb.kernels.reference import Float32s


def mixture(rng: np.random.Generator, n: int = 4_000, d: int = 16, n_centres: int = 40) -> Float32s:
    centres = rng.standard_normal((n_centres, d)) * 3
    return (centres[rng.integers(n_centres, size=n)] + rng.standard_normal((n, d))).astype(np.float32)


def error_of(rows: Float32s, centroids: Float32s) -> float:
    return float(nearest(rows, centroids)[1].mean())


def check(tree: Tree, rows: Float32s) -> None:
    """What every tree keeps to: each row in one leaf, counts and means of the rows below, parents before children."""
    leaves = tree.leaves()
    assert set(tree.leaf_of_row) <= set(leaves)
    assert len(set(leaves)) == len(leaves) == (len(tree.children) + 1) // 2
    assert tree.n_rows[0] == len(rows)
    below = {int(leaf): rows[tree.leaf_of_row == leaf] for leaf in leaves}
    for node in range(len(tree.children) - 1, -1, -1):
        left, right = map(int, tree.children[node])
        if left != LEAF:
            assert node < left < right
            below[node] = np.concatenate((below[left], below[right]))
        assert tree.n_rows[node] == len(below[node])
        if len(below[node]):
            np.testing.assert_allclose(tree.centroid[node], below[node].mean(axis=0, dtype=np.float64), atol=1e-4)


def random_tree(rng: np.random.Generator, n_splits: int) -> np.ndarray:
    """Children of a tree of any shape; nodes that are split later follow, as in one that has grown."""
    children = [[LEAF, LEAF]]
    for _ in range(n_splits):
        leaves = [node for node, (left, _) in enumerate(children) if left == LEAF]
        node = int(rng.choice(leaves[-3:] if n_splits % 2 else leaves))
        children[node] = [len(children), len(children) + 1]
        children += [[LEAF, LEAF], [LEAF, LEAF]]
    return np.array(children, np.int32)


@pytest.mark.parametrize("n_splits", [0, 1, 2, 30, 101])
def test_cells_are_numbered_depth_first_and_each_node_is_a_run_of_them(rng: np.random.Generator, n_splits: int) -> None:
    children = random_tree(rng, n_splits)
    order: list[int] = []
    low, high = np.zeros(len(children), np.int64), np.zeros(len(children), np.int64)

    def visit(node: int) -> None:
        low[node] = len(order)
        left, right = children[node].tolist()
        if left == LEAF:
            order.append(node)
        else:
            visit(left)
            visit(right)
        high[node] = len(order)

    visit(0)
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int32)
    assert Tree(children, *nothing).leaves().tolist() == order
    found = cell_ranges(children)
    assert [one.tolist() for one in found] == [low.tolist(), high.tolist()]


@pytest.mark.parametrize("n", [1, 2, 3, 99, 2_000])
@pytest.mark.parametrize("max_rows", [1, 7, 64])
def test_leaves_keep_their_limit(rng: np.random.Generator, n: int, max_rows: int) -> None:
    rows = mixture(rng, n)
    tree = bisect(rows, max_rows)
    check(tree, rows)
    assert max(tree.n_rows[tree.leaves()]) <= max_rows
    assert len(tree.leaves()) <= max(1, 4 * -(-n // max_rows))


def test_every_cut_leaves_a_quarter_on_either_side(rng: np.random.Generator) -> None:
    rows = np.concatenate((mixture(rng, 1_000), mixture(rng, 20) + 1000))  # far outliers pull a 2-means apart
    tree = bisect(rows, 10)
    inner = tree.children[:, 0] != LEAF
    sides = tree.n_rows[tree.children[inner]]
    assert (sides.min(axis=1) >= np.floor(0.25 * tree.n_rows[inner])).all()


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_identical_rows_stay_together(value: float) -> None:
    rows = np.full((50, 8), value, np.float32)
    tree = bisect(rows, 4)
    check(tree, rows)
    assert len(tree.children) == 1
    check(refine(tree, rows), rows)


def test_duplicates_are_never_separated(rng: np.random.Generator) -> None:
    rows = np.repeat(rng.standard_normal((9, 5)).astype(np.float32), [40, 1, 3, 25, 7, 7, 1, 60, 2], axis=0)
    rows = rows[rng.permutation(len(rows))]
    tree = bisect(rows, 5)
    check(tree, rows)
    for row in np.unique(rows, axis=0):
        assert len(set(tree.leaf_of_row[(rows == row).all(axis=1)])) == 1
    alone = [leaf for leaf in tree.leaves() if tree.n_rows[leaf] > 5]
    assert all(len(np.unique(rows[tree.leaf_of_row == leaf], axis=0)) == 1 for leaf in alone)


def test_one_row_among_many_zeros_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE_ROWS", 16)
    rows = np.zeros((1_000, 4), np.float32)
    rows[777] = 1
    tree = bisect(rows, 100)
    check(tree, rows)
    assert tree.n_rows[tree.leaf_of_row[777]] == 1


def test_refined_leaves_fit_better_and_close_to_flat_lloyd(rng: np.random.Generator) -> None:
    rows = mixture(rng)
    tree = bisect(rows, 100)
    better = refine(tree, rows, n_iterations=8)
    check(better, rows)
    leaves = tree.leaves()
    flat = rows[rng.choice(len(rows), len(leaves), replace=False)].copy()
    for _ in range(20):
        kmeans._move(flat, rows, nearest(rows, flat)[0])
    errors = [error_of(rows, centroids) for centroids in (better.centroid[leaves], flat, tree.centroid[leaves])]
    assert errors[0] < 1.05 * errors[1] and errors[0] < errors[2], errors


def test_leaves_that_are_near_in_the_tree_are_near_in_space(rng: np.random.Generator) -> None:
    rows = mixture(rng)
    tree = refine(bisect(rows, 50), rows)
    centroids = tree.centroid[tree.leaves()]
    neighbours = np.square(np.diff(centroids, axis=0)).sum(axis=1).mean()
    strangers = np.square(centroids - centroids[rng.permutation(len(centroids))]).sum(axis=1).mean()
    assert neighbours < 0.6 * strangers


def test_a_seed_says_everything(rng: np.random.Generator) -> None:
    rows = mixture(rng)
    first, again, other = bisect(rows, 64, seed=1), bisect(rows, 64, seed=1), bisect(rows, 64, seed=2)
    assert np.array_equal(first.leaf_of_row, again.leaf_of_row) and np.array_equal(first.centroid, again.centroid)
    assert not np.array_equal(first.leaf_of_row, other.leaf_of_row)


def test_leaves_that_end_up_empty_keep_their_place() -> None:
    rows = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32)
    tree = bisect(rows, 1)
    moved = refine(tree, rows[:1])
    assert moved.n_rows[moved.leaves()].tolist().count(0) == 3
    assert np.isfinite(moved.centroid).all()


def test_nearest_goes_block_by_block_with_ties_to_the_lower(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rng.integers(-3, 4, (200, 6)).astype(np.float32)
    centroids = np.concatenate((rows[:10], rows[:10]))
    whole = nearest(rows, centroids)
    monkeypatch.setattr(kmeans, "BLOCK_BYTES", 512)
    parts = nearest(rows, centroids)
    squares = np.square(rows[:, None] - centroids).sum(axis=2)
    assert np.array_equal(whole[0], squares.argmin(axis=1)) and np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], squares.min(axis=1))


def test_nothing_is_not_clustered() -> None:
    for rows, limit in ((np.empty((0, 3), np.float32), 5), (np.zeros((3, 3), np.float32), 0)):
        with pytest.raises(InvalidArgument):
            bisect(rows, limit)
