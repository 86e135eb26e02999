"""LVQ codes: the bound of their error, their edges, and the layout of nibbles."""

import numpy as np
import pytest

from vdb.errors import InvalidArgument
from vdb.index.leanvec.codes import BITS, decode, encode, pack, unpack


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dimension", [1, 2, 7, 64, 129])
def test_every_component_is_within_half_a_step(rng: np.random.Generator, bits: int, dimension: int) -> None:
    vectors = (rng.standard_normal((40, dimension)) * rng.choice([1e-20, 1, 1e20], (40, 1))).astype(np.float32)
    coded = encode(vectors, bits)
    slack = np.abs(vectors).max(axis=1, keepdims=True) * 1e-5
    assert (np.abs(decode(coded) - vectors) <= coded.step[:, None] / 2 + slack).all()
    assert coded.codes.shape == (40, dimension if bits == 8 else (dimension + 1) // 2)


@pytest.mark.parametrize("bits", BITS)
def test_a_second_level_leaves_a_hundredth(rng: np.random.Generator, bits: int) -> None:
    vectors = rng.standard_normal((60, 96)).astype(np.float32)
    one, two = encode(vectors, bits), encode(vectors, bits, has_second=True)
    errors = [float(np.square(decode(coded) - vectors).mean()) ** 0.5 for coded in (one, two)]
    assert errors[1] < errors[0] / 50, errors
    assert np.array_equal(one.codes, two.codes)
    assert two.nbytes == one.nbytes + vectors.size


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_equal_components_come_back(bits: int, value: float) -> None:
    vectors = np.full((3, 10), value, np.float32)
    np.testing.assert_allclose(decode(encode(vectors, bits)), vectors, atol=1e-5)


def test_the_largest_and_smallest_numbers_stay_finite() -> None:
    vectors = np.array([[1e38, -1e38], [1e-40, -1e-40], [3.4e38, 0.0]], np.float32)
    for bits in BITS:
        np.testing.assert_allclose(decode(encode(vectors, bits)), vectors, rtol=1e-5, atol=1e-35)


def test_no_rows_and_no_components() -> None:
    assert decode(encode(np.empty((0, 5), np.float32))).shape == (0, 5)
    assert decode(encode(np.empty((2, 0), np.float32))).shape == (2, 0)


@pytest.mark.parametrize("dimension", range(1, 9))
def test_nibbles_come_back(rng: np.random.Generator, dimension: int) -> None:
    levels = rng.integers(0, 16, (5, dimension)).astype(np.uint8)
    packed = pack(levels)
    assert np.array_equal(unpack(packed, dimension), levels)
    assert np.array_equal(packed[:, 0] & 15, levels[:, 0])


def test_other_widths_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        encode(np.zeros((1, 1), np.float32), bits=3)
