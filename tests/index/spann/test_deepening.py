"""Trees carried deeper: small lists, every row in the one that is nearest, near lists side by side."""

import numpy as np

from tests.index.spann.disk import clustered
from vdb.index.curator.model import Encoding, Form
from vdb.index.curator.training import train
from vdb.index.spann.deepening import deepened, lists_of
from vdb.kernels import cpu_kernels
from vdb.types import Metric


def test_lists_are_small_and_hold_the_rows_that_are_nearest(rng: np.random.Generator, small_bounds: None) -> None:
    rows = clustered(rng, 6_000, 16, 100)
    model = train(rows, len(rows), Metric.L2, Encoding(Form.LVQ8, 16))
    deep, lists = deepened(model, rows, cpu_kernels(), limit=16)
    counts = np.bincount(lists, minlength=len(deep.leaves))
    assert len(model.leaves) < len(deep.leaves) and counts.sum() == 6_000
    assert counts.mean() <= 16 and counts.max() <= 5 * 16, f"the fullest list has {counts.max()} rows"
    heads = deep.centroid[deep.leaves]
    best = np.array([((heads - row) ** 2).sum(axis=1).min() for row in rows[:500]])
    mine = ((heads[lists[:500]] - rows[:500]) ** 2).sum(axis=1)
    share = float((mine <= best * 1.02 + 1e-4).mean())
    assert share >= 0.95, f"{share:.3f} of the rows are in their nearest list"


def test_a_group_of_cells_at_a_time_gives_as_many_lists_as_all_at_once(
    rng: np.random.Generator, small_bounds: None
) -> None:
    rows = clustered(rng, 2_000, 8, 30)
    model = train(rows, len(rows), Metric.L2, Encoding(Form.LVQ8, 8))
    deep, _ = deepened(model, rows, cpu_kernels(), limit=10)
    low, high = deep.cell_ranges
    assert high[0] == len(deep.leaves) and np.array_equal(np.sort(low[deep.leaves]), np.arange(len(deep.leaves)))
    inner = np.flatnonzero(deep.children[:, 0] >= 0)
    left, right = deep.children[inner].T
    assert np.array_equal(low[inner], low[left]) and np.array_equal(high[left], low[right])


def test_heads_are_the_means_of_rows_and_nodes_those_of_lists(rng: np.random.Generator, small_bounds: None) -> None:
    rows = clustered(rng, 3_000, 8, 40)
    model = train(rows, len(rows), Metric.IP, Encoding(Form.LVQ8, 8))
    deep, _ = deepened(model, rows, cpu_kernels(), limit=16)
    np.testing.assert_allclose(deep.centroid[0], rows.mean(axis=0), rtol=1e-3, atol=1e-4)
    assert np.all(np.isfinite(deep.radius)) and np.all(deep.radius >= 0)


def test_rows_that_are_all_the_same_make_one_list(small_bounds: None) -> None:
    rows = np.ones((700, 8), np.float32)
    model = train(rows, len(rows), Metric.COSINE, Encoding(Form.LVQ8, 8))
    deep, lists = deepened(model, rows, cpu_kernels())
    assert len(deep.leaves) == 1 and np.all(lists == 0) and np.all(lists_of(deep, rows, cpu_kernels()) == 0)
