"""Each value once: as NumPy's `unique` gives them, which had the interpreter's lock for half a second of a million."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vdb.kernels.distinct import distinct, is_first


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.int32])
@pytest.mark.parametrize("n", [0, 1, 2, 500, 20_000])
def test_each_value_is_there_once_in_ascending_order(rng: np.random.Generator, n: int, dtype: type) -> None:
    values: NDArray[Any] = rng.integers(0, max(1, n // 3), n).astype(dtype)
    given = values.copy()
    found = distinct(values)
    assert found.dtype == dtype
    assert found.tolist() == sorted(set(values.tolist()))
    assert np.array_equal(values, given)


def test_the_first_of_equal_neighbours_is_told() -> None:
    assert is_first(np.array([4, 4, 4, 2, 7, 7, 4])).tolist() == [True, False, False, True, True, False, True]
    assert is_first(np.zeros(0, np.uint32)).tolist() == []
