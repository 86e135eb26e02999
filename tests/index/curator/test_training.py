"""Training: models of any rows, growth that keeps nodes, drift that tells other rows from more of the same."""

import numpy as np
import pytest

from vdb.errors import InvalidArgument
from vdb.index.curator import training
from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.training import DRIFTED, cell_limit, clustered, drift, grow, radii, train
from vdb.index.kmeans import LEAF, bisect, nearest, refine
from vdb.kernels.reference import Float32s, UInt32s
from vdb.types import Metric


def mixture(rng: np.random.Generator, n: int, d: int = 24, centres: Float32s | None = None) -> Float32s:
    """Rows around 30 centres, or the ones given."""
    around = (rng.standard_normal((30, d)) * 3).astype(np.float32) if centres is None else centres
    return around[rng.integers(len(around), size=n)] + rng.standard_normal((n, d), dtype=np.float32)


def check(model: Model, dimension: int) -> None:
    """What every model keeps to."""
    inner = model.children[:, 0] != LEAF
    assert (model.children[inner] > np.flatnonzero(inner)[:, None]).all(), "a child's number is greater"
    assert model.centroid.shape == (len(model.children), dimension)
    assert model.radius.shape == (len(model.children),)
    assert np.isfinite(model.centroid).all()
    assert np.isfinite(model.radius).all() and (model.radius >= 0).all()
    assert len(model.leaves) == (len(model.children) + 1) // 2


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("n", [1, 2, 3, 300])
@pytest.mark.parametrize("dimension", [1, 2, 150])
def test_rows_of_any_number_and_dimension_train(
    rng: np.random.Generator, metric: Metric, n: int, dimension: int
) -> None:
    model = train(mixture(rng, n, dimension), n, metric, Encoding(Form.LVQ8, max(1, dimension // 2)))
    check(model, dimension)
    assert (model.projection is None) == (dimension == 1)
    assert 1 <= len(model.leaves) <= n


@pytest.mark.parametrize("dimension", [2_500, 8_192])
def test_the_longest_rows_train(rng: np.random.Generator, dimension: int) -> None:
    rows = rng.standard_normal((60, dimension), dtype=np.float32)
    model = train(rows, 60, Metric.COSINE, Encoding(Form.LVQ4, dimension))
    check(model, dimension)
    assert model.projection is None and len(model.encode_rows(rows)[0]) == 60


@pytest.mark.parametrize("form", list(Form))
def test_every_form_trains(rng: np.random.Generator, form: Form) -> None:
    model = train(mixture(rng, 200), 200, Metric.L2, Encoding(form, 24))
    check(model, 24)
    assert model.projection is None
    assert len(model.encode_rows(mixture(rng, 5))[0]) == 5


@pytest.mark.parametrize("value", [0.0, 1.5])
@pytest.mark.parametrize("dimension", [3, 200])
def test_identical_rows_train(value: float, dimension: int) -> None:
    model = train(np.full((80, dimension), value, np.float32), 80, Metric.IP, Encoding(Form.LVQ8, 2))
    check(model, dimension)
    np.testing.assert_allclose(model.centroid[model.leaves], value, atol=1e-5)


def test_zero_rows_and_duplicates_among_others_train(rng: np.random.Generator) -> None:
    rows = np.concatenate((np.zeros((200, 130), np.float32), np.repeat(mixture(rng, 5, 130), 50, axis=0)))
    model = train(rows, 450, Metric.COSINE, Encoding(Form.LVQ4, 64))
    check(model, 130)
    assert model.projection is not None and 1 < len(model.leaves) <= 450


def test_a_model_has_about_four_cells_for_each_root_of_all_rows(rng: np.random.Generator) -> None:
    rows = mixture(rng, 2_000)
    for n in (2_000, 5_000):
        assert 0.7 * 4 * n**0.5 <= len(clustered(rows, n).leaves()) <= 1.5 * 4 * n**0.5


def test_the_seed_says_everything(rng: np.random.Generator) -> None:
    rows = mixture(rng, 900, 130)
    first, second = (train(rows, 900, Metric.COSINE, Encoding(Form.LVQ8, 64), seed=5) for _ in range(2))
    assert np.array_equal(first.children, second.children)
    assert np.array_equal(first.centroid, second.centroid)
    assert first.projection is not None and second.projection is not None
    assert np.array_equal(first.projection.of_rows, second.projection.of_rows)


def test_only_a_sample_of_many_rows_is_cut(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SAMPLE_ROWS", 500)
    model = train(mixture(rng, 3_000), 3_000, Metric.L2, Encoding(Form.LVQ8, 24))
    check(model, 24)
    assert len(model.leaves) <= 500


def test_cells_cut_in_few_directions_are_nearly_as_tight(rng: np.random.Generator) -> None:
    spectrum = ((1 + np.arange(300)) ** -0.7).astype(np.float32)
    rows = rng.standard_normal((2_000, 300), dtype=np.float32) * spectrum + mixture(rng, 2_000, 300) * spectrum
    fast, slow = clustered(rows, 2_000), bisect(rows, 14)
    errors = [float(nearest(rows, tree.centroid[tree.leaves()])[1].mean()) for tree in (fast, refine(slow, rows))]
    per_cell = [len(tree.leaves()) for tree in (fast, slow)]
    assert errors[0] < 1.05 * errors[1], (errors, per_cell)


def test_a_radius_is_that_of_rows_like_those_below(rng: np.random.Generator) -> None:
    rows = (rng.standard_normal((20_000, 6)) * 2).astype(np.float32)
    tree = bisect(rows, 20_000)
    assert radii(tree, rows)[0] == pytest.approx(2 * 6**0.5, rel=0.02)


def test_queries_make_the_projection_one_for_them(rng: np.random.Generator) -> None:
    rows, queries = mixture(rng, 300), mixture(rng, 50)
    model = train(rows, 300, Metric.COSINE, Encoding(Form.LVQ8, 8), queries)
    assert model.projection is not None and not model.projection.is_of_rows
    with pytest.raises(InvalidArgument):
        train(rows, 300, Metric.COSINE, Encoding(Form.LVQ8, 8), queries[:0])


def test_what_cannot_be_trained_is_refused(rng: np.random.Generator) -> None:
    rows = mixture(rng, 10)
    for encoding in (Encoding(Form.LVQ8, 0), Encoding(Form.LVQ8, 25), Encoding(Form.FLOAT16, 12)):
        with pytest.raises(InvalidArgument):
            train(rows, 10, Metric.L2, encoding)
    with pytest.raises(InvalidArgument):
        train(rows[:0], 10, Metric.L2, Encoding(Form.LVQ8, 24))


def cells_by_distance(model: Model, rows: Float32s) -> UInt32s:
    return nearest(rows, model.centroid[model.leaves])[0].astype(np.uint32)


def grown_rows(rng: np.random.Generator) -> tuple[Model, Float32s, UInt32s]:
    centres = (rng.standard_normal((30, 24)) * 3).astype(np.float32)
    model = train(mixture(rng, 200, centres=centres), 200, Metric.L2, Encoding(Form.LVQ8, 16))
    rows = mixture(rng, 5_000, centres=centres)
    return model, rows, cells_by_distance(model, rows)


def test_full_cells_are_split_and_nodes_keep_their_ids(rng: np.random.Generator) -> None:
    model, rows, cells = grown_rows(rng)
    grown = grow(model, rows, cells, 70)
    check(grown.model, 24)
    n_old = len(model.children)
    was_inner = model.children[:, 0] != LEAF
    assert np.array_equal(grown.model.children[:n_old][was_inner], model.children[was_inner])
    assert np.array_equal(grown.model.centroid[:n_old], model.centroid)
    assert grown.model.projection is model.projection
    assert np.bincount(grown.cells).max() <= 70
    split = np.unique(cells)[np.bincount(cells)[np.unique(cells)] > 70]
    assert (grown.model.children[model.leaves[split], 0] != LEAF).all()


def test_rows_stay_below_the_node_they_were_in(rng: np.random.Generator) -> None:
    model, rows, cells = grown_rows(rng)
    grown = grow(model, rows, cells, 70)
    low, high = grown.model.cell_ranges
    node = model.leaves[cells]
    assert ((low[node] <= grown.cells) & (grown.cells < high[node])).all()
    assert np.array_equal(grown.cell_of, low[model.leaves])
    unsplit = grown.model.children[node, 0] == LEAF
    assert np.array_equal(grown.cells[unsplit], grown.cell_of[cells[unsplit]])


def test_split_cells_describe_their_rows_better(rng: np.random.Generator) -> None:
    model, rows, cells = grown_rows(rng)
    grown = grow(model, rows, cells, 40).model
    before, after = (float(nearest(rows, one.centroid[one.leaves])[1].mean()) for one in (model, grown))
    assert after < before


def test_nothing_over_the_limit_changes_nothing(rng: np.random.Generator) -> None:
    model, rows, cells = grown_rows(rng)
    grown = grow(model, rows, cells, 5_000)
    assert np.array_equal(grown.model.children, model.children)
    assert np.array_equal(grown.cells, cells)
    none = grow(model, rows[:0], cells[:0], 10)
    assert len(none.cells) == 0
    assert np.array_equal(none.cell_of, np.arange(len(model.leaves)))


def test_identical_rows_may_overfill_a_cell(rng: np.random.Generator) -> None:
    model = train(mixture(rng, 50), 50, Metric.L2, Encoding(Form.LVQ8, 24))
    grown = grow(model, np.ones((300, 24), np.float32), np.full(300, 3, np.uint32), 10)
    assert np.array_equal(grown.model.children, model.children)
    assert set(grown.cells.tolist()) == {3}


def test_a_limit_below_one_row_is_refused(rng: np.random.Generator) -> None:
    model, rows, cells = grown_rows(rng)
    with pytest.raises(InvalidArgument):
        grow(model, rows, cells, 0)


def test_the_limit_of_a_cell_goes_with_the_root_of_all_rows() -> None:
    assert cell_limit(1) == cell_limit(1_000) == 64
    assert cell_limit(1_000_000) == 500


@pytest.mark.parametrize("n", [1_000, 3_000])
@pytest.mark.parametrize("metric", [Metric.L2, Metric.COSINE])
def test_more_of_the_same_rows_are_no_drift(rng: np.random.Generator, n: int, metric: Metric) -> None:
    centres = (rng.standard_normal((30, 24)) * 3).astype(np.float32)
    model = train(mixture(rng, n, centres=centres), n, metric, Encoding(Form.LVQ8, 16))
    measured = drift(model, mixture(rng, 1_000, centres=centres))
    assert 0.8 < measured < DRIFTED, measured


def test_rows_around_other_centres_are_drift(rng: np.random.Generator) -> None:
    model = train(mixture(rng, 3_000), 3_000, Metric.L2, Encoding(Form.LVQ8, 16))
    assert drift(model, mixture(rng, 1_000)) > DRIFTED


def test_rows_outside_what_the_projection_keeps_are_drift(rng: np.random.Generator) -> None:
    spectrum = np.r_[np.full(8, 1.0), np.full(24, 0.05)].astype(np.float32)
    rows, other = (rng.standard_normal((3_000, 32), dtype=np.float32) * spectrum for _ in range(2))
    model = train(rows, 3_000, Metric.L2, Encoding(Form.LVQ8, 8))
    assert drift(model, other) < DRIFTED
    assert drift(model, np.ascontiguousarray(other[:, ::-1])) > DRIFTED


def test_drift_of_nothing_and_of_identical_rows_is_none(rng: np.random.Generator) -> None:
    model = train(np.ones((40, 6), np.float32), 40, Metric.L2, Encoding(Form.LVQ8, 6))
    assert drift(model, np.ones((0, 6), np.float32)) == 1.0
    assert drift(model, np.ones((20, 6), np.float32)) == 1.0
    assert drift(model, mixture(rng, 20, 6)) > DRIFTED
