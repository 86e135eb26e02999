"""Queries made ready together are what the kernel of the CPU makes of each."""

import numpy as np
import pytest

from vdb.index.curator.model import Encoding, Form, Model
from vdb.index.curator.queries import queries_of
from vdb.index.leanvec.projection import fit_rows
from vdb.kernels import METRIC_NUMBER
from vdb.kernels.reference import LARGEST
from vdb.kernels.reference_cells import prepare, quantize
from vdb.types import Metric


def _model(rng: np.random.Generator, metric: Metric, dimension: int, kept: int) -> Model:
    rows = rng.standard_normal((500, dimension)).astype(np.float32)
    projection = fit_rows(rows, kept) if kept < dimension else None
    children = np.full((1, 2), -1, np.int32)
    return Model(metric, Encoding(Form.LVQ8, kept), projection, children, rows[:1], np.ones(1, np.float32))


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("kept", [24, 40])
def test_each_of_many_queries_is_as_it_is_alone(rng: np.random.Generator, metric: Metric, kept: int) -> None:
    model = _model(rng, metric, 40, kept)
    vectors = rng.standard_normal((33, 40)).astype(np.float32) * np.float32(3)
    vectors[5] = 0
    made = queries_of(model, vectors)
    assert len(made) == 33
    for i, vector in enumerate(vectors):
        full, alone, norm = prepare(vector, model.of_queries, METRIC_NUMBER[metric])
        np.testing.assert_allclose(made.full[i], full, rtol=1e-6)
        np.testing.assert_allclose(made.norm[i], norm, rtol=1e-6)
        np.testing.assert_allclose(made.kept[i], alone, rtol=0, atol=0.01 * max(1e-9, float(np.abs(full).max())))
    coded, step, total = quantize(made.kept)
    np.testing.assert_array_equal(made.coded, coded)
    np.testing.assert_array_equal(made.step, step)
    np.testing.assert_array_equal(made.total, total)


def test_one_that_has_no_projection_is_the_same_to_the_last_bit(rng: np.random.Generator) -> None:
    model = _model(rng, Metric.L2, 24, 24)
    vectors = rng.standard_normal((4, 24)).astype(np.float32)
    made = queries_of(model, vectors)
    np.testing.assert_array_equal(made.kept, vectors)
    for i in range(4):
        coded, step, total = quantize(prepare(vectors[i], model.of_queries, METRIC_NUMBER[Metric.L2])[1][None])
        np.testing.assert_array_equal(made.coded[i], coded[0])
        assert (made.step[i], made.total[i]) == (step[0], total[0])


def test_components_that_overflow_leave_queries_finite(rng: np.random.Generator) -> None:
    model = _model(rng, Metric.IP, 40, 24)
    made = queries_of(model, np.full((2, 40), 3e38, np.float32))
    assert np.all(np.isfinite(made.kept)) and np.all(np.isfinite(made.step)) and np.all(made.norm <= LARGEST)
