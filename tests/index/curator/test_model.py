"""What is told of a model's rows and queries."""

import numpy as np
import pytest

from vdb.index.curator.model import prepared, prepared_query
from vdb.types import Metric


@pytest.mark.parametrize("metric", list(Metric))
def test_one_query_is_prepared_as_many_are_to_the_last_bit(metric: Metric, rng: np.random.Generator) -> None:
    for dimension in (1, 3, 8, 100, 384):
        for scale in (1e-30, 1.0, 1e18):
            query = (rng.standard_normal(dimension) * scale).astype(np.float32)
            assert prepared_query(query, metric).tobytes() == prepared(query[None], metric)[0].tobytes()
    zero = np.zeros(7, np.float32)
    assert prepared_query(zero, metric).tobytes() == prepared(zero[None], metric)[0].tobytes()
