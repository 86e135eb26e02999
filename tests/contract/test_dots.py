"""Inner products of codes: every form that this processor can run gives the integers of NumPy."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from vdb.kernels.cpu import dots, plain_dots
from vdb.kernels.cpu.products import AVX2, AVX512_VNNI, AVX_VNNI, INSTRUCTION, Instruction, features, instruction_of

FORMS: list[Instruction | None] = [
    None,  # the plain loop
    *([AVX2] if "+avx2" in features().split(",") else []),
    *([AVX_VNNI] if INSTRUCTION in (AVX_VNNI, AVX512_VNNI) else []),
    *([AVX512_VNNI] if INSTRUCTION is AVX512_VNNI else []),
]
NAMES = ["plain" if form is None else form.name for form in FORMS]
WIDTHS = (32, 64, 96, 128, 160, 192, 384, 1024)


@pytest.fixture(scope="module", params=FORMS, ids=NAMES)
def bytes_dot(request: pytest.FixtureRequest) -> Callable[..., int]:
    dot = dots.wide_bytes(request.param) if request.param else plain_dots.plain_bytes

    @njit
    def product(codes: Any, row: int, query: Any, width: int) -> Any:
        return dot(codes, np.uint64(row), query, np.uint64(width))

    return product  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=FORMS, ids=NAMES)
def nibbles_dot(request: pytest.FixtureRequest) -> Callable[..., int]:
    dot = dots.wide_nibbles(request.param) if request.param else plain_dots.plain_nibbles

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


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_products_of_four_rows_are_those_of_each(rng: np.random.Generator, form: Instruction | None) -> None:
    of_bytes = dots.wide_four_bytes(form) if form else plain_dots.plain_four_bytes
    of_nibbles = dots.wide_four_nibbles(form) if form else plain_dots.plain_four_nibbles

    @njit
    def products(codes: Any, rows: Any, low: Any, high: Any, width: int, levels: Any) -> None:
        for i in range(0, len(rows), 4):
            of_bytes(codes, rows, np.uint64(i), low, np.uint64(width), levels[0], np.uint64(i))
            of_nibbles(codes, rows, np.uint64(i), low, high, np.uint64(width), levels[1], np.uint64(i))

    for width in WIDTHS:
        codes = rng.integers(0, 256, (20, width + 8), dtype=np.uint8)
        rows = rng.integers(0, 20, 24).astype(np.uint32)
        low, high = (rng.integers(-127, 128, width, dtype=np.int8) for _ in range(2))
        levels = np.zeros((2, 24), np.int32)
        products(codes, rows, low, high, width, levels)
        mine = codes[rows, :width].astype(int)
        np.testing.assert_array_equal(levels[0], mine @ low.astype(int))
        np.testing.assert_array_equal(levels[1], (mine & 15) @ low.astype(int) + (mine >> 4) @ high.astype(int))


@pytest.mark.parametrize("dot", [dots.dot_halves, plain_dots.plain_halves])
def test_every_half_float_is_read_as_it_is(dot: Callable[..., np.float32]) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    codes = halves.view(np.uint8).reshape(-1, 2)
    one = np.ones(1, np.float32)

    @njit
    def read(codes: Any, query: Any, out: Any) -> None:
        for i in range(len(codes)):
            out[i] = dot(codes, np.uint64(i), query)

    out = np.empty(len(halves), np.float32)
    read(codes, one, out)
    np.testing.assert_array_equal(out, halves.astype(np.float32))


@pytest.mark.parametrize("dot", [dots.dot_floats, dots.dot_halves, plain_dots.plain_halves])
def test_products_of_floats_are_exact_on_small_integers(
    rng: np.random.Generator, dot: Callable[..., np.float32]
) -> None:
    dtype = np.float32 if dot is dots.dot_floats else np.float16

    @njit
    def product(codes: Any, row: int, query: Any) -> Any:
        return dot(codes, np.uint64(row), query)

    for d in (1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 128, 384):
        rows = rng.integers(-9, 10, (5, d + d % 2)).astype(dtype)
        query = rng.integers(-9, 10, d).astype(np.float32)
        products = [product(rows.view(np.uint8), row, query) for row in range(5)]
        assert products == (rows[:, :d].astype(np.float32) @ query).tolist()


def test_the_largest_nibbles_and_queries_do_not_overflow(nibbles_dot: Callable[..., int]) -> None:
    codes = np.full((1, 32_768), 255, np.uint8)
    for component in (127, -127):
        query = np.full(32_768, component, np.int8)
        assert nibbles_dot(codes, 0, query, query, 32_768) == 15 * component * 65_536


@pytest.mark.parametrize(
    ("having", "form"),
    [
        ("+avx2,+avx512f,+avx512bw,+avx512vl,+avx512vnni", AVX512_VNNI),
        ("+avx2,+avxvnni,-avx512vnni,-avx512bw", AVX_VNNI),
        ("+avx512vnni,+avx512bw,-avx512vl,-avxvnni", None),
        ("+avx2,+avx512f,-avx512vnni", AVX2),
        ("+avx,-avx2", None),
        ("", None),
    ],
)
def test_the_widest_form_is_chosen_by_what_numba_compiles_for(having: str, form: Instruction | None) -> None:
    assert instruction_of(having) is form


def test_a_processor_below_the_machines_own_is_respected() -> None:
    """Instructions that numba was told not to use end the process; so do calls into a library that is not there."""
    program = """if True:
        from vdb.kernels.cpu import dots, plain_dots, products
        is_plain = dots.dot_bytes is plain_dots.plain_bytes, dots.dot_halves is plain_dots.plain_halves
        print(products.INSTRUCTION, *is_plain)
    """
    environment = os.environ | {"NUMBA_CPU_NAME": "generic"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["None", "True", "True"]
