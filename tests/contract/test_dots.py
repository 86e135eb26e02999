"""Inner products of codes: every form that this processor can run gives the integers of NumPy."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from vdb.kernels.cpu import dots

LANES = [0, *(lanes for lanes in (8, 16) if lanes <= dots.LANES)]
WIDTHS = (32, 64, 96, 128, 160, 192, 384, 1024)


@pytest.fixture(scope="module", params=LANES)
def bytes_dot(request: pytest.FixtureRequest) -> Callable[..., int]:
    dot = dots.wide_bytes(request.param) if request.param else dots.plain_bytes

    @njit
    def product(codes: Any, row: int, query: Any, width: int) -> Any:
        return dot(codes, np.uint64(row), query, np.uint64(width))

    return product  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=LANES)
def nibbles_dot(request: pytest.FixtureRequest) -> Callable[..., int]:
    dot = dots.wide_nibbles(request.param) if request.param else dots.plain_nibbles

    @njit
    def product(codes: Any, row: int, low: Any, high: Any, width: int) -> Any:
        return dot(codes, np.uint64(row), low, high, np.uint64(width))

    return product  # type: ignore[no-any-return]


@pytest.mark.parametrize("width", WIDTHS)
def test_products_of_bytes_are_exact(bytes_dot: Callable[..., int], rng: np.random.Generator, width: int) -> None:
    codes = rng.integers(0, 256, (20, width + 8), dtype=np.uint8)
    query = rng.integers(-127, 128, width, dtype=np.int8)
    expected = codes[:, :width].astype(int) @ query.astype(int)
    assert [bytes_dot(codes, row, query, width) for row in range(20)] == expected.tolist()


@pytest.mark.parametrize("width", WIDTHS)
def test_products_of_nibbles_are_exact(nibbles_dot: Callable[..., int], rng: np.random.Generator, width: int) -> None:
    codes = rng.integers(0, 256, (20, width + 8), dtype=np.uint8)
    low, high = (rng.integers(-127, 128, width, dtype=np.int8) for _ in range(2))
    mine = codes[:, :width].astype(int)
    expected = (mine & 15) @ low.astype(int) + (mine >> 4) @ high.astype(int)
    assert [nibbles_dot(codes, row, low, high, width) for row in range(20)] == expected.tolist()


def test_the_largest_codes_and_queries_do_not_overflow(bytes_dot: Callable[..., int]) -> None:
    codes = np.full((1, 65_536), 255, np.uint8)
    for component in (127, -127):
        query = np.full(65_536, component, np.int8)
        assert bytes_dot(codes, 0, query, 65_536) == 255 * component * 65_536


@pytest.mark.parametrize("at", [dots.plain_half, dots.half_at])
def test_half_floats_are_read_as_they_are(at: Callable[..., np.float32]) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[~np.isnan(halves)]

    @njit
    def read(row: Any, out: Any) -> None:
        for i in range(len(row)):
            out[i] = at(row, np.uint64(i))

    out = np.empty(len(halves), np.float32)
    read(halves.view(np.uint16), out)
    np.testing.assert_array_equal(out, halves.astype(np.float32))


@pytest.mark.parametrize(
    ("features", "lanes"),
    [
        ("+avx2,+avx512f,+avx512bw,+avx512vl,+avx512vnni", 16),
        ("+avx2,+avxvnni,-avx512vnni,-avx512bw", 8),
        ("+avx512vnni,+avx512bw,-avx512vl,-avxvnni", 0),
        ("+avx2", 0),
        ("", 0),
    ],
)
def test_the_widest_form_is_chosen_by_what_numba_compiles_for(features: str, lanes: int) -> None:
    assert dots.lanes_of(features) == lanes


def test_a_processor_below_the_machines_own_is_respected() -> None:
    """Instructions that numba was told not to use end the process; so do calls into a library that is not there."""
    program = """if True:
        from vdb.kernels.cpu import dots
        print(dots.LANES, dots.dot_bytes is dots.plain_bytes, dots.half_at is dots.plain_half)
    """
    environment = os.environ | {"NUMBA_CPU_NAME": "generic"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "True", "True"]
