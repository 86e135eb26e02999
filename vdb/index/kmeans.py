"""Balanced clustering: a binary tree by bisection, its leaves refined together.

Bisection gives the tree and its order: leaves that are near in the tree are near in space. Each cut is a 2-means whose
smaller side is at least a quarter, so depth is logarithmic whatever the data. Then the leaves' centroids move by
iterations of Lloyd's over all leaves at once, which brings their cells close to those of a flat k-means. A cut is moved
so that it does not fall between identical rows; a leaf of nothing else may exceed the limit.

Distances are squared L2 (rows of a cosine collection come normalised). Everything follows from the rows and the seed;
ties go to the lower number. Shapes: n rows of d, float32 in C order, finite. Memory: blocks of `BLOCK_BYTES`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdb.errors import InvalidArgument
from vdb.kernels import acceleration, current
from vdb.kernels.reference import Float32s, UInt32s

Int32s = NDArray[np.int32]
Rows = NDArray[np.intp]

LEAST_SHARE = 0.25
"""Of a node's rows that the smaller child gets."""

SAMPLE_ROWS = 4_096
"""Rows that decide where a node is cut; all are then put on one side or the other."""

CUT_ITERATIONS = 8
BLOCK_BYTES = 32 << 20
LEAF = -1

Check = Callable[[], None]
"""Called now and then; raises when the work is to end."""


def unasked() -> None:
    """Nobody wants the work to end early."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A binary tree over clustered rows; node 0 is the root, a child's number is greater than its parent's.

    `children` int32 (m, 2), `LEAF` twice for a leaf; `centroid` float32 (m, d): the mean of the rows below;
    `n_rows` int64 (m,): how many they are. `leaf_of_row` int32 (n,) are node numbers.
    """

    children: Int32s
    centroid: Float32s
    n_rows: NDArray[np.int64]
    leaf_of_row: Int32s

    def leaves(self) -> Int32s:
        """Leaves depth-first: the order in which every node is a contiguous run of cells."""
        return leaves_of(self.children, cell_ranges(self.children)[0])


def levels(children: Int32s) -> list[Rows]:
    """The inner nodes of a tree by depth: what is said of a node's children is worked out a level at a time, as a loop
    over thousands of nodes has the interpreter for milliseconds."""
    found = []
    nodes = np.zeros(1, np.intp)
    while len(nodes):
        inner = nodes[children[nodes, 0] != LEAF]
        found.append(inner)
        nodes = children[inner].ravel().astype(np.intp)
    return found


def cell_ranges(children: Int32s) -> tuple[UInt32s, UInt32s]:
    """First cell and end of the cells below each node, uint32 (m,) each; leaves are numbered depth-first."""
    low = np.zeros(len(children), np.uint32)
    n_below = np.ones(len(children), np.uint32)
    by_depth = levels(children)
    for inner in reversed(by_depth):
        n_below[inner] = n_below[children[inner, 0]] + n_below[children[inner, 1]]
    for inner in by_depth:
        left, right = children[inner, 0], children[inner, 1]
        low[left] = low[inner]
        low[right] = low[inner] + n_below[left]
    return low, low + n_below


def leaves_of(children: Int32s, low: UInt32s) -> Int32s:
    """The node of each cell, for the first cells that `cell_ranges` found, int32 (c,)."""
    nodes = np.flatnonzero(children[:, 0] == LEAF)
    leaves = np.empty(len(nodes), np.int32)
    leaves[low[nodes]] = nodes
    return leaves


def nearest(rows: Float32s, centroids: Float32s, check: Check = unasked) -> tuple[Int32s, Float32s]:
    """The nearest of k centroids for each row, int32 (n,), and its squared distance, float32 (n,).

    On a device where one is set and that pays: rows about as far from two centroids may go to the other.
    """
    assigned = acceleration.assign(rows, centroids, check)
    if assigned is not None:
        return assigned
    labels = np.empty(len(rows), np.int32)
    distances = np.empty(len(rows), np.float32)
    norms = np.einsum("ij,ij->i", centroids, centroids)
    doubled = np.ascontiguousarray((-2 * centroids).T)
    for first, stop in _blocks(len(rows), len(centroids) + rows.shape[1]):
        check()
        block = rows[first:stop]
        partial = block @ doubled
        partial += norms
        labels[first:stop] = partial.argmin(axis=1)
        best = np.take_along_axis(partial, labels[first:stop, None].astype(np.intp), axis=1)[:, 0]
        distances[first:stop] = np.maximum(best + np.einsum("ij,ij->i", block, block), 0)
    return labels, distances


def bisect(rows: Float32s, max_rows: int, seed: int = 0, check: Check = unasked) -> Tree:
    """A tree whose leaves hold at most `max_rows` rows each, identical ones apart.

    Raises InvalidArgument without rows and for a limit below 1.
    """
    if rows.ndim != 2 or len(rows) == 0 or max_rows < 1:
        raise InvalidArgument("a clustering needs rows, and leaves of one row at least")
    rng = np.random.default_rng(seed)
    children: list[tuple[int, int]] = [(LEAF, LEAF)]
    members: list[Rows | None] = [np.arange(len(rows))]
    leaf_of_row = np.zeros(len(rows), np.int32)
    node = 0
    while node < len(members):
        check()
        mine = members[node]
        assert mine is not None, "a node is visited once"
        sides = cut(rows, mine, rng) if len(mine) > max_rows else None
        if sides is None:
            leaf_of_row[mine] = node
        else:
            children[node] = (len(members), len(members) + 1)
            members += [mine[~sides], mine[sides]]
            children += [(LEAF, LEAF), (LEAF, LEAF)]
        members[node] = None
        node += 1
    return _filled(rows, np.array(children, np.int32), leaf_of_row)


