"""How far estimates are off, as a search is told it."""

import numpy as np
import pytest

from tests.index.spann.disk import clustered
from vdb.index.curator.model import Encoding, Form, Model, prepared
from vdb.index.curator.training import train
from vdb.index.spann.coding import default_encoding, spread_of
from vdb.types import Metric


def model_of(rows: np.ndarray, form: Form, dimension: int) -> Model:
    return train(rows, len(rows), Metric.COSINE, Encoding(form, dimension))


def test_finer_codes_and_more_directions_have_smaller_errors(rng: np.random.Generator) -> None:
    rows = prepared(clustered(rng, 3_000, 32, 40), Metric.COSINE)
    spreads = [
        spread_of(model_of(rows, form, d), rows)
        for form, d in ((Form.LVQ4, 8), (Form.LVQ4, 16), (Form.LVQ4, 32), (Form.LVQ8, 32), (Form.FLOAT32, 32))
    ]
    assert spreads == sorted(spreads, reverse=True) and spreads[-1] < 1e-6 < spreads[-2]


@pytest.mark.parametrize("form", [Form.LVQ8, Form.LVQ4, Form.FLOAT16])
def test_the_spread_is_that_of_errors_whatever_the_norm_of_queries(rng: np.random.Generator, form: Form) -> None:
    rows = rng.standard_normal((2_000, 24)).astype(np.float32)
    small = spread_of(model_of(rows, form, 24), rows)
    large = spread_of(model_of(rows * 50, form, 24), rows * 50)
    assert large == pytest.approx(50 * small, rel=0.05)


def test_few_or_zero_vectors_have_no_spread() -> None:
    rows = np.zeros((9, 8), np.float32)
    assert spread_of(model_of(rows, Form.LVQ8, 8), rows) == spread_of(model_of(rows, Form.LVQ8, 8), rows[:2]) == 0.0


def test_by_default_half_of_many_components_are_kept_and_all_of_few() -> None:
    kept = {dimension: default_encoding(dimension).dimension for dimension in (8, 128, 130, 384, 768)}
    assert kept == {8: 8, 128: 128, 130: 128, 384: 192, 768: 384}
