"""Laws of size find what values were made of, and say how far they are off."""

from math import isnan
from pathlib import Path

import numpy as np
import pytest

from bench.report import Figure, publish
from bench.scaling.fit import LEAST_SIZES, law
from bench.scaling.laws import laws, measured

SIZES = (20_000, 60_000, 120_000, 250_000, 500_000)


def test_a_power_law_has_the_exponent_that_values_were_made_with() -> None:
    found = law("power", {n: 3.0 * n**0.6 for n in SIZES})
    assert found.curve.c == pytest.approx(0.6) and found.curve.b == pytest.approx(3.0)
    assert found.residual == pytest.approx(0, abs=1e-9) and found.off == pytest.approx(0, abs=1e-9)
    assert found.range_at(1e9) == pytest.approx((3.0 * 1e9**0.6,) * 2)


def test_an_affine_law_has_the_two_parts_that_values_were_made_of() -> None:
    found = law("affine", {n: 5.0 + 2e-4 * n for n in SIZES})
    assert (found.curve.a, found.curve.b) == pytest.approx((5.0, 2e-4))
    assert found.at(1e9) == pytest.approx(200_005)


def test_an_affine_law_never_has_a_part_below_nothing() -> None:
    rising = law("affine", {n: n**1.5 for n in SIZES})
    assert rising.curve.a == 0 and rising.curve.b > 0
    falling = law("affine", {n: 1e6 / n for n in SIZES})
    assert falling.curve.b == 0 and falling.curve.a > 0


def test_what_the_largest_size_shows_alone_is_told_as_the_error_of_extrapolation() -> None:
    values = {n: 10.0 * n**0.5 for n in SIZES}
    values[SIZES[-1]] *= 2
    found = law("power", values)
    assert found.off == pytest.approx(-0.5)
    assert found.exponents[0] == pytest.approx(0.5) and found.exponents[1] > 0.6


def test_a_level_is_what_the_largest_size_had() -> None:
    found = law("level", {10: 3.0, 100: 4.0, 1_000: 5.0})
    assert found.at(1e9) == 5.0 and found.off == pytest.approx(-0.2)


def test_noise_of_some_percent_moves_an_exponent_by_some_hundredths() -> None:
    noise = np.random.default_rng(3).normal(1, 0.03, len(SIZES))
    found = law("power", {n: n**0.6 * factor for n, factor in zip(SIZES, noise, strict=True)})
    low, high = found.exponents
    assert 0.55 < low < high < 0.65


@pytest.mark.parametrize(("form", "n"), LEAST_SIZES.items())
def test_too_few_sizes_make_no_law_and_just_enough_say_nothing_of_its_error(form: str, n: int) -> None:
    values = {10**i: float(10**i) for i in range(1, n + 1)}
    found = law(form, values)
    assert isnan(found.off) and found.others == ()
    values.popitem()
    with pytest.raises(ValueError, match="too few"):
        law(form, values)


def test_rows_are_read_back_by_part_and_size_and_the_later_one_counts(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        publish("scaling", [], tmp_path, [Figure("memory 20,000: work at .95", value, "rows")])
    publish("scaling", [], tmp_path, [Figure("memory 60,000: work at .95", 3.0, "rows")])
    assert measured(tmp_path) == {"memory": {"work at .95": {20_000: 2.0, 60_000: 3.0}}}
    assert laws(measured(tmp_path)) == {}