def cut(rows: Float32s, members: Rows, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Which of `members` go to the second side, at least a quarter on either; None where they are all identical."""
    sample = members if len(members) <= SAMPLE_ROWS else np.sort(rng.choice(members, SAMPLE_ROWS, replace=False))
    pair = _two_means(rows[sample], rng)
    if pair is None:
        different = _first_different(rows, members)
        if different is None:
            return None
        pair = rows[[members[0], different]]
    leaning = _leaning(rows, members, pair)
    n_least = max(1, int(LEAST_SHARE * len(members)))
    order = np.argsort(leaning, kind="stable")
    n_first = int(np.clip((leaning <= 0).sum(), n_least, len(members) - n_least))
    n_first = _without_separating(rows, members[order], n_first)
    sides = np.ones(len(members), np.bool_)
    sides[order[:n_first]] = False
    return sides


def refine(tree: Tree, rows: Float32s, n_iterations: int = 4, check: Check = unasked) -> Tree:
    """Lloyd's iterations over all leaves at once; a leaf that loses all its rows keeps its place and stays empty."""
    leaves = tree.leaves()
    centroids = tree.centroid[leaves].copy()
    labels, _ = nearest(rows, centroids, check)
    for _ in range(n_iterations):
        _move(centroids, rows, labels)
        before, (labels, _) = labels, nearest(rows, centroids, check)
        if np.array_equal(before, labels):
            break
    filled = _filled(rows, tree.children, leaves[labels])
    filled.centroid[leaves[filled.n_rows[leaves] == 0]] = centroids[filled.n_rows[leaves] == 0]
    return filled


def with_means(rows: Float32s, children: Int32s, leaf_of_row: Int32s) -> Tree:
    """The tree of these nodes with the rows where `leaf_of_row` says, which may be other rows than it was cut by."""
    return _filled(rows, children, leaf_of_row)


def _two_means(sample: Float32s, rng: np.random.Generator) -> Float32s | None:
    """Two centroids, (2, d); None where no two different rows were found."""
    first = sample[rng.integers(len(sample))]
    squares = np.square(sample - first).sum(axis=1, dtype=np.float64)
    total = float(squares.sum())
    if not total > 0:
        return None
    second = sample[rng.choice(len(sample), p=squares / total)]
    pair = np.stack((first, second))
    current().two_means(sample, CUT_ITERATIONS, pair)
    return pair if np.any(pair[0] != pair[1]) else None


def _leaning(rows: Float32s, members: Rows, pair: Float32s) -> Float32s:
    """For each member: how much nearer the second of the pair is than the first."""
    direction = (pair[1] - pair[0]).astype(np.float64)
    middle = float(direction @ (pair[0].astype(np.float64) + pair[1])) / 2
    leaning = np.empty(len(members), np.float32)
    for first, stop in _blocks(len(members), rows.shape[1]):
        leaning[first:stop] = rows[members[first:stop]] @ direction - middle
    return leaning


def _without_separating(rows: Float32s, ordered: Rows, n_first: int) -> int:
    """A place for the cut near `n_first` that has no identical rows on both sides, where there is one."""
    for step in range(len(ordered)):
        for place in (n_first - step, n_first + step):
            if 0 < place < len(ordered) and np.any(rows[ordered[place - 1]] != rows[ordered[place]]):
                return place
    return n_first


def _first_different(rows: Float32s, members: Rows) -> int | None:
    """A member that is not the same row as the first."""
    for first, stop in _blocks(len(members), rows.shape[1]):
        differs = (rows[members[first:stop]] != rows[members[0]]).any(axis=1)
        if differs.any():
            return int(members[first + differs.argmax()])
    return None


def _move(centroids: Float32s, rows: Float32s, labels: Int32s) -> None:
    """Each centroid to the mean of its rows, in place; those without rows stay."""
    sums, counts = _sums(rows, labels, len(centroids))
    held = counts > 0
    centroids[held] = (sums[held] / counts[held, None]).astype(np.float32)


def _sums(rows: Float32s, labels: Int32s, n_labels: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of the rows of each label, float64, and their number."""
    counts = np.bincount(labels, minlength=n_labels)
    sums = np.zeros((n_labels, rows.shape[1]))
    current().sum_rows(rows, labels, sums)
    return sums, counts


def _filled(rows: Float32s, children: Int32s, leaf_of_row: Int32s) -> Tree:
    """Centroids and counts of all nodes, leaves from their rows, the others from their children."""
    sums, counts = _sums(rows, leaf_of_row, len(children))
    for inner in reversed(levels(children)):
        left, right = children[inner, 0], children[inner, 1]
        sums[inner] = sums[left] + sums[right]
        counts[inner] = counts[left] + counts[right]
    centroid = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    return Tree(children, centroid, counts.astype(np.int64), leaf_of_row.astype(np.int32))


def _blocks(n: int, width: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose float32 work of `width` numbers each fits a block."""
    n_block = max(1, BLOCK_BYTES // (4 * max(1, width)))
    for first in range(0, n, n_block):
        yield first, min(first + n_block, n)
